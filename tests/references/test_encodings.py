"""Every encoding says the same, to us, to fsspec's ``reference://`` and to zarr; so do references that others wrote."""

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import ujson
import xarray as xr

from refmaker import ReferenceSet, UnsupportedError, VirtualGroup, open_references, scan, write_references
from refmaker.model.group import walk_arrays
from refmaker.references import relocate
from tests.references.encodings import V2_WAYS, WAYS, Way, assert_same_arrays, chunks_of, stock_store, through
from tests.samples import FOLDER, SAMPLES
from tests.virtual import assert_is_inner, assert_is_sample, sample

pytestmark = [
    pytest.mark.filterwarnings("ignore:The 'fastparquet' engine is deprecated"),
    pytest.mark.filterwarnings("ignore:Numcodecs codecs are not in the Zarr version 3"),
    pytest.mark.filterwarnings("ignore:The data type .* does not have a Zarr V3 specification"),
]
GOLDEN = sorted((FOLDER / "golden").glob("*.json"))
NOT_IN_V3 = {"lab.h5": {"types/compound", "types/compound_chunked"}}
"""Structures with big-endian fields: Zarr v3 cannot say that."""


def golden(path: Path) -> ReferenceSet:
    """Return golden references, whose URLs are relative to the samples' own folder."""
    return relocate(open_references(path), lambda url: url.replace("/golden/", "/"))


def without(group: VirtualGroup, paths: set[str], prefix: str = "") -> VirtualGroup:
    arrays = {name: array for name, array in group.arrays.items() if prefix + name not in paths}
    groups = {name: without(inner, paths, f"{prefix}{name}/") for name, inner in group.groups.items()}
    return VirtualGroup(arrays, groups, group.attributes)


def read_by_stock(references: ReferenceSet, way: Way, folder: Path) -> dict[str, Any]:
    return through(stock_store(way.write(references, folder)), way.zarr_format)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.name)
def test_golden_references_are_read_alike_in_every_encoding(path: Path, way: Way, tmp_path: Path) -> None:
    references = golden(path)
    if way.zarr_format == 3:
        left_out = NOT_IN_V3.get(path.name.removesuffix(".json"), set())
        if left_out:
            with pytest.raises(UnsupportedError, match="types/compound"):
                way.write(references, tmp_path)
        references = ReferenceSet(without(references.root, left_out), references.sources)
    back = open_references(way.write(references, tmp_path))
    assert chunks_of(back) == chunks_of(references)
    assert back.sources == references.sources
    if way.suffix == ".json.zst":
        return  # fsspec has no Zstandard
    (tmp_path / "plain").mkdir()
    want = read_by_stock(references, WAYS[0], tmp_path / "plain")
    assert_same_arrays(read_by_stock(references, way, tmp_path), want)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_reading_back_gives_the_same_references(way: Way, tmp_path: Path) -> None:
    references = sample(tmp_path)
    back = open_references(way.write(references, tmp_path))
    assert chunks_of(back) == chunks_of(references)
    assert back.sources == references.sources
    assert back.root.attributes == references.root.attributes
    assert back.root.arrays["air"].metadata == references.root.arrays["air"].metadata
    again = tmp_path / "again.json"
    write_references(back, again)
    write_references(references, tmp_path / "first.json")
    if way.zarr_format == 2:
        assert again.read_bytes() == (tmp_path / "first.json").read_bytes()


@pytest.mark.parametrize("way", [way for way in WAYS if way.suffix != ".json.zst"], ids=lambda way: way.name)
def test_xarray_opens_what_we_write_through_stock_fsspec(way: Way, tmp_path: Path) -> None:
    store = stock_store(way.write(sample(tmp_path), tmp_path))
    assert_is_sample(xr.open_zarr(store, zarr_format=way.zarr_format))
    assert_is_inner(xr.open_zarr(store, group="inner", zarr_format=way.zarr_format))


@pytest.mark.parametrize("way", V2_WAYS, ids=lambda way: way.name)
def test_flat_references_open_by_their_url_alone(way: Way, tmp_path: Path) -> None:
    if way.suffix in {".json.gz", ".json.zst"}:
        pytest.skip("fsspec wants to be told of compression")
    references = sample(tmp_path)
    flat = ReferenceSet(VirtualGroup(references.root.arrays, {}, references.root.attributes), references.sources)
    assert_is_sample(xr.open_zarr(f"reference::{way.write(flat, tmp_path)}"))


@pytest.mark.parametrize("way", V2_WAYS, ids=lambda way: way.name)
def test_masked_values_are_the_same_in_v3(way: Way, tmp_path: Path) -> None:
    references = golden(FOLDER / "golden" / "ocean.nc.json")
    (tmp_path / "v3").mkdir()
    v3 = stock_store(WAYS[1].write(references, tmp_path / "v3"))
    v2 = stock_store(WAYS[0].write(references, tmp_path))
    with xr.open_zarr(v2, zarr_format=2) as want, xr.open_zarr(v3, zarr_format=3) as got:
        xr.testing.assert_equal(got.load(), want.load())
        assert {n: v.dtype for n, v in got.variables.items()} == {n: v.dtype for n, v in want.variables.items()}


@pytest.fixture(scope="module", params=[path for path in SAMPLES if path.suffix == ".nc"], ids=lambda path: path.name)
def by_kerchunk(request: pytest.FixtureRequest) -> tuple[Path, dict[str, Any]]:
    """What kerchunk writes of our NetCDF samples."""
    hdf, netcdf3 = pytest.importorskip("kerchunk.hdf"), pytest.importorskip("kerchunk.netCDF3")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            if not request.param.name.startswith("netcdf3"):
                found = hdf.SingleHdf5ToZarr(str(request.param), inline_threshold=50).translate()
            else:
                found = netcdf3.NetCDF3ToZarr(str(request.param), inline_threshold=50).translate()
        except Exception as error:  # noqa: BLE001  whatever it stumbles over
            pytest.skip(f"kerchunk cannot read it: {error}")
    return request.param, found


def without_objects(refs: dict[str, Any]) -> dict[str, Any]:
    """Return references without the arrays that zarr refuses in v2, such as kerchunk's strings without a filter."""
    bad = [
        key.removesuffix("/.zarray")
        for key, value in refs.items()
        if key.endswith(".zarray") and ujson.loads(value)["dtype"] == "|O" and not ujson.loads(value)["filters"]
    ]
    return {key: value for key, value in refs.items() if not any(key.startswith(f"{path}/") for path in bad)}


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_what_kerchunk_writes_is_read_alike_in_every_encoding(by_kerchunk: Any, way: Way, tmp_path: Path) -> None:
    _, document = by_kerchunk
    document = {"version": 1, "refs": without_objects(document["refs"])}
    given = tmp_path / "kerchunk.json"
    given.write_text(ujson.dumps(document))
    references = open_references(given)
    back = open_references(way.write(references, tmp_path))
    assert chunks_of(back) == chunks_of(references)
    if way.suffix == ".json.zst":
        return  # fsspec has no Zstandard
    got, want = through(stock_store(tmp_path / f"refs{way.suffix}"), way.zarr_format), through(stock_store(given))
    assert got.keys() == dict(walk_arrays(references.root)).keys()
    assert_same_arrays({path: got[path] for path in want}, want)  # without consolidated metadata zarr 3.1 sees the root


def test_templates_are_written_where_directories_are_shared(tmp_path: Path) -> None:
    references = scan(str(FOLDER / "ocean.nc"), on_unsupported="skip")
    more = ReferenceSet(references.root, (*references.sources, *references.sources))
    write_references(more, tmp_path / "refs.json", templates=True)
    content = json.loads((tmp_path / "refs.json").read_text())
    assert content["templates"] == {"t0": f"file://{FOLDER}/"}
    assert {value[0] for value in content["refs"].values() if isinstance(value, list)} == {"{{t0}}ocean.nc"}
    assert {source.url for source in open_references(tmp_path / "refs.json").sources} == {f"file://{FOLDER}/ocean.nc"}


def test_v3_in_parquet_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="JSON"):
        write_references(sample(tmp_path), tmp_path / "x.parq", zarr_format=3)
    assert not (tmp_path / "x.parq").exists()


def test_virtualizarr_reads_our_parquet(tmp_path: Path) -> None:
    parsers = pytest.importorskip("virtualizarr.parsers")
    registry = pytest.importorskip("obspec_utils.registry")
    stores = pytest.importorskip("obstore.store")
    references = sample(tmp_path)
    words = ReferenceSet(VirtualGroup({"words": references.root.arrays["words"]}), references.sources)
    write_references(words, tmp_path / "x.parq")
    local = registry.ObjectStoreRegistry({"file://": stores.LocalStore()})
    store = parsers.KerchunkParquetParser()(f"{tmp_path}/x.parq", local)
    found = store._group.arrays["words"].manifest.dict()
    assert {key: (c["path"], c["offset"], c["length"]) for key, c in found.items()} == {
        str(position): chunk for position, chunk in enumerate(chunks_of(words)["words"])
    }
