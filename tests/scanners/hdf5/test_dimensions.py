"""Dimension names: those that netCDF4 gives the same file."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import netCDF4
import numpy as np
import pytest
import xarray as xr

from refmaker import scan, write_references
from refmaker.model.group import walk_arrays
from tests.native import netcdf_variables
from tests.scanners.hdf5.comparing import assert_same_values, stock_store, through_references

Make = Callable[[Path], object]


def hdf5(write: Callable[[h5py.File], object], **options: Any) -> Make:
    """Return a maker of a file that h5py writes; netCDF-4 wants links in order of creation to write, not to read."""

    def make(path: Path) -> None:
        with h5py.File(path, "w", **options) as file:
            write(file)

    return make


def netcdf(write: Callable[[netCDF4.Dataset], object]) -> Make:
    def make(path: Path) -> None:
        with netCDF4.Dataset(path, "w") as file:
            write(file)

    return make


def data(*shape: int) -> np.ndarray[Any, Any]:
    return np.arange(np.prod(shape, dtype=int), dtype="f4").reshape(shape)


# -- files of h5py -----------------------------------------------------------------------------------------------------
def no_scales(file: h5py.File) -> None:
    file["a"], file["b"], file["c"], file["square"] = data(3, 4), data(4), data(5, 3), data(4, 4)
    file["scalar"] = 1.0


def no_scales_in_groups(file: h5py.File) -> None:
    file["a"], file["z"] = data(3, 4), data(7)
    file["group/a"], file["group/b"] = data(3, 4), data(9)
    file["group/inner/a"] = data(3)
    file["other/a"] = data(4, 3)


def no_lengths(file: h5py.File) -> None:
    file["empty"], file["none"], file["full"] = data(0), data(3, 0), data(3)
    file.create_dataset("growing", (0, 3), "f4", maxshape=(None, 3))


def unlimited_without_scales(file: h5py.File) -> None:
    for name, shape, limit in (("a", (4, 3), (None, 3)), ("b", (4,), (4,)), ("c", (4,), (None,)), ("d", (5,), (None,))):
        file.create_dataset(name, data=data(*shape), maxshape=limit)


def attached(file: h5py.File) -> None:
    file["y"], file["x"], file["image"] = data(2), data(3), data(2, 3)
    file["y"].make_scale()
    file["x"].make_scale("an axis")
    file["image"].dims[0].attach_scale(file["y"])
    file["image"].dims[1].attach_scale(file["x"])


def attached_in_part(file: h5py.File) -> None:
    attached(file)
    file["cube"], file["same"], file["other"] = data(2, 3, 4), data(3, 3), data(7)
    file["cube"].dims[1].attach_scale(file["x"])


def several_scales(file: h5py.File) -> None:
    attached(file)
    file["x2"] = data(3)
    file["x2"].make_scale()
    file["image"].dims[1].attach_scale(file["x2"])


def labels_only(file: h5py.File) -> None:
    file["image"] = data(2, 3)
    file["image"].dims[0].label, file["image"].dims[1].label = "up", "across"


def scales_in_other_groups(file: h5py.File) -> None:
    file["x"] = data(3)
    file["group/y"], file["group/image"] = data(2), data(2, 3)
    for name in ("x", "group/y"):
        file[name].make_scale()
    file["group/image"].dims[0].attach_scale(file["group/y"])
    file["group/image"].dims[1].attach_scale(file["x"])


def same_scale_twice(file: h5py.File) -> None:
    file["x"], file["square"] = data(3), data(3, 3)
    file["x"].make_scale()
    for axis in (0, 1):
        file["square"].dims[axis].attach_scale(file["x"])


def scales_unused(file: h5py.File) -> None:
    file["x"], file["v"], file["w"] = data(3), data(3), data(3, 5)
    file["x"].make_scale()


# -- files of netCDF4 --------------------------------------------------------------------------------------------------
def ordinary(file: netCDF4.Dataset) -> None:
    for name, size in (("time", None), ("lat", 3), ("lon", 4), ("no_variable", 2)):
        file.createDimension(name, size)
    for name in ("time", "lat", "lon"):
        file.createVariable(name, "f8", (name,))[:] = np.arange(3 if name != "lon" else 4)
    file.createVariable("t", "f4", ("time", "lat", "lon"))[:] = data(3, 3, 4)
    file.createVariable("bounds", "f4", ("lat", "no_variable"))[:] = 1
    file.createVariable("square", "f4", ("lat", "lat"))[:] = data(3, 3)
    file.createVariable("scalar", "i4", ())[...] = 1


def groups(file: netCDF4.Dataset) -> None:
    file.createDimension("x", 3)
    file.createVariable("x", "f4", ("x",))[:] = 1
    for name, size in (("a", 3), ("b", 5)):
        group = file.createGroup(name)
        group.createDimension("x", size)
        group.createDimension(f"only_{name}", 3)
        group.createVariable("x", "f4", ("x",))[:] = 2
        group.createVariable("v", "f4", ("x", f"only_{name}"))[:] = 3
    inner = file["a"].createGroup("inner")
    inner.createVariable("v", "f4", ("x", "only_a"))[:] = 4


def not_its_coordinate(file: netCDF4.Dataset) -> None:
    """A variable with a dimension's name that does not lie along it: stored as ``_nc4_non_coord_x``."""
    file.createDimension("x", 3)
    file.createDimension("y", 2)
    file.createVariable("x", "f4", ("y",))[:] = [1, 2]
    file.createVariable("v", "f4", ("x", "y"))[:] = 1


def coordinate_of_two_dimensions(file: netCDF4.Dataset) -> None:
    """FVCOM's ``siglay(siglay, node)``: a scale of two dimensions, with ``_Netcdf4Coordinates``."""
    file.createDimension("node", 4)
    file.createDimension("siglay", 3)
    file.createVariable("siglay", "f4", ("siglay", "node"))[:] = data(3, 4)
    file.createVariable("u", "f4", ("siglay", "node"))[:] = data(3, 4)


def dimensions_of_one_size(file: netCDF4.Dataset) -> None:
    for name in ("a", "b", "c"):
        file.createDimension(name, 3)
    file.createVariable("v", "f4", ("c", "a", "b"))[:] = data(3, 3, 3)
    file.createVariable("b", "f4", ("b",))[:] = 1


def text(file: netCDF4.Dataset) -> None:
    file.createDimension("station", 2)
    file.createDimension("name_length", 5)
    names = np.array([list("Uto\0\0"), list("Hanko")], "S1")
    file.createVariable("name", "S1", ("station", "name_length"))[:] = names
    file.createVariable("station", "i4", ("station",))[:] = [1, 2]


def defined_later(file: netCDF4.Dataset) -> None:
    """Variables before dimensions' own variables: ids and order of creation differ."""
    file.createDimension("z", 2)
    file.createDimension("a", 3)
    file.createVariable("v", "f4", ("a", "z"))[:] = 1
    file.createVariable("a", "f4", ("a",))[:] = 1
    file.createDimension("late", 2)
    file.createVariable("w", "f4", ("late", "a"))[:] = 1
    file.createVariable("z", "f4", ("z",))[:] = 1


def never_written_unlimited(file: netCDF4.Dataset) -> None:
    file.createDimension("time", None)
    file.createDimension("x", 2)
    file.createVariable("time", "f8", ("time",))
    file.createVariable("v", "f4", ("time", "x"))


FILES: dict[str, Make] = {
    "no scales": hdf5(no_scales),
    "no scales, newest structures": hdf5(no_scales, libver="latest"),
    "no scales, order tracked": hdf5(no_scales, track_order=True),
    "no scales, in groups": hdf5(no_scales_in_groups),
    "no scales, in groups, order tracked": hdf5(no_scales_in_groups, track_order=True),
    "axes of no length": hdf5(no_lengths),
    "unlimited without scales": hdf5(unlimited_without_scales),
    "attached scales": hdf5(attached),
    "attached scales, newest structures": hdf5(attached, libver="latest"),
    "scales attached in part": hdf5(attached_in_part),
    "scales attached in part, order tracked": hdf5(attached_in_part, track_order=True),
    "labels only": hdf5(labels_only),
    "one scale along two axes": hdf5(same_scale_twice),
    "scales that nothing is attached to": hdf5(scales_unused),
    "scales in other groups": hdf5(scales_in_other_groups),
    "ordinary": netcdf(ordinary),
    "groups": netcdf(groups),
    "a variable that is not its dimension's coordinate": netcdf(not_its_coordinate),
    "a coordinate of two dimensions": netcdf(coordinate_of_two_dimensions),
    "dimensions of one size": netcdf(dimensions_of_one_size),
    "text": netcdf(text),
    "defined later": netcdf(defined_later),
    "unlimited, never written": netcdf(never_written_unlimited),
}


@pytest.mark.parametrize("make", FILES.values(), ids=FILES)
def test_arrays_dimensions_and_values_are_netcdfs(make: Make, tmp_path: Path) -> None:
    path = tmp_path / "named.nc"
    make(path)
    references = scan(str(path))
    want = {name: (variable.dimensions, variable[...]) for name, variable in netcdf_variables(path)}
    got = dict(walk_arrays(references.root))
    assert {name: array.metadata.dimension_names for name, array in got.items()} == {
        name: dimensions for name, (dimensions, _) in want.items()
    }
    values = through_references(references)
    for name, (_, native) in want.items():
        assert_same_values(values[name], native, name)


@pytest.mark.filterwarnings("ignore:Duplicate dimension names")
@pytest.mark.parametrize("make", FILES.values(), ids=FILES)
def test_every_group_opens_with_xarray(make: Make, tmp_path: Path) -> None:
    path, document = tmp_path / "named.nc", tmp_path / "named.json"
    make(path)
    write_references(scan(str(path)), document)
    with netCDF4.Dataset(path) as file:
        names = ["", *(f"{name}" for name in file.groups)]
    for group in names:
        for door in (f"refmaker://{document}", stock_store(document)):
            with (
                xr.open_dataset(path, engine="netcdf4", group=group or None) as want,
                xr.open_zarr(door, zarr_format=2, group=group or None) as got,
            ):
                xr.testing.assert_identical(got.load(), want.load())
    if make is FILES["groups"]:
        return  # xarray opens no tree in which a dimension has another length in an inner group
    with xr.open_datatree(document, engine="refmaker") as got, xr.open_datatree(path, engine="netcdf4") as want:
        xr.testing.assert_identical(got.load(), want.load())


def test_several_scales_on_one_axis_give_the_first_and_a_note(tmp_path: Path) -> None:
    path = tmp_path / "several.h5"
    hdf5(several_scales)(path)
    references = scan(str(path))
    assert dict(walk_arrays(references.root))["image"].metadata.dimension_names == ("y", "x")
    assert [(note.path, note.code) for note in references.report.notes] == [("image", "dimension")]


def test_a_dimension_without_variable_is_no_array(tmp_path: Path) -> None:
    path = tmp_path / "ordinary.nc"
    netcdf(ordinary)(path)
    references = scan(str(path))
    assert "no_variable" not in references.root.arrays
    assert "no_variable" not in {dataset.path for dataset in references.report.datasets}


def test_a_variable_that_lags_behind_its_unlimited_dimension_is_named_apart(tmp_path: Path) -> None:
    """netCDF shows fill values in its place; what is stored is shorter, and readers refuse two lengths of a name."""

    def lagging(file: netCDF4.Dataset) -> None:
        file.createDimension("time", None)
        file.createVariable("time", "f8", ("time",))[:] = np.arange(5)
        file.createVariable("full", "f4", ("time",))[:] = np.arange(5)
        file.createVariable("lagging", "f4", ("time",))[:] = np.arange(3)

    path = tmp_path / "lagging.nc"
    netcdf(lagging)(path)
    references = scan(str(path))
    names = {name: array.metadata.dimension_names for name, array in walk_arrays(references.root)}
    assert names["time"] == names["full"] == ("time",)
    assert names["lagging"] != ("time",)
    assert [(note.path, note.code) for note in references.report.notes] == [("lagging", "dimension")]
    write_references(references, tmp_path / "lagging.json")
    with xr.open_dataset(tmp_path / "lagging.json", engine="refmaker") as opened:
        assert opened["lagging"].values.tolist() == [0, 1, 2]


def test_a_shorter_unlimited_scale_takes_the_length_of_its_longest_user(tmp_path: Path) -> None:
    def write(file: netCDF4.Dataset) -> None:
        file.createDimension("time", None)
        file.createVariable("time", "f8", ("time",))
        file.createVariable("v", "f4", ("time",))[:] = np.arange(4)

    path = tmp_path / "short.nc"
    netcdf(write)(path)
    names = {name: array.metadata.dimension_names for name, array in walk_arrays(scan(str(path)).root)}
    assert names["v"] == ("time",)
    assert names["time"] != ("time",)


def test_scales_of_the_wrong_length_do_not_name_an_axis(tmp_path: Path) -> None:
    """HDF5 attaches what it is told to; two lengths of one name would open nowhere."""

    def write(file: h5py.File) -> None:
        file["x"], file["v"], file["w"] = data(3), data(5), data(3)
        file["x"].make_scale()
        for name in ("v", "w"):
            file[name].dims[0].attach_scale(file["x"])

    path = tmp_path / "wrong.h5"
    hdf5(write)(path)
    references = scan(str(path))
    names = {name: array.metadata.dimension_names for name, array in walk_arrays(references.root)}
    assert names["w"] == names["x"] == ("x",)
    assert names["v"] != ("x",)
    assert [(note.path, note.code) for note in references.report.notes] == [("v", "dimension")]


def test_dangling_and_foreign_dimension_lists_name_nothing(tmp_path: Path) -> None:
    def write(file: h5py.File) -> None:
        attached(file)
        del file["x"]

    path = tmp_path / "dangling.h5"
    hdf5(write)(path)
    names = {name: array.metadata.dimension_names for name, array in walk_arrays(scan(str(path)).root)}
    assert names["image"][0] == "y"
    assert names["image"][1].startswith("phony_dim_")
