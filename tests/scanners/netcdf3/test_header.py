"""The header parser on packed bytes: whole, cut at every length, wrong in every field."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refmaker.errors import BrokenFileError, OptionError, RefmakerError, TruncatedFileError, UnsupportedError
from refmaker.scanners.netcdf3 import header as header_module
from refmaker.scanners.netcdf3 import scan
from refmaker.scanners.netcdf3.header import parse_header, read_header
from refmaker.scanners.registry import ScanOptions
from refmaker.source.base import MemorySource, drive
from refmaker.source.location import OpenedFile
from refmaker.source.traced import Traced
from tests.scanners.netcdf3.packing import Att, Var, pack, samples
from tests.scanners.netcdf3.reading import outcome, scanned, values_of

SAMPLES = samples()
DIMS = [("time", 0), ("x", 5), ("y", 3)]
FIXED = Var("v", [1], 4, range(5))


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_a_header_cut_at_any_length_is_truncated(name: str) -> None:
    data = SAMPLES[name]
    nbytes = parse_header(data, len(data)).nbytes
    for length in range(nbytes):
        with pytest.raises(TruncatedFileError):
            drive(read_header(length, "cut.nc"), MemorySource(data[:length]))


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_a_header_read_in_any_blocks_is_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = SAMPLES[name]
    whole = parse_header(data, len(data))
    for block in (4, 5, 32, 100):
        monkeypatch.setattr(header_module, "FIRST_BLOCK", block)
        source = Traced(MemorySource(data))
        assert drive(read_header(len(data), "it.nc"), source) == whole
        assert source.bytes <= len(data)


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_data_cut_at_any_length_are_truncated_or_whole(name: str) -> None:
    data = SAMPLES[name]
    whole = {path: values_of(array, data) for path, array in scanned(data).root.arrays.items()}
    for length in range(parse_header(data, len(data)).nbytes, len(data)):
        result = outcome(partial(scanned, data[:length]))
        if isinstance(result, RefmakerError):
            assert isinstance(result, TruncatedFileError)
            assert result.path in whole
            continue
        for path, array in result.root.arrays.items():
            if name == "netcdf3_streaming.nc":
                assert array.metadata.shape[0] <= whole[path].shape[0]
                continue
            np.testing.assert_array_equal(values_of(array, data[:length]), whole[path])


def test_a_variable_that_is_cut_off_can_be_left_out() -> None:
    data = pack(1, DIMS, (), [FIXED, replace(FIXED, name="w")])[:-4]
    with pytest.raises(TruncatedFileError, match="w: its data reach to byte"):
        scanned(data)
    assert list(scanned(data, exclude=("w",)).root.arrays) == ["v"]


BROKEN = {
    "not a signature": b"CDF\x03" + bytes(28),
    "a tag that is none": pack(1, DIMS).replace(b"\0\0\0\x0a", b"\0\0\0\x0d"),
    "a list without a tag": pack(1, DIMS).replace(b"\0\0\0\x0a", b"\0\0\0\0"),
    "a type that is none": pack(1, DIMS, (), [replace(FIXED, type=12)]),
    "a CDF-5 type in CDF-1": pack(1, DIMS, (), [replace(FIXED, type=8)]),
    "an attribute of no type": pack(5, attributes=[Att("a", 0, [1])]),
    "an empty name": pack(1, [("", 3)]),
    "a name with a NUL": pack(1, [("a\0b", 3)]),
    "two dimensions of a name": pack(1, [("a", 3), ("a", 4)]),
    "two record dimensions": pack(1, [("a", 0), ("b", 0)]),
    "two variables of a name": pack(1, DIMS, (), [FIXED, replace(FIXED)]),
    "a dimension that is none": pack(1, DIMS, (), [replace(FIXED, dims=[3])]),
    "a record dimension that is second": pack(1, DIMS, (), [replace(FIXED, dims=[1, 0])]),
    "the record dimension twice": pack(1, DIMS, (), [Var("v", [0, 0], 4, [1])], numrecs=1),
    "data in the header": pack(1, DIMS, (), [replace(FIXED, begin=8)]),
    "data over others": pack(1, DIMS, (), [replace(FIXED, begin=140), replace(FIXED, name="w", begin=144)]) + bytes(50),
    "records over fixed data": pack(1, DIMS, (), [FIXED, Var("r", [0], 4, [1, 2], begin=140)], numrecs=2),
    "records over each other": pack(
        1, DIMS, (), [Var("r", [0], 4, [1, 2]), Var("s", [0], 4, [1, 2], begin=1000)], numrecs=2
    )
    + bytes(2000),
}


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN.keys())
def test_a_header_that_breaks_the_specification_is_broken(data: bytes) -> None:
    with pytest.raises(BrokenFileError) as caught:
        scanned(data)
    assert not isinstance(caught.value, TruncatedFileError)
    assert caught.value.location == "memory://it.nc"


HUGE = 0x7FFF_FFFF
ABSURD = {
    "dimensions": b"CDF\x01" + bytes(4) + b"\0\0\0\x0a" + HUGE.to_bytes(4),
    "attributes": b"CDF\x05" + bytes(20) + b"\0\0\0\x0c" + (1 << 62).to_bytes(8),
    "variables": b"CDF\x02" + bytes(20) + b"\0\0\0\x0b" + HUGE.to_bytes(4),
    "a name": b"CDF\x01" + bytes(4) + b"\0\0\0\x0a\0\0\0\x01" + HUGE.to_bytes(4),
    "records": pack(1, DIMS, (), [Var("v", [0], 4, [1])], numrecs=1, numrecs_field=HUGE),
    "a dimension": pack(5, [("x", 1 << 62), ("y", 1 << 62)], (), [Var("v", [0, 1], 4, [1])]),
}


@pytest.mark.parametrize("data", ABSURD.values(), ids=ABSURD.keys())
def test_counts_the_file_has_no_room_for_are_an_error_before_any_work(data: bytes) -> None:
    source = Traced(MemorySource(data + bytes(1 << 20)))
    with pytest.raises(TruncatedFileError):
        scan(OpenedFile("memory://it.nc", source), ScanOptions())
    assert source.bytes <= header_module.FIRST_BLOCK


def test_a_header_longer_than_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(header_module, "LONGEST_HEADER", 1 << 17)
    data = pack(1, attributes=[Att("long", 2, bytes(1 << 18))])
    with pytest.raises(UnsupportedError) as caught:
        scanned(data)
    assert caught.value.code == "header"


def test_vsize_is_not_believed() -> None:
    for vsize in (0, -1, 7):
        data = pack(1, DIMS, (), [replace(FIXED, vsize=vsize)])
        np.testing.assert_array_equal(values_of(scanned(data).root.arrays["v"], data), range(5))


def test_a_name_may_count_its_closing_nul_and_be_latin_1() -> None:
    arrays = scanned(pack(1, DIMS, (), [replace(FIXED, name=b"h\xf6he\0")])).root.arrays
    assert list(arrays) == ["höhe"]


@pytest.mark.parametrize("name", ["a/b", "..", ".zarray"])
def test_a_name_that_is_none_in_zarr_is_unsupported(name: str) -> None:
    data = pack(1, DIMS, (), [FIXED, replace(FIXED, name=name)])
    with pytest.raises(UnsupportedError) as caught:
        scanned(data)
    assert caught.value.code == "name"
    result = scanned(data, on_unsupported="skip")
    assert list(result.root.arrays) == ["v"]
    assert [(d.path, d.code) for d in result.report.skipped] == [(name, "name")]


def test_more_axes_than_numpy_takes_are_unsupported() -> None:
    data = pack(1, [(f"d{i}", 1) for i in range(40)], (), [Var("v", range(40), 4, [1])])
    with pytest.raises(UnsupportedError, match="40 dimensions"):
        scanned(data)


def test_variables_are_chosen_by_globs_and_there_are_no_groups() -> None:
    several = partial(scanned, SAMPLES["netcdf3_records.nc"])
    assert list(several(include=("t*", "x")).root.arrays) == ["time", "x", "temperature"]
    assert "time" not in several(exclude=("t*",)).root.arrays
    with pytest.raises(OptionError, match="no groups"):
        several(group="ocean")


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(SAMPLES)), st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=4))
def test_a_mutated_file_gives_a_result_or_one_error(name: str, changes: list[tuple[float, int]]) -> None:
    data = bytearray(SAMPLES[name])
    for where, byte in changes:
        data[int(where * (len(data) - 1))] = byte
    result = outcome(lambda: scanned(bytes(data)))
    if isinstance(result, RefmakerError):
        assert not isinstance(result, OptionError)
        return
    for array in result.root.arrays.values():
        assert array.manifest.memory_nbytes == 0
        values_of(array, bytes(data))
