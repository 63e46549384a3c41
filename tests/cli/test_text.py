"""Quantities, sizes and names of output files."""

import click
import pytest

from refmaker.cli.options import BYTE_SIZE, plan
from refmaker.cli.text import aligned, bytes_text, shown


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"), (999, "999 B"), (1000, "1.00 kB"), (9_994, "9.99 kB"), (9_996, "10.0 kB"), (99_960, "100 kB"),
        (999_499, "999 kB"), (999_500, "1.00 MB"), (2**40, "1.10 TB"), (2**63, "9 EB"),
    ],
)  # fmt: skip
def test_bytes_have_three_digits(count: int, text: str) -> None:
    assert bytes_text(count) == text


@pytest.mark.parametrize(
    ("text", "count"),
    [("0", 0), ("500", 500), ("64kB", 64_000), ("64 KB", 64_000), ("16MiB", 16 << 20), ("1g", 10**9), ("7B", 7)],
)
def test_sizes_are_read_with_their_units(text: str, count: int) -> None:
    assert BYTE_SIZE.convert(text, None, None) == count


@pytest.mark.parametrize("text", ["", "-1", "1.5MB", "kB", "1TB?", "٣"])
def test_other_sizes_are_refused(text: str) -> None:
    with pytest.raises(click.BadParameter):
        BYTE_SIZE.convert(text, None, None)


@pytest.mark.parametrize(
    ("file", "output"),
    [
        ("data/a.nc", "out/a.json"),
        ("a.2020.nc", "out/a.2020.json"),
        ("noext", "out/noext.json"),
        (".hidden", "out/.hidden.json"),
        ("s3://bucket/x/a.nc", "out/a.json"),
        ("https://host/a.nc?version=3", "out/a.json"),
        ("zip://in/side.nc::s3://bucket/all.zip", "out/side.json"),
        ("simplecache::s3://bucket/a.h5", "out/a.json"),
    ],
)
def test_a_document_is_named_after_its_file(file: str, output: str) -> None:
    (job,) = plan([file], "out/")
    assert (job.file, job.output) == (file, output)


def test_columns_align_but_for_a_cell_that_is_too_long() -> None:
    long = "x" * 100
    assert aligned([("a", "1", "z"), ("bb", "22", "z"), (long, "3", "z")], "<><") == [
        "a    1  z",
        "bb  22  z",
        f"{long}   3  z",
    ]


def test_a_name_is_one_printable_line() -> None:
    assert shown("tempé/ок") == "tempé/ок"
    assert shown("a\nb\x1b\udc80") == "a\\nb\\x1b\\udc80"
