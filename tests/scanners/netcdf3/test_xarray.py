"""What ``xr.open_dataset`` shows: through written references the same as from the file, decoded as CF says."""

import os
import warnings
from pathlib import Path
from typing import Any

import fsspec
import netCDF4
import numpy as np
import pytest
import xarray as xr
import zarr
from fsspec.implementations.asyn_wrapper import AsyncFileSystemWrapper

import refmaker
from refmaker.references.kerchunk_json import write_json
from tests.scanners.netcdf3.packing import Att, Var, pack, samples
from tests.scanners.netcdf3.reading import scanned_file
from tests.scanners.netcdf3.test_corpus import CORPUS, listed, needs_corpus

NATIVE_READS_WRONG = {"netcdf3_streaming.nc"}
"""netCDF-C does not know the streaming record count."""
XARRAY_CANNOT_OPEN = {"nipy+nibabel/nibabel/tests/data/minc1-no-att.mnc"}
"""A dimension called as a scalar variable."""


def open_references(path: Path, folder: Path, **options: Any) -> xr.Dataset:
    out = os.fspath(folder / "refs.json")
    write_json(scanned_file(path, **options), out)
    files = fsspec.filesystem("reference", fo=out, remote_protocol="file", asynchronous=True, skip_instance_cache=True)
    if not files.async_impl:
        files = AsyncFileSystemWrapper(files)
    return xr.open_dataset(zarr.storage.FsspecStore(files, read_only=True), engine="zarr", decode_times=False)


def assert_same_datasets(path: Path, folder: Path, **options: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # xarray's and zarr's own
        with xr.open_dataset(path, engine="netcdf4", decode_times=False) as native:
            ours = open_references(path, folder, **options)
            assert list(ours.variables) == list(native.variables)
            assert set(ours.coords) == set(native.coords)
            for name, variable in native.variables.items():
                mine = ours.variables[name]
                assert (mine.dims, mine.shape) == (variable.dims, variable.shape), name
                assert mine.dtype.newbyteorder("=") == variable.dtype.newbyteorder("="), name
                assert xr.Variable(mine.dims, mine.values).equals(xr.Variable(mine.dims, variable.values)), name


@pytest.mark.parametrize("name", sorted(samples().keys() - NATIVE_READS_WRONG))
@pytest.mark.parametrize("chunk_bytes", [None, 7])
def test_xarray_shows_the_same_of_a_sample(name: str, chunk_bytes: int | None, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(samples()[name])
    assert_same_datasets(path, tmp_path, chunk_bytes=chunk_bytes)


LETTERS = np.frombuffer(b"one\0two\0\0\0\0\0", "S1").reshape(3, 4)
CHARACTERS = {
    "strings": Var("c", [0, 1], 2, LETTERS),
    "characters": Var("c", [1], 2, LETTERS[0]),
    "a scalar": Var("c", [], 2, [b"x"]),
    "an encoding": Var("c", [0, 1], 2, LETTERS, [Att("_Encoding", 2, b"utf-8")]),
    "a fill value": Var("c", [0, 1], 2, LETTERS, [Att("_FillValue", 2, b"o")]),
    "a fill value of NUL": Var("c", [0, 1], 2, LETTERS, [Att("_FillValue", 2, b"\0")]),
    "a record string": Var("c", [2, 1], 2, LETTERS),
}


@pytest.mark.parametrize("variable", CHARACTERS.values(), ids=CHARACTERS.keys())
def test_xarray_joins_characters_alike(variable: Var, tmp_path: Path) -> None:
    path = tmp_path / "file.nc"
    path.write_bytes(
        pack(1, [("n", 3), ("len", 4), ("time", 0)], (), [variable], numrecs=3 if 2 in variable.dims else 0)
    )
    assert_same_datasets(path, tmp_path)


MASKING = {
    "_FillValue": [Att("_FillValue", 3, [2])],
    "missing_value": [Att("missing_value", 3, [2])],
    "both": [Att("_FillValue", 3, [2]), Att("missing_value", 3, [1])],
    "a fill value of another type": [Att("_FillValue", 5, [2])],
    "several missing values": [Att("missing_value", 3, [1, 2])],
    "scale and offset": [Att("scale_factor", 5, [0.1]), Att("add_offset", 6, [3]), Att("_FillValue", 3, [0])],
    "unsigned": [Att("_Unsigned", 2, b"true")],
    "none": [],
}


@pytest.mark.parametrize("attributes", MASKING.values(), ids=MASKING.keys())
def test_xarray_masks_and_scales_alike(attributes: list[Att], tmp_path: Path) -> None:
    path = tmp_path / "file.nc"
    path.write_bytes(pack(1, [("x", 5)], (), [Var("v", [0], 3, [0, 1, 2, -1, -32767], attributes)]))
    assert_same_datasets(path, tmp_path)


@needs_corpus
@pytest.mark.parametrize("path", sorted(set(listed(malformed=False)) - XARRAY_CANNOT_OPEN))
def test_xarray_shows_the_same_of_a_public_file(path: str, tmp_path: Path) -> None:
    assert_same_datasets(CORPUS / path, tmp_path, chunk_bytes=1000)


def test_a_mask_that_xarray_gets_wrong_is_told(tmp_path: Path) -> None:
    path = tmp_path / "unsigned.nc"
    with netCDF4.Dataset(path, "w", format="NETCDF3_CLASSIC") as file:
        file.createDimension("x", 4)
        variable = file.createVariable("v", "i2", ("x",), fill_value=5)
        variable.setncattr("_Unsigned", "true")
    assert [note.sentence[:30] for note in refmaker.scan(str(path)).report.notes] == ["big-endian _Unsigned integers:"]
