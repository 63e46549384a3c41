"""Inputs behind HTTP: coordinates of all files are read in a few rounds, concurrently."""

import shutil
from pathlib import Path

import pytest

import refmaker
from refmaker.errors import SourceError, StaleSourceError
from refmaker.model.reference_set import SourceFile
from refmaker.source.spans import read_spans
from tests.combine import layouts
from tests.combine.reading import assert_same, opened, original
from tests.servers import Faults


def test_files_behind_http_combine_to_the_same(served: Faults, tmp_path: Path) -> None:
    paths = layouts.packed(tmp_path)
    for path in paths:
        shutil.copy(path, served.folder)
    references = refmaker.combine([f"{served.url}/{path.name}" for path in paths], concat="time")
    assert_same(opened(references, tmp_path), original(paths))


@pytest.mark.parametrize("fault", ["404", "500", "short", "empty"])
def test_a_store_that_fails_is_an_error_with_its_url(fault: str, served: Faults) -> None:
    (served.folder / "a.bin").write_bytes(bytes(range(100)))
    url = f"{served.url}/a.bin"
    assert read_spans([(0, 10, 3), (0, 0, 1), (0, 99, 1)], [SourceFile(url)]) == [b"\x0a\x0b\x0c", b"\0", b"\x63"]
    served.fault = fault
    with pytest.raises(SourceError, match=r"a\.bin"):
        read_spans([(0, 10, 3)], [SourceFile(url)])


def test_a_local_file_of_another_size_is_stale(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"abc")
    assert read_spans([(0, 1, 2)], [SourceFile(f"file://{path}", size=3)]) == [b"bc"]
    with pytest.raises(StaleSourceError, match="has 3 bytes, but had 4"):
        read_spans([(0, 1, 2)], [SourceFile(f"file://{path}", size=4)])
