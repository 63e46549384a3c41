"""Every sample reads, through every door, as the native library and xarray read the original."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import h5py
import netCDF4
import numpy as np
import pytest
import xarray as xr
import zarr
from fsspec.implementations.asyn_wrapper import AsyncFileSystemWrapper

from refmaker import ReferenceSet, VirtualGroup, inline_below, scan, write_references
from refmaker.model.group import walk
from tests.native import HIDDEN, hdf5_datasets, hdf5_values, json_of, netcdf_groups, netcdf_variables
from tests.samples import COMPARABLE, LAB, OCEAN, SAMPLES, make

EVERYTHING = 1 << 30


def stock(document: Path) -> Any:
    """Return what zarr reads through fsspec's own ``reference://``."""
    inner = fsspec.filesystem(
        "reference",
        fo=str(document),
        remote_protocol="file",
        remote_options={"asynchronous": True},
        asynchronous=True,
        skip_instance_cache=True,
    )
    wrapped = inner if inner.async_impl else AsyncFileSystemWrapper(inner, asynchronous=True)
    return zarr.storage.FsspecStore(wrapped, read_only=True)


def ours(document: Path) -> Any:
    """Return what zarr and xarray read through ``refmaker://``."""
    return f"refmaker://{document}"


DOORS: dict[str, Callable[[Path], Any]] = {"reference": stock, "refmaker": ours}


@pytest.fixture(scope="module", params=["as scanned", "all inlined"])
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[Path, tuple[Path, Any]]:
    """Sample -> (document, references) of its scan."""
    folder = tmp_path_factory.mktemp("samples")
    found = {}
    for sample in SAMPLES:
        references = scan(str(sample), on_unsupported="skip")
        if request.param == "all inlined":
            references = inline_below(references, EVERYTHING)
        document = folder / f"{sample.name}.json"
        write_references(references, document)
        found[sample] = document, references
    return found


@pytest.fixture(params=DOORS)
def door(request: pytest.FixtureRequest) -> Callable[[Path], Any]:
    return DOORS[request.param]


def arrays_of(store: Any) -> dict[str, Any]:
    root = zarr.open_group(store, mode="r", zarr_format=2)
    return {name: member for name, member in root.members(max_depth=None) if isinstance(member, zarr.Array)}


def group_paths(references: ReferenceSet) -> list[str]:
    return [path for path, node in walk(references.root) if isinstance(node, VirtualGroup)]


def assert_same_values(got: Any, want: Any, path: str) -> None:
    """Values, shape and dtype are the same; byte order, being how values are stored, may differ."""
    got, want = np.asarray(got), np.asarray(want)
    assert got.shape == want.shape, path
    if want.dtype.kind == "O":
        assert got.astype(object).tolist() == want.tolist(), path
        return
    assert got.dtype.newbyteorder("=") == want.dtype.newbyteorder("="), path
    if want.dtype.kind == "V":
        assert got.astype(want.dtype).tobytes() == want.tobytes(), path
        return
    np.testing.assert_array_equal(got, want, err_msg=path)


def native_values(sample: Path) -> dict[str, Any]:
    """Path -> values of every dataset that has any."""
    if sample.suffix == ".nc":
        return {path: variable[...] for path, variable in netcdf_variables(sample)}
    with h5py.File(sample) as file:
        return {path: hdf5_values(dataset) for path, dataset in hdf5_datasets(file) if dataset.shape is not None}


@pytest.mark.parametrize("sample", COMPARABLE, ids=lambda path: path.name)
def test_every_dataset_is_accounted_for(sample: Path, written: Any) -> None:
    _, references = written[sample]
    states = {dataset.path: dataset.state for dataset in references.report.datasets}
    if sample.suffix == ".nc":
        assert states.keys() == {path for path, _ in netcdf_variables(sample)}
    else:
        with h5py.File(sample) as file:
            assert states.keys() == {path for path, _ in hdf5_datasets(file)}


@pytest.mark.parametrize("sample", COMPARABLE, ids=lambda path: path.name)
def test_values_are_what_the_native_library_reads(sample: Path, written: Any, door: Callable[[Path], Any]) -> None:
    document, references = written[sample]
    skipped = {dataset.path for dataset in references.report.skipped}
    got, want = arrays_of(door(document)), native_values(sample)
    assert got.keys() == want.keys() - skipped
    for path, array in got.items():
        assert_same_values(array[...], want[path], path)


def test_only_what_cannot_be_expressed_is_skipped(written: Any) -> None:
    skipped = {s.name: {d.path: d.code for d in references.report.skipped} for s, (_, references) in written.items()}
    assert {name: reasons for name, reasons in skipped.items() if reasons} == {
        "odd.h5": {"compound_nested": "dtype", "longdouble": "dtype", "null": "null-dataspace", "ragged": "ragged"},
    }


def test_dimensions_and_attributes_are_what_netcdf_says(written: Any, door: Callable[[Path], Any]) -> None:
    document, _ = written[OCEAN]
    got = arrays_of(door(document))
    for path, variable in netcdf_variables(OCEAN):
        attributes = dict(got[path].attrs)
        assert tuple(attributes.pop("_ARRAY_DIMENSIONS")) == variable.dimensions, path
        if path == "ice_state":
            assert attributes.pop("flag_values") == [0, 1, 2]
            assert attributes.pop("flag_meanings") == "open drift fast"
        assert attributes == {name: json_of(variable.getncattr(name)) for name in variable.ncattrs()}, path


def test_group_attributes_are_what_netcdf_says(written: Any, door: Callable[[Path], Any]) -> None:
    document, references = written[OCEAN]
    with netCDF4.Dataset(OCEAN) as file:
        want = {
            prefix.removesuffix("/"): {name: json_of(group.getncattr(name)) for name in group.ncattrs()}
            for prefix, group in netcdf_groups(file)
        }
    assert sorted(group_paths(references)) == sorted(want)
    for path, attributes in want.items():
        opened = zarr.open_group(door(document), path=path, mode="r", zarr_format=2)
        assert dict(opened.attrs) == attributes, path


def test_attributes_of_odd_kinds_keep_their_values_or_are_reported(written: Any, door: Callable[[Path], Any]) -> None:
    document, references = written[LAB]
    attributes = dict(arrays_of(door(document))["attributes/object"].attrs)
    del attributes["_ARRAY_DIMENSIONS"]
    kept = {
        "text": "naïve ☃",
        "latin1": "Ångström",
        "fixed_strings": ["a", "bcd"],
        "variable_strings": ["x", "", "zz"],
        "number": float(np.float32(0.1)),
        "one_element": 7,
        "matrix": [[0, 1, 2], [3, 4, 5]],
        "boolean": True,
        "complex": [1.5, -2.0],
        "compound": {"a": 1, "b": 2.5},
        "no_elements": [],
        "NAME": "not netCDF's",
    }
    assert {name: attributes.get(name) for name in kept} == kept
    np.testing.assert_array_equal(np.array(attributes["not_finite"], float), [np.nan, np.inf, -np.inf])
    with h5py.File(LAB) as file:
        lost = file["attributes/object"].attrs.keys() - attributes.keys()
    told = " ".join(note.sentence for note in references.report.notes if note.path == "attributes/object")
    assert lost <= {"empty", "reference"}
    assert [name for name in lost if name not in told] == []


def test_dimension_scales_name_dimensions(written: Any, door: Callable[[Path], Any]) -> None:
    document, _ = written[LAB]
    got = arrays_of(door(document))
    names = {name: got[f"dimensions/{name}"].attrs["_ARRAY_DIMENSIONS"] for name in ("x", "y", "image")}
    assert names == {"x": ["x"], "y": ["y"], "image": ["y", "x"]}
    assert HIDDEN.isdisjoint(got["dimensions/image"].attrs.keys() | got["dimensions/x"].attrs.keys())


def numeric_dtypes(dataset: xr.Dataset) -> dict[str, np.dtype[Any]]:
    """Return the dtypes but those of strings: zarr-python and netCDF4-python hold these each in their own way."""
    return {str(n): v.dtype for n, v in dataset.variables.items() if v.dtype.kind not in "OTU"}


@pytest.mark.parametrize("group", ["", "forcing", "forcing/rivers", "empty"])
def test_xarray_sees_what_it_sees_in_the_original(group: str, written: Any, door: Callable[[Path], Any]) -> None:
    document, _ = written[OCEAN]
    with (
        xr.open_dataset(OCEAN, engine="netcdf4", group=group) as want,
        xr.open_zarr(door(document), group=group or None, zarr_format=2) as got,
    ):
        for name in ("flag_values", "flag_meanings"):
            if "ice_state" in got:
                del got["ice_state"].attrs[name]
        xr.testing.assert_identical(got.load(), want.load())
        assert numeric_dtypes(got) == numeric_dtypes(want)


@pytest.mark.filterwarnings("ignore:variable .* has (multiple fill values|non-conforming)")
@pytest.mark.parametrize("sample", COMPARABLE, ids=lambda path: path.name)
def test_xarray_opens_every_group(sample: Path, written: Any, door: Callable[[Path], Any]) -> None:
    document, references = written[sample]
    groups = {path: node for path, node in walk(references.root) if isinstance(node, VirtualGroup)}
    for path, node in groups.items():
        with xr.open_zarr(door(document), group=path or None, zarr_format=2) as opened:
            assert set(opened.variables) == set(node.arrays), path


@pytest.mark.parametrize("sample", COMPARABLE, ids=lambda path: path.name)
def test_references_are_the_golden_ones(sample: Path) -> None:
    """An intended change: ``python sample_data/make.py --golden``, then read the difference."""
    assert make.golden_references(sample) == json.loads(make.golden_path(sample).read_text())


def test_samples_are_small() -> None:
    sizes = [sample.stat().st_size for sample in SAMPLES]
    assert max(sizes) < 100_000
    assert sum(sizes) < 2_000_000


TIMESTAMP_BYTES = 4 * 4 + 4
"""netCDF-C stamps a named type with four times, and a checksum follows them."""


def test_samples_are_made_alike_again(tmp_path: Path) -> None:
    folders = [tmp_path / "first", tmp_path / "second"]
    for folder in folders:
        folder.mkdir()
        make.make(folder)
    for sample in SAMPLES:
        first, second = (np.frombuffer((folder / sample.name).read_bytes(), np.uint8) for folder in folders)
        assert first.size == second.size
        assert np.count_nonzero(first != second) <= (TIMESTAMP_BYTES if sample == OCEAN else 0), sample.name
        if sample not in COMPARABLE:
            continue
        again, kept = native_values(folders[0] / sample.name), native_values(sample)
        assert again.keys() == kept.keys()
        for path, values in kept.items():
            if sample.name != "odd.h5" or path != "ragged":
                assert_same_values(again[path], values, path)
