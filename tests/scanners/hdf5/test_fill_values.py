"""What chunks read as that are not there, and what readers mask: HDF5's fill value, ``_FillValue``, both or neither."""

import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import netCDF4
import numpy as np
import pytest
import xarray as xr
from h5py import h5d, h5p, h5s, h5t

from refmaker import scan, write_references
from tests.scanners.hdf5.comparing import Case, array_of, check, made, stock_store, through_h5py

INLINED = {"d": "inlined"}


def array(
    dtype: Any,
    *,
    fill: Any = None,
    attribute: Any = None,
    written: bool = False,
    partly: bool = False,
    shape: tuple[int, ...] = (4, 6),
    chunks: tuple[int, ...] | None = (2, 3),
) -> Callable[[h5py.File], object]:
    """Return a maker of a dataset with HDF5's fill value, an attribute ``_FillValue``, and values or none."""

    def make(file: h5py.File) -> None:
        created = file.create_dataset("d", shape, dtype, chunks=chunks if shape else None, fillvalue=fill)
        if attribute is not None:
            created.attrs["_FillValue"] = attribute
        if written:
            created[...] = 0
        if partly:
            created[:2, :3] = 1

    return make


LARGE = {"shape": (200, 200), "chunks": (100, 50)}
WRONG = {"notes": ("fill-value",)}

CASES: list[tuple[Case, Any]] = [
    # neither
    (Case("written, no fill value", array("<f4", written=True)), None),
    (Case("true zeros", array("<i2", written=True)), None),
    (Case("not written", array("<f4")), None),
    (Case("partly written", array("<i4", partly=True)), None),
    # only HDF5's
    (Case("not written, HDF5's fill value", array("<i4", fill=-9), INLINED), None),
    (Case("not written, NaN", array("<f4", fill=np.nan), INLINED), None),
    (Case("not written, large", array("<i4", fill=-9, **LARGE), **WRONG), -9),
    (Case("not written, large, NaN", array("<f8", fill=np.nan, **LARGE), **WRONG), np.nan),
    (Case("partly written, HDF5's fill value", array("<i4", fill=-9, partly=True), **WRONG), -9),
    (Case("all written, HDF5's fill value is of no importance", array("<i4", fill=-9, written=True)), None),
    (Case("partly written, boolean", array("?", fill=True, partly=True), **WRONG), True),
    (Case("partly written, complex", array("<c8", fill=1 + 2j, partly=True), **WRONG), 1 + 2j),
    (Case("scalar", array("<i4", fill=5, shape=()), INLINED), None),
    # only the attribute
    (Case("_FillValue", array("<f4", attribute=np.float32(-1), written=True)), np.float32(-1)),
    (Case("_FillValue of NaN", array("<f8", attribute=np.nan, written=True)), np.nan),
    (Case("_FillValue of one element", array("<i2", attribute=np.array([-1], "<i2"), written=True)), -1),
    (Case("_FillValue of the other byte order", array("<i2", attribute=np.array(-1, ">i2"), written=True)), -1),
    (Case("_FillValue of zero", array("<i2", attribute=np.int16(0), partly=True)), 0),
    (Case("_FillValue, missing chunks read zero", array("<i2", attribute=np.int16(-1), partly=True)), None),
    # both
    (Case("both alike", array("<i2", fill=-1, attribute=np.int16(-1), partly=True)), -1),
    (Case("both alike, NaN", array("<f4", fill=np.nan, attribute=np.float32("nan"), partly=True)), np.nan),
    (Case("both, all written", array("<i2", fill=-5, attribute=np.int16(-1), written=True)), -1),
    (
        Case(
            "both, unlike, missing chunks",
            array("<i2", fill=-5, attribute=np.int16(-1), partly=True),
            {"d": "skipped: fill-value"},
        ),
        None,
    ),
    # an attribute that is no fill value of the array
    (Case("of a wrong type", array("<f4", attribute="missing", written=True), **WRONG), None),
    (Case("of another number type", array("<i2", attribute=np.float64(-1), written=True), **WRONG), None),
    (Case("of two elements", array("<i2", attribute=np.array([1, 2], "<i2"), written=True), **WRONG), None),
    (Case("of no element", array("<i2", attribute=np.empty(0, "<i2"), written=True), **WRONG), None),
    (Case("null", array("<i2", attribute=h5py.Empty("<i2"), written=True), **WRONG), None),
    (Case("wrong, and missing chunks", array("<i2", fill=-5, attribute="?", partly=True), **WRONG), -5),
]


@pytest.mark.parametrize(("case", "fill_value"), CASES, ids=str)
def test_the_fill_value_is_what_readers_must_know(case: Case, fill_value: Any, tmp_path: Path) -> None:
    references = check(case, tmp_path)
    if "skipped" in case.becomes["d"]:
        return
    metadata = array_of(references).metadata
    np.testing.assert_equal(metadata.fill_value, fill_value)
    with h5py.File(tmp_path / "case.h5") as file:
        assert ("_FillValue" in metadata.attributes) == ("_FillValue" in file["d"].attrs)


def test_an_undefined_fill_value_reads_as_zero(tmp_path: Path) -> None:
    def make(file: h5py.File) -> None:
        properties = h5p.create(h5p.DATASET_CREATE)
        properties.set_chunk((2,))
        properties.set_fill_time(h5d.FILL_TIME_NEVER)
        h5d.create(file.id, b"d", h5t.STD_I32LE, h5s.create_simple((5,)), properties)

    check(Case("", make), tmp_path)


@pytest.mark.parametrize("fill", [[7, 7, 7], [1, 2, 3], [0, 0, 0]])
def test_an_array_datatype_with_a_fill_value_of_its_own_is_never_guessed(fill: list[int], tmp_path: Path) -> None:
    """h5py cannot tell what it is."""

    def make(file: h5py.File) -> None:
        properties = h5p.create(h5p.DATASET_CREATE)
        kind = h5t.array_create(h5t.STD_I32LE, (3,))
        value = np.array(fill, "<i4")
        call = ctypes.CDLL(h5p.__file__).H5Pset_fill_value
        call.argtypes = [ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p]
        assert call(properties.id, kind.id, value.ctypes.data) >= 0
        h5d.create(file.id, b"d", kind, h5s.create_simple((3,)), properties)

    path = made(Case("", make), tmp_path)
    assert through_h5py(path)["d"].tolist() == [fill] * 3
    check(Case("", make, {"d": "skipped: fill-value"}), tmp_path)


COMPOUND = np.dtype([("a", "<i4"), ("b", "<f8")])


def test_a_compound_has_a_compound_fill_value(tmp_path: Path) -> None:
    fill = np.array((7, 2.5), COMPOUND)[()]
    case = Case("", array(COMPOUND, fill=fill, shape=(10000,), chunks=(1000,)), notes=("fill-value",))
    assert array_of(check(case, tmp_path)).metadata.fill_value == fill


# -- as readers mask ---------------------------------------------------------------------------------------------------
def netcdf(path: Path) -> None:
    """Variables of every kind of fill value, written, partly written and never written."""
    with netCDF4.Dataset(path, "w") as file:
        file.createDimension("time", None)
        file.createDimension("x", 4)
        file.createVariable("time", "f8", ("time",))[:] = [0, 1, 2]
        for kind in ("i2", "u1", "f4", "f8", "i8"):
            file.createVariable(f"{kind}_default", kind, ("time", "x"), chunksizes=(1, 4))[::2] = 1
            file.createVariable(f"{kind}_own", kind, ("time", "x"), fill_value=9, chunksizes=(1, 4))[2] = 1
            file.createVariable(f"{kind}_none", kind, ("time", "x"), fill_value=False, chunksizes=(1, 4))[:] = 0
            file.createVariable(f"{kind}_never", kind, ("x",))
            file.createVariable(f"{kind}_never_own", kind, ("x",), fill_value=7)
            file.createVariable(f"{kind}_scalar", kind, ())
        packed = file.createVariable("packed", "i2", ("time", "x"), fill_value=-99)
        packed.setncatts({"scale_factor": 0.1, "add_offset": 3.0, "missing_value": np.int16(-99)})
        packed[:] = np.ma.masked_equal(np.arange(12).reshape(3, 4), 5)
        file.createVariable("letters", "S1", ("x",), fill_value="-")
        file.createVariable("crs", "i4", ()).grid_mapping_name = "latitude_longitude"


def test_netcdf_reads_as_xarray_reads_the_original(tmp_path: Path) -> None:
    """But where chunks are missing and no _FillValue says so: readers of Zarr v2 mask them (the report says that)."""
    path = tmp_path / "fills.nc"
    netcdf(path)
    references = scan(str(path))
    write_references(references, tmp_path / "fills.json")
    told = {note.path for note in references.report.notes if note.code == "fill-value"}
    assert told == {f"{kind}_default" for kind in ("i2", "u1", "f4", "f8", "i8")}
    doors = [stock_store(tmp_path / "fills.json"), f"refmaker://{tmp_path / 'fills.json'}"]
    for mask in (True, False):
        with xr.open_dataset(path, engine="netcdf4", mask_and_scale=mask) as want:
            want.load()
            for door in doors:
                with xr.open_zarr(door, zarr_format=2, mask_and_scale=mask) as got:
                    different = [
                        name
                        for name in want.variables
                        if not name.endswith("_default")
                        and (not got[name].identical(want[name]) or got[name].dtype != want[name].dtype)
                    ]
                    assert not different
                    if not mask:
                        for name in told:
                            np.testing.assert_array_equal(got[name].values, want[name].values, strict=True)
