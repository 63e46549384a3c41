"""What a scan asks of the store: one range, nearly always."""

import fsspec
import pytest

import refmaker
from refmaker.scanners.netcdf3 import scan
from refmaker.scanners.registry import ScanOptions
from refmaker.source.base import MemorySource
from refmaker.source.location import OpenedFile
from refmaker.source.traced import Traced
from tests.scanners.netcdf3.packing import Att, Var, pack, samples


@pytest.mark.parametrize("name", sorted(samples()))
def test_an_ordinary_file_is_one_request(name: str) -> None:
    data = samples()[name]
    source = Traced(MemorySource(data))
    report = scan(OpenedFile("memory://it.nc", source), ScanOptions()).report
    assert (source.requests, source.rounds, source.bytes) == (1, 1, len(data))
    assert (report.requests, report.rounds, report.bytes_read) == (1, 1, len(data))


def test_a_remote_file_is_one_request_with_the_detection_of_its_format() -> None:
    data = samples()["netcdf3_records.nc"]
    fsspec.filesystem("memory").pipe_file("/requests/records.nc", data)
    report = refmaker.scan("memory://requests/records.nc").report
    assert (report.requests, report.rounds, report.bytes_read) == (1, 1, len(data))


def test_a_large_file_is_one_request_of_64_kib() -> None:
    data = pack(1, [("x", 1 << 20)], (), [Var("v", [0], 6, bytearray(1 << 20))])
    source = Traced(MemorySource(data))
    scan(OpenedFile("memory://it.nc", source), ScanOptions())
    assert (source.requests, source.bytes) == (1, 1 << 16)


def test_a_long_header_is_fetched_in_growing_pieces_and_no_byte_twice() -> None:
    variables = [Var(f"variable_{i}", [0], 4, [i], [Att("long_name", 2, b"text " * 20)]) for i in range(3000)]
    data = pack(2, [("x", 1)], (), variables)
    source = Traced(MemorySource(data + bytes(1 << 20)))
    scan(OpenedFile("memory://it.nc", source), ScanOptions())
    assert (source.requests, source.bytes) == (3, 1 << 20)


def test_a_long_attribute_is_fetched_at_once() -> None:
    data = pack(1, attributes=[Att("history", 2, b"x" * (2 << 20))])
    source = Traced(MemorySource(data + bytes(1 << 20)))
    scan(OpenedFile("memory://it.nc", source), ScanOptions())
    assert source.requests == 2
    assert source.bytes <= len(data) + (1 << 16)
