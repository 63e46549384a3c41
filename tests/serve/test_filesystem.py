"""``refmaker://``: every form that users write, without options, warnings or wrong values."""

import asyncio
import json
import pickle
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import xarray as xr
import zarr

from refmaker.errors import OptionError, RefmakerError, SourceError, UnsupportedError
from refmaker.model.array import ArrayMetadata, Codec, VirtualArray
from refmaker.model.chunks import ChunkManifest
from refmaker.model.group import VirtualGroup
from refmaker.model.reference_set import ReferenceSet, SourceFile
from refmaker.references import inline_below, write_references
from refmaker.references.kerchunk_json import json_text
from refmaker.serve.filesystem import ReferenceFileSystem
from tests.virtual import AIR, ODD_NAME, TIME, assert_is_inner, assert_is_sample, sample


@pytest.fixture
def refs(tmp_path: Path) -> Path:
    """Return the path of references with a relative URL."""
    path = tmp_path / "refs.json"
    write_references(sample(tmp_path), path, relative_to=tmp_path)
    return path


FORMS: dict[str, Callable[[Path], Any]] = {
    "refmaker:// and a path": lambda path: f"refmaker://{path}",
    "refmaker:: and a path": lambda path: f"refmaker::{path}",
    "refmaker:: and file://": lambda path: f"refmaker::file://{path}",
    "refmaker:: through a cache": lambda path: f"refmaker::simplecache::file://{path}",
    "get_mapper of a URL": lambda path: fsspec.get_mapper(f"refmaker://{path}"),
    "get_mapper with fo": lambda path: fsspec.get_mapper("refmaker://", fo=str(path)),
    "get_mapper of a filesystem": lambda path: fsspec.filesystem("refmaker", fo=str(path)).get_mapper(""),
    "FsspecStore": lambda path: zarr.storage.FsspecStore(
        fsspec.filesystem("refmaker", fo=str(path), asynchronous=True), read_only=True
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_xarray_opens_every_form(form: str, refs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")  # relative URLs are relative to the references
    assert_is_sample(xr.open_zarr(FORMS[form](refs), chunks=None))
    assert_is_inner(xr.open_zarr(FORMS[form](refs), group="inner", chunks=None))


@pytest.mark.parametrize("form", FORMS)
def test_zarr_opens_every_form(form: str, refs: Path) -> None:
    group = zarr.open(FORMS[form](refs), mode="r")
    np.testing.assert_array_equal(group["air"][...], AIR)
    np.testing.assert_array_equal(group["inner/deep/time"][...], TIME[:2])


@pytest.mark.parametrize("consolidated", [True, False, None])
def test_groups_are_found_with_and_without_consolidated_metadata(consolidated: bool | None, refs: Path) -> None:
    group = zarr.open_group(f"refmaker://{refs}", mode="r", use_consolidated=consolidated)
    assert sorted(group.group_keys()) == ["inner"]
    assert sorted(group.array_keys()) == ["air", "none", "number", "time", "words"]
    assert sorted(name for name, _ in group["inner"].members()) == ["deep", ODD_NAME]


def test_a_relative_path_is_seen_from_the_working_directory(refs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(refs.parent)
    assert_is_sample(xr.open_zarr("refmaker://refs.json", chunks=None))


def test_the_options_of_stock_references_are_taken(refs: Path) -> None:
    options = {
        "fo": str(refs),
        "remote_protocol": "file",
        "remote_options": {"asynchronous": True},
        "target_options": {},
    }
    assert_is_sample(xr.open_zarr("refmaker://", storage_options=options, chunks=None))


def test_references_in_memory_and_paths_are_opened(refs: Path, tmp_path: Path) -> None:
    references = sample(tmp_path)
    document = json.loads(b"".join(json_text(references)))
    for fo in (references, document, refs):
        assert_is_sample(xr.open_zarr("refmaker://", storage_options={"fo": fo}, chunks=None))
        assert_is_sample(xr.open_zarr(fsspec.get_mapper("refmaker://", fo=fo), chunks=None))


def test_references_and_data_in_any_filesystem(tmp_path: Path) -> None:
    references = sample(tmp_path, "memory:///sub/data.bin")
    fsspec.filesystem("memory").pipe_file("/sub/data.bin", (tmp_path / "data é.bin").read_bytes())
    write_references(references, "memory:///sub/refs.json", relative_to="memory:///sub")
    assert_is_sample(xr.open_zarr("refmaker::memory:///sub/refs.json", chunks=None))
    assert_is_sample(xr.open_zarr("refmaker://memory:///sub/refs.json", chunks=None))


def test_sources_in_several_filesystems(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\1\2\3\4")
    fsspec.filesystem("memory").pipe_file("/b", b"\5\6\7\x08")
    (tmp_path / "c").write_bytes(b"\x09\x0a")
    urls = f"file://{tmp_path}/a", "memory:///b", f"simplecache::file://{tmp_path}/c"
    columns = (np.array(column, np.uint32) for column in ([0, 1, 2], [1, 2, 0], [2, 2, 2]))
    metadata = ArrayMetadata((6,), (2,), np.dtype("u1"), dimension_names=("x",))
    array = VirtualArray(metadata, ChunkManifest((3,), *columns))
    fo = ReferenceSet(VirtualGroup({"v": array}), tuple(map(SourceFile, urls)))
    opened = xr.open_zarr("refmaker://", storage_options={"fo": fo}, chunks=None)
    assert opened.v.values.tolist() == [2, 3, 7, 8, 9, 10]


def test_a_tree_of_groups_is_opened(refs: Path) -> None:
    tree = xr.open_datatree(f"refmaker://{refs}", engine="zarr")
    assert tree.groups == ("/", "/inner", "/inner/deep")
    assert_is_sample(tree)
    assert_is_inner(tree["inner"])
    assert tree["inner/deep"].attrs == {"level": 2}


def test_dask_reads_chunk_by_chunk(refs: Path) -> None:
    opened = xr.open_zarr(f"refmaker://{refs}")
    assert opened.air.chunks == ((1, 1, 1, 1), (4, 2), (5,))
    assert_is_sample(opened.compute(scheduler="threads"))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(opened)).air.values, AIR)


def test_keys_have_true_sizes_and_kinds(refs: Path) -> None:
    fs = fsspec.filesystem("refmaker", fo=str(refs))
    for key in fs.find(""):
        info = fs.info(key)
        assert info["type"] == "file"
        assert info["size"] == len(fs.cat_file(key)) == fs.size(key), key
    assert fs.info("") == {"name": "", "size": 0, "type": "directory"}
    assert fs.isdir("inner")
    assert fs.isfile("air/0.0.0")
    assert not fs.exists("air/4.0.0")
    assert not fs.exists(f"inner/{ODD_NAME}/1")
    assert not fs.isdir("nowhere")
    assert fs.glob("air/0.*") == ["air/0.0.0", "air/0.1.0"]
    assert sorted(fs.ls("", detail=False)) == sorted(
        [".zattrs", ".zgroup", ".zmetadata", "air", "inner", "none", "number", "time", "words"]
    )
    assert [info["name"] for info in fs.ls("/inner/deep")] == [
        f"/inner/deep/{name}" for name in (".zgroup", ".zattrs", ".zmetadata", "time")
    ]
    assert fs.ls("number/0", detail=False) == ["number/0"]
    assert fs.find("number") == ["number/.zarray", "number/.zattrs", "number/0"]
    with pytest.raises(FileNotFoundError):
        fs.ls("nowhere")


@pytest.mark.parametrize("key", ["time/0", "number/0", ".zgroup"])
@pytest.mark.parametrize("start", [None, 0, 3, -5, 100])
@pytest.mark.parametrize("end", [None, 0, 5, -2, 100])
def test_ranges_are_slices(key: str, start: int | None, end: int | None, refs: Path) -> None:
    fs = fsspec.filesystem("refmaker", fo=str(refs))
    assert fs.cat_file(key, start=start, end=end) == fs.cat_file(key)[start:end]


def test_many_keys_at_once(refs: Path) -> None:
    fs = fsspec.filesystem("refmaker", fo=str(refs))
    found = fs.cat(["number/0", "time/0", "time/9"], on_error="omit")
    assert found == {"number/0": np.int32(7).tobytes(), "time/0": TIME.tobytes()}
    assert fs.cat_ranges(["time/0", "time/0"], [0, 8], [8, 16]) == [TIME[:1].tobytes(), TIME[1:2].tobytes()]
    with fs.open("time/0") as file:
        assert file.read() == TIME.tobytes()
    with pytest.raises(FileNotFoundError):
        fs.cat(["time/9"])


@pytest.mark.parametrize(
    "key", ["air/0.0", "air/00.0.0", "air/x", "inner/0", "nowhere/0", "air/0.0.0/0", "zarr.json", "air/.zgroup"]
)
def test_what_the_references_do_not_have_is_not_found(key: str, refs: Path) -> None:
    with pytest.raises(FileNotFoundError):
        fsspec.filesystem("refmaker", fo=str(refs)).cat_file(key)


def test_it_works_inside_a_running_event_loop(refs: Path) -> None:
    async def notebook() -> bytes:
        assert_is_sample(xr.open_zarr(f"refmaker://{refs}", chunks=None))
        own = fsspec.filesystem("refmaker", fo=str(refs), asynchronous=True)
        shared = fsspec.filesystem("refmaker", fo=str(refs))
        assert shared.cat_file("time/0") == TIME.tobytes()
        assert await shared._cat_file("time/0") == TIME.tobytes()
        return await own._cat_file("time/0")

    assert asyncio.run(notebook()) == TIME.tobytes()
    assert asyncio.run(notebook()) == TIME.tobytes()


def test_many_threads_share_a_filesystem(refs: Path) -> None:
    fs = fsspec.filesystem("refmaker", fo=str(refs))
    wrong: list[object] = []

    def read() -> None:
        wrong.extend(True for _ in range(50) if fs.cat_file("time/0") != TIME.tobytes())

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_it_is_pickled_by_its_arguments(refs: Path, tmp_path: Path) -> None:
    by_path = fsspec.filesystem("refmaker", fo=str(refs))
    assert len(pickle.dumps(by_path)) < 500
    again = pickle.loads(pickle.dumps(by_path))
    assert again == by_path
    assert again.cat_file("time/0") == TIME.tobytes()
    in_memory = ReferenceFileSystem(inline_below(sample(tmp_path), 1 << 20))
    assert pickle.loads(pickle.dumps(in_memory)).cat_file("time/0") == TIME.tobytes()
    assert in_memory != ReferenceFileSystem(in_memory.references)


@pytest.mark.parametrize(
    "write",
    [
        lambda fs: fs.pipe_file("x", b""), lambda fs: fs.rm("time/0"), lambda fs: fs.rm_file("time/0"),
        lambda fs: fs.mkdir("x"), lambda fs: fs.makedirs("x"), lambda fs: fs.open("x", "wb"), lambda fs: fs.touch("x"),
        lambda fs: fs.cp_file("time/0", "x"), lambda fs: fs.put_file(__file__, "x"), lambda fs: fs.pipe({"x": b""}),
        lambda fs: fs.mv("time/0", "x"), lambda fs: fs.rmdir("inner"),
    ],
)  # fmt: skip
def test_writing_is_refused(write: Callable[[Any], Any], refs: Path) -> None:
    fs = fsspec.filesystem("refmaker", fo=str(refs))
    with pytest.raises(OSError, match="read-only"):
        write(fs)


def test_an_array_of_nothing_but_metadata_is_listed(refs: Path) -> None:
    fs = fsspec.filesystem("refmaker", fo=str(refs))
    assert fs.ls("none", detail=False) == ["none/.zarray", "none/.zattrs"]


@pytest.mark.parametrize("codec", ["pickle", "json2", "msgpack2"])
def test_codecs_that_run_code_are_refused(codec: str) -> None:
    metadata = ArrayMetadata((1,), (1,), np.dtype("O"), codecs=(Codec(codec),), dimension_names=("x",))
    bad = ReferenceSet(VirtualGroup({"bad": VirtualArray(metadata, ChunkManifest.empty((1,)))}))
    with pytest.raises(UnsupportedError, match="code") as caught:
        ReferenceFileSystem(bad)
    assert caught.value.path == "bad"


def test_references_that_are_not_there_are_an_error_of_ours(tmp_path: Path) -> None:
    for url in (f"refmaker://{tmp_path}/none.json", f"refmaker::file://{tmp_path}/none.json", "refmaker://"):
        with pytest.raises(SourceError):
            xr.open_zarr(url)
    (tmp_path / "page.json").write_text("<html>")
    with pytest.raises(RefmakerError, match=r"page\.json"):
        xr.open_zarr(f"refmaker://{tmp_path}/page.json")


@pytest.mark.parametrize(
    ("option", "hint"),
    [("on_stael", "did you mean 'on_stale'"), ("target_optoins", "'target_options'"), ("zzz", "there are allow, ")],
)
def test_options_that_nobody_knows_are_refused(option: str, hint: str) -> None:
    with pytest.raises(OptionError, match=f"no option '{option}'; .*{hint}"):
        fsspec.filesystem("refmaker", fo={"version": 1, "refs": {".zgroup": '{"zarr_format":2}'}}, **{option: 1})


def test_options_of_every_fsspec_filesystem_are_taken() -> None:
    found = fsspec.filesystem(
        "refmaker", fo={"version": 1, "refs": {".zgroup": '{"zarr_format":2}'}}, use_listings_cache=False, batch_size=9
    )
    assert found.exists(".zgroup")
