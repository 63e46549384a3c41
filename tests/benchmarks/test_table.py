"""What benchmarks print becomes rows; machines and versions are named, and no paths."""

from tests.benchmarks.__main__ import BENCHMARKS, PRIVATE, machine, versions
from tests.benchmarks.table import Row, lines, read_chunk_index, read_plain, read_serving, read_table


def test_markdown_tables_are_read_by_their_heads() -> None:
    printed = [
        "| work | tool | seconds | peak MB | refmaker is faster by |",
        "|---|---|---|---|---|",
        "| a | refmaker | 0.500 | 12 | |",
        "a warning",
        "| a | kerchunk | 2.0 | 50 | 4.0x |",
    ]
    assert list(read_table(printed)) == [
        Row("a", "refmaker", "0.500 s", "", "peak MB 12"),
        Row("a", "kerchunk", "2.0 s", "4.0", "peak MB 50"),
    ]


def test_plain_lines_are_read() -> None:
    printed = [
        "50 record variables",
        "scan to JSON           10.00 ms   77 bytes",
        "kerchunk to JSON      640.00 ms",
        "ratio  64",
    ]
    assert list(read_plain(printed)) == [
        Row("scan to JSON: 50 record variables", "refmaker", "10.00 ms", "", "77 bytes"),
        Row("to JSON: 50 record variables", "kerchunk", "640.00 ms", "64.0"),
    ]


def test_nanoseconds_a_chunk_are_read() -> None:
    printed = [
        "index        ns/chunk  chunk_iter  ratio",
        "B-tree v2, filtered                       98.0        6023     61x",
    ]
    ours, theirs = read_chunk_index(printed)
    assert (ours.time, theirs.ratio) == ("98.0 ns a chunk", "61.5")


def test_readers_of_a_layout_are_read() -> None:
    rows = list(read_serving(["mid       h5py 100 ms (1.00)  reference:// 150 ms (1.50)  engine 50 ms (0.50)"]))
    assert [(row.tool, row.ratio) for row in rows] == [
        ("h5py", "2.0"),
        ("reference://", "3.0"),
        ("refmaker, engine", ""),
    ]


def test_nothing_private_is_told() -> None:
    assert PRIVATE.sub("…", "at /home/somebody/x.nc: 3 s") == "at …: 3 s"
    assert "refmaker " in versions()
    assert "/" not in machine().partition(";")[0].replace("w/", "")
    assert len({one.name for one in BENCHMARKS}) == len(BENCHMARKS)
    assert next(lines("b", ["|tool|seconds|", "|x|1|"], read_table)).startswith("| b |")
