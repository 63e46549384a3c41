"""What scanning remote files costs: requests, bytes and dependent rounds, to the number, for each kind of file."""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec
import h5py
import netCDF4
import numpy as np
import pytest
import tifffile

import refmaker
from refmaker.source import rounds

MB = 1 << 20


@dataclass(frozen=True)
class Budget:
    """A file, and what scanning it may cost: exact requests and rounds, at most so many bytes, no miss."""

    name: str
    make: Callable[[Path], None]
    requests: int
    rounds: int
    most_bytes: int
    whole: bool = True

    def __str__(self) -> str:
        return self.name


def small_netcdf4(path: Path) -> None:
    with netCDF4.Dataset(path, "w") as file:
        for name, length in (("time", None), ("y", 100), ("x", 100)):
            file.createDimension(name, length)
            file.createVariable(name, "f8", (name,))[:] = np.arange(length or 4)
        for number in range(10):
            variable = file.createVariable(f"v{number}", "f8", ("time", "y", "x"), chunksizes=(1, 100, 100))
            variable[:] = np.zeros((4, 100, 100))
            variable.setncatts({f"attribute_{n}": "text" for n in range(12)})


def growing_netcdf4(path: Path) -> None:
    """The depth of 20,000 chunks (three levels of nodes) with a quarter of them, in two variables."""
    with netCDF4.Dataset(path, "w") as file:
        file.createDimension("time", None)
        file.createDimension("x", 256)
        variables = [file.createVariable(f"v{n}", "f8", ("time", "x"), chunksizes=(1, 256)) for n in range(2)]
        row = np.zeros(256)
        for step in range(5000):
            for variable in variables:
                variable[step] = row


def chunked(path: Path, maxshape: tuple[int | None, ...], chunks: int = 9000, **options: Any) -> None:
    with h5py.File(path, "w", **options) as file:
        for name in ("a", "b"):
            shape = (chunks, 256) if len(maxshape) == 2 else (chunks * 256,)
            piece = (1, 256) if len(maxshape) == 2 else (256,)
            dataset = file.create_dataset(name, shape, "f8", chunks=piece, maxshape=maxshape)
            dataset[...] = 0.0


def paged(path: Path) -> None:
    chunked(path, (None, 256), fs_strategy="page", fs_page_size=4 * MB)


def extensible_arrays(path: Path) -> None:
    chunked(path, (None, 256), libver="latest")


def fixed_arrays(path: Path) -> None:
    chunked(path, (9000, 256), libver="latest")


def btrees_v2(path: Path) -> None:
    chunked(path, (None, None), libver="latest")


def dense_attributes(path: Path) -> None:
    with h5py.File(path, "w", libver="latest") as file:
        for number in range(20):
            dataset = file.create_dataset(f"d{number:02d}", data=np.zeros(MB // 8))
            for n in range(50):
                dataset.attrs[f"attribute_{n}"] = f"value {n}"


def netcdf3(path: Path) -> None:
    with netCDF4.Dataset(path, "w", format="NETCDF3_64BIT_OFFSET") as file:
        file.createDimension("x", 20 * MB)
        file.createVariable("v", "i1", ("x",))[:] = 0


def cog(path: Path) -> None:
    """A pyramid of five resolutions as GDAL lays it out: all directories and their values before any tile."""
    tile, levels = 256, 5
    directories, values_at = [], 8
    for level in range(levels):
        side = 4096 >> level
        count = (side // tile) ** 2
        entries = [
            (254, 4, 1, int(level > 0)), (256, 4, 1, side), (257, 4, 1, side), (258, 3, 1, 8), (259, 3, 1, 1),
            (262, 3, 1, 1), (277, 3, 1, 1), (322, 4, 1, tile), (323, 4, 1, tile),
            (324, 4, count, 0), (325, 4, count, 0),
        ]  # fmt: skip
        directories.append((count, entries))
    data_at = 8 + sum(6 + 12 * len(entries) + 8 * count for count, entries in directories)
    content = bytearray(struct.pack("<2sHI", b"II", 42, 8))
    for number, (count, entries) in enumerate(directories):
        values_at = len(content) + 6 + 12 * len(entries)
        offsets = range(data_at, data_at + count * tile * tile, tile * tile)
        data_at = offsets.stop
        content += struct.pack("<H", len(entries))
        for tag, kind, n, value in entries:
            place = {324: offsets[0] if n == 1 else values_at, 325: tile * tile if n == 1 else values_at + 4 * n}
            content += struct.pack("<HHII", tag, kind, n, place.get(tag, value))
        content += struct.pack("<I", values_at + 8 * count if number < levels - 1 else 0)
        content += struct.pack(f"<{2 * count}I", *offsets, *[tile * tile] * count)
    path.write_bytes(content + bytes(data_at - len(content)))


def equal_pages(path: Path) -> None:
    """1,000 pages, each with its own directory, at equal distances."""
    with tifffile.TiffWriter(path) as file:
        for _ in range(1000):
            file.write(np.zeros((192, 192), "u2"), photometric="minisblack", metadata=None, contiguous=False)


def unequal_pages(path: Path) -> None:
    rng = np.random.default_rng(0)
    with tifffile.TiffWriter(path) as file:
        for number in range(1000):
            page = rng.integers(0, 100 + number % 7, (100 + number % 13, 128)).astype("u2")
            file.write(page, photometric="minisblack", compression="zlib", metadata=None, contiguous=False)


BUDGETS = (
    Budget("small netCDF-4", small_netcdf4, 2, 2, 4 * MB),
    Budget("small netCDF-4, walked", small_netcdf4, 11, 5, MB, whole=False),
    Budget("growing netCDF-4", growing_netcdf4, 106, 3, MB),
    Budget("paged HDF5", paged, 8, 5, MB),
    Budget("extensible arrays", extensible_arrays, 86, 5, MB // 2),
    Budget("fixed arrays", fixed_arrays, 3, 2, MB // 2),
    Budget("B-trees v2", btrees_v2, 214, 4, MB),
    Budget("dense attributes", dense_attributes, 23, 5, 2 * MB),
    Budget("NetCDF-3", netcdf3, 1, 1, 1 << 16),
    Budget("COG", cog, 1, 1, 1 << 16),
    Budget("1,000 pages at equal distances", equal_pages, 998, 5, 2 * MB),
    Budget("1,000 pages at unequal distances", unequal_pages, 8, 8, 16 * MB),
)


@pytest.mark.parametrize("budget", BUDGETS, ids=str)
def test_a_remote_scan_costs(budget: Budget, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    budget.make(path)
    if not budget.whole:
        monkeypatch.setattr(rounds, "WHOLE_FILE_BELOW", 0)
    fsspec.filesystem("memory").pipe_file("/budgets/file", path.read_bytes())
    report = refmaker.scan("memory://budgets/file").report
    fsspec.filesystem("memory").rm_file("/budgets/file")
    assert report.misses == 0
    assert report.bytes_read is not None
    assert (report.requests, report.rounds) == (budget.requests, budget.rounds)
    assert report.bytes_read <= budget.most_bytes
