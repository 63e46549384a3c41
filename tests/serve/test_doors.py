"""All doors show the same, whatever references are written in; they travel to threads and processes; requests merge."""

import asyncio
import pickle
import shutil
from pathlib import Path
from typing import Any

import dask
import fsspec
import numpy as np
import pytest
import xarray as xr
import zarr

from refmaker.errors import BrokenReferencesError, OptionError, StaleSourceError
from refmaker.model.reference_set import ReferenceSet
from refmaker.references import relocate, write_references
from refmaker.scanners.registry import scan
from refmaker.serve.codec_pipeline import PlannedCodecPipeline
from refmaker.serve.opened import OpenedReferences, SkippedWarning, open_given
from refmaker.serve.selecting import PIPELINE
from refmaker.serve.store import RefStore
from tests.samples import LAB, OCEAN
from tests.serve.doors import DOORS, Door
from tests.servers import Faults
from tests.virtual import AIR, COUNTS, ODD_NAME, TIME, WORDS, assert_is_inner, assert_is_sample, sample


@pytest.fixture(params=DOORS)
def door(request: pytest.FixtureRequest) -> Door:
    return DOORS[request.param]


ENCODINGS = {
    "refs.json": {}, "refs.json.gz": {}, "v3.json": {"zarr_format": 3},
    "refs.parq": {}, "tiny.parquet": {"record_size": 3},
}  # fmt: skip


@pytest.mark.parametrize("name", ENCODINGS)
def test_every_encoding_through_every_door(name: str, door: Door, tmp_path: Path) -> None:
    write_references(sample(tmp_path), tmp_path / name, **ENCODINGS[name])
    for path, want in {"air": AIR, "time": TIME, "words": WORDS}.items():
        np.testing.assert_array_equal(door(str(tmp_path / name), path), want)
    masked = COUNTS.copy()
    masked[3:6] = -5
    np.testing.assert_array_equal(door(str(tmp_path / name), f"inner/{ODD_NAME}"), masked)


@pytest.mark.parametrize("name", ["refs.parq", "tiny.parquet"])
def test_a_lost_or_damaged_partition_is_an_error(name: str, door: Door, tmp_path: Path) -> None:
    write_references(sample(tmp_path), tmp_path / name, **ENCODINGS[name])
    partitions = sorted((tmp_path / name / "air").glob("*.parq"))
    for damage in (lambda path: path.write_bytes(b"<html>"), lambda path: path.unlink()):
        damage(partitions[-1])
        with pytest.raises(BrokenReferencesError):
            door(str(tmp_path / name), "air")
    np.testing.assert_array_equal(door(str(tmp_path / name), "time"), TIME)


@pytest.mark.parametrize("path", ["air", "number", "none", "words"])
@pytest.mark.parametrize(
    "key", [(), (0,), (slice(1, 3),), (slice(None, None, 2), slice(1, 6, 3)), (-1,), (slice(0, 0),), ([3, 0, 1],)]
)
def test_zarr_selections_are_those_of_zarrs_own_pipeline(path: str, key: tuple[Any, ...], tmp_path: Path) -> None:
    references = sample(tmp_path)
    store = RefStore(references)
    ours = zarr.open_group(store, mode="r")[path]
    assert isinstance(ours._async_array.codec_pipeline, PlannedCodecPipeline)
    key = key[: ours.ndim]
    with zarr.config.set({"codec_pipeline.path": "zarr.core.codec_pipeline.BatchedCodecPipeline"}):
        stock = zarr.open_group(RefStore(references, plan_selections=False), mode="r")[path]
        assert not isinstance(stock._async_array.codec_pipeline, PlannedCodecPipeline)
    if path == "none" and key not in [(), (slice(0, 0),)]:
        return
    for method in ("oindex", "__getitem__") if path == "air" or not any(isinstance(k, list) for k in key) else ():
        read = (lambda array: array.oindex[key]) if method == "oindex" and key else (lambda array: array[key])
        np.testing.assert_array_equal(read(ours), read(stock))
    if path == "air":
        points = ([0, 3, 1], [5, 0, 0], [4, 1, 2])
        np.testing.assert_array_equal(ours.vindex[points], AIR[points])
        np.testing.assert_array_equal(ours.oindex[[2, 0], 1, 1:4], AIR[[2, 0], 1, 1:4])


def test_the_pipeline_leaves_other_stores_to_zarr_and_keeps_others_choices(tmp_path: Path) -> None:
    RefStore(sample(tmp_path))
    assert zarr.config.get("codec_pipeline.path") == PIPELINE
    store = zarr.storage.MemoryStore()
    array = zarr.create_array(store, shape=(10, 10), chunks=(3, 3), dtype="i4")
    array[...] = np.arange(100).reshape(10, 10)
    np.testing.assert_array_equal(zarr.open_array(store)[2:7, ::3], np.arange(100).reshape(10, 10)[2:7, ::3])
    with zarr.config.set({"codec_pipeline.path": "my.own"}):
        RefStore(sample(tmp_path))
        assert zarr.config.get("codec_pipeline.path") == "my.own"


@pytest.mark.skipif(not hasattr(zarr.errors, "ChunkNotFoundError"), reason="zarr 3.1 fills whatever is missing")
def test_zarr_may_refuse_absent_chunks(tmp_path: Path) -> None:
    with zarr.config.set({"array.read_missing_chunks": False}):
        group = zarr.open_group(RefStore(sample(tmp_path)), mode="r")
        np.testing.assert_array_equal(group["air"][...], AIR)
        with pytest.raises(zarr.errors.ChunkNotFoundError):
            group[f"inner/{ODD_NAME}"][...]


def test_the_store_is_a_zarr_store(tmp_path: Path) -> None:
    write_references(sample(tmp_path), tmp_path / "refs.json")
    store = RefStore(tmp_path / "refs.json")
    assert store == RefStore(str(tmp_path / "refs.json")) == pickle.loads(pickle.dumps(store))
    assert len(pickle.dumps(store)) < 600
    assert store != RefStore(sample(tmp_path))
    assert "refs.json" in repr(store)

    async def look() -> None:
        from zarr.abc.store import OffsetByteRequest, RangeByteRequest, SuffixByteRequest
        from zarr.core.buffer import default_buffer_prototype

        keys = [key async for key in store.list()]
        assert "inner/deep/time/0" in keys
        assert f"inner/{ODD_NAME}/1" not in keys
        for key in keys:
            found = await store.get(key)
            assert found is not None
            assert len(found.to_bytes()) == await store.getsize(key)
        assert sorted([name async for name in store.list_dir("inner")]) == sorted(
            [".zattrs", ".zgroup", ".zmetadata", "deep", ODD_NAME]
        )
        assert [key async for key in store.list_prefix("number/")] == ["number/.zarray", "number/.zattrs", "number/0"]
        assert await store.get("time/1") is None
        assert await store.exists("time/0")
        ranges = [RangeByteRequest(8, 16), OffsetByteRequest(24), SuffixByteRequest(8), None]
        found = await store.get_partial_values(default_buffer_prototype(), [("time/0", one) for one in ranges])
        whole = TIME.tobytes()
        assert [one.to_bytes() for one in found if one] == [whole[8:16], whole[24:], whole[-8:], whole]
        with pytest.raises(ValueError, match="read-only"):
            await store.delete("time/0")

    asyncio.run(look())


# -- the engine ------------------------------------------------------------------------------------------------------
def test_a_source_file_is_opened_as_it_is() -> None:
    with xr.open_dataset(OCEAN, engine="netcdf4") as want, xr.open_dataset(OCEAN, engine="refmaker") as got:
        for name in ("flag_values", "flag_meanings"):
            got["ice_state"].attrs.pop(name, None)
        xr.testing.assert_identical(got.load(), want.load())
    groups = xr.open_groups(OCEAN, engine="refmaker")
    assert groups.keys() == xr.open_groups(OCEAN, engine="netcdf4").keys()


def test_what_a_source_file_has_and_references_cannot_express_is_named() -> None:
    with pytest.warns(SkippedWarning, match=r"odd\.h5: left out: .*ragged \(ragged"):
        opened = xr.open_dataset(LAB.parent / "odd.h5", engine="refmaker", decode_cf=False)
    assert "ragged" not in opened


@pytest.mark.parametrize("group", ["", "forcing", "forcing/rivers"])
def test_the_engine_shows_what_xarrays_zarr_backend_shows(group: str, tmp_path: Path) -> None:
    write_references(scan(str(OCEAN)), tmp_path / "ocean.json")
    for switches in ({}, {"decode_cf": False}, {"mask_and_scale": False}, {"decode_times": False}):
        want = xr.open_dataset(f"refmaker://{tmp_path}/ocean.json", engine="zarr", group=group, **switches)
        got = xr.open_dataset(tmp_path / "ocean.json", engine="refmaker", group=group, **switches)
        xr.testing.assert_identical(got.load(), want.load())
    with pytest.raises(OptionError, match="forcing"):
        xr.open_dataset(tmp_path / "ocean.json", engine="refmaker", group="nowhere")


def test_the_engine_indexes_as_numpy_does(tmp_path: Path) -> None:
    air = xr.open_dataset(sample(tmp_path), engine="refmaker")["air"]
    np.testing.assert_array_equal(air[::-1, 1:5:2, -1], AIR[::-1, 1:5:2, -1])
    np.testing.assert_array_equal(air.isel(time=[3, 0, 0], y=[5, 1]), AIR[[3, 0, 0]][:, [5, 1]])
    points = {"time": xr.DataArray([0, 3, 1], dims="p"), "y": xr.DataArray([5, 0, 2], dims="p")}
    np.testing.assert_array_equal(air.isel(points), AIR[[0, 3, 1], [5, 0, 2]])
    assert air[0, 0, 0].item() == AIR[0, 0, 0]
    np.testing.assert_array_equal(air.isel(time=slice(1, 3))[:, 2][:, ::2], AIR[1:3, 2, ::2])


def test_drop_variables_reads_nothing_of_them(tmp_path: Path) -> None:
    references = sample(tmp_path)
    (tmp_path / "data é.bin").unlink()
    opened = xr.open_dataset(references, engine="refmaker", drop_variables=["time"])
    assert "time" not in opened.variables
    tree = xr.open_datatree(references, engine="refmaker", drop_variables="time")
    assert "time" not in tree["inner/deep"].variables


# -- travelling ------------------------------------------------------------------------------------------------------
@pytest.fixture
def refs(tmp_path: Path) -> Path:
    write_references(sample(tmp_path), tmp_path / "refs.json")
    return tmp_path / "refs.json"


OPENERS = {
    "engine": lambda refs: xr.open_dataset(refs, engine="refmaker", chunks={}),
    "refmaker://": lambda refs: xr.open_zarr(f"refmaker://{refs}"),
    "RefStore": lambda refs: xr.open_zarr(RefStore(refs)),
}


@pytest.mark.parametrize("opener", OPENERS)
@pytest.mark.parametrize("scheduler", ["threads", "processes", "sync"])
def test_dask_reads_in_threads_and_processes(opener: str, scheduler: str, refs: Path) -> None:
    with dask.config.set(scheduler=scheduler, num_workers=2):
        opened = OPENERS[opener](refs)
        assert opened.air.chunks == ((1, 1, 1, 1), (4, 2), (5,))
        assert_is_sample(opened.compute())


def test_processes_read_remote_sources(tmp_path: Path, served: Faults) -> None:
    references = sample(tmp_path, f"{served.url}/data.bin")
    shutil.copy(tmp_path / "data é.bin", served.folder / "data.bin")
    write_references(references, tmp_path / "refs.json")
    for opener in OPENERS.values():
        opened = opener(tmp_path / "refs.json")
        np.testing.assert_array_equal(opened.air.values, AIR)  # this process has a loop and sessions by now
        with dask.config.set(scheduler="processes", num_workers=2):
            np.testing.assert_array_equal(opened.air.data.compute(), AIR)


def test_pickles_are_small_and_share_what_the_process_has_open(refs: Path) -> None:
    opened = open_given(refs)
    assert open_given(str(refs)) is opened
    assert pickle.loads(pickle.dumps(opened)) is opened
    dataset = xr.open_dataset(refs, engine="refmaker")
    assert len(pickle.dumps(dataset.air.variable._data)) < 2500
    again = pickle.loads(pickle.dumps(dataset))
    np.testing.assert_array_equal(again.air.values, AIR)
    in_memory = OpenedReferences(opened.references, opened.options)
    np.testing.assert_array_equal(
        xr.open_dataset(pickle.loads(pickle.dumps(in_memory)), engine="refmaker").air.values, AIR
    )


def test_references_that_changed_meanwhile_are_noticed(refs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    travelling = pickle.dumps(open_given(refs))
    references = open_given(refs).references
    write_references(ReferenceSet(references.root.groups["inner"], references.sources), refs)
    assert "air" not in open_given(refs).references.root.arrays
    monkeypatch.setattr("refmaker.serve.opened._kept", lambda _: None)  # as in another process
    with pytest.raises(StaleSourceError, match="references changed"):
        pickle.loads(travelling)


def test_a_local_source_that_changed_is_stale(door: Door, tmp_path: Path) -> None:
    copy = tmp_path / "ocean.nc"
    shutil.copy(OCEAN, copy)
    write_references(scan(str(copy)), tmp_path / "ocean.json")
    want = door(str(tmp_path / "ocean.json"), "temp")
    import os

    at = copy.stat().st_mtime + 100
    os.utime(copy, (at, at))
    refs = tmp_path / "again.json"  # opened anew: descriptors that are open go on showing the old file
    shutil.copy(tmp_path / "ocean.json", refs)
    with pytest.raises(StaleSourceError, match="100 s after"):
        door(str(refs), "temp")
    np.testing.assert_array_equal(door(str(refs), "temp", on_stale="ignore"), want)
    with pytest.warns(UserWarning, match="100 s after"):
        door(str(refs), "temp", on_stale="warn")
    moved = relocate(scan(str(OCEAN)), lambda _: f"file://{copy}")
    np.testing.assert_array_equal(door(moved, "temp"), want)


# -- requests --------------------------------------------------------------------------------------------------------
def many(tmp_path: Path, served: Faults, count: int) -> tuple[ReferenceSet, np.ndarray]:
    from refmaker.model.group import VirtualGroup
    from refmaker.model.reference_set import SourceFile
    from tests.virtual import RawFile

    values = np.arange(count * 100, dtype="<i4").reshape(count, 100)
    file = RawFile()
    array = file.array(values, (1, 100), ("t", "x"))
    (served.folder / "data.bin").write_bytes(file.data)
    return ReferenceSet(VirtualGroup({"v": array}), (SourceFile(f"{served.url}/data.bin"),)), values


@pytest.mark.parametrize(("name", "most"), {"3 engine": 1, "2 RefStore": 1, "1 filesystem, our pipeline": 1,
                                            "1 filesystem, zarr's pipeline": 100}.items())  # fmt: skip
def test_neighbours_come_with_one_request(name: str, most: int, tmp_path: Path, served: Faults) -> None:
    references, values = many(tmp_path, served, 200)
    np.testing.assert_array_equal(DOORS[name](references, "v"), values)
    assert len(served.gets()) <= most


def test_requests_are_in_flight_together_and_bounded(tmp_path: Path, served: Faults) -> None:
    from refmaker.serve.array_reader import ArrayReader
    from refmaker.serve.options import ServeOptions
    from refmaker.serve.selection import whole

    references, values = many(tmp_path, served, 100)
    served.delay = 0.1
    for in_flight in (8, 48):
        served.in_flight = 0
        options = ServeOptions(request_bytes=400, in_flight=in_flight)
        reader: ArrayReader | None = OpenedReferences(references, options).array("v")
        assert reader is not None
        np.testing.assert_array_equal(reader.read(whole(values.shape, (1, 100))), values)
        assert in_flight * 0.6 <= served.in_flight <= in_flight


def test_cat_ranges_come_with_one_request(tmp_path: Path, served: Faults) -> None:
    references, values = many(tmp_path, served, 50)
    fs = fsspec.filesystem("refmaker", fo=references)
    keys = [f"v/{i}.0" for i in range(50)]
    assert fs.cat_ranges(keys, 0, 400) == [row.tobytes() for row in values]
    assert len(served.gets()) == 1
    assert fs.cat_ranges(keys[:1], [4], [12]) == [values[0].tobytes()[4:12]]


def test_one_bad_neighbour_does_not_spoil_the_others(tmp_path: Path, served: Faults) -> None:
    references, values = many(tmp_path, served, 10)
    data = (served.folder / "data.bin").read_bytes()
    (served.folder / "data.bin").write_bytes(data[:-10])
    fs = fsspec.filesystem("refmaker", fo=references)
    found = fs.cat_ranges([f"v/{i}.0" for i in range(10)], None, None, on_error="return")
    assert found[:9] == [row.tobytes() for row in values[:9]]
    assert "v/9.0" in str(found[9])
    with pytest.raises(RuntimeError if isinstance(found[9], RuntimeError) else type(found[9])):
        fs.cat_ranges(["v/9.0"], None, None, on_error="raise")


def test_assert_helpers_see_the_engine(tmp_path: Path) -> None:
    assert_is_sample(xr.open_dataset(sample(tmp_path), engine="refmaker"))
    assert_is_inner(xr.open_dataset(sample(tmp_path), engine="refmaker", group="inner"))
