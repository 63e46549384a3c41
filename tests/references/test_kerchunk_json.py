"""Writing kerchunk JSON: what other programs read from it, and that reading it back gives the same references."""

import base64
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from refmaker.errors import OptionError, SourceError, UnsupportedError
from refmaker.model.array import ArrayMetadata, VirtualArray
from refmaker.model.chunks import INLINE, MISSING, ChunkManifest
from refmaker.model.group import VirtualGroup, walk
from refmaker.model.reference_set import DatasetReport, DatasetState, Note, ReferenceSet, ScanReport, SourceFile
from refmaker.references import open_references, read_references, write_references
from refmaker.references.kerchunk_json import json_text
from tests.virtual import ODD_NAME, assert_is_inner, assert_is_sample, sample


def document(references: ReferenceSet) -> dict[str, Any]:
    return json.loads(b"".join(json_text(references)))


def one_array(manifest: ChunkManifest, *urls: str, name: str = "a") -> ReferenceSet:
    grid = manifest.grid_shape
    metadata = ArrayMetadata(grid, (1,) * len(grid), np.dtype("i1"), dimension_names=tuple("xyzt"[: len(grid)]))
    return ReferenceSet(VirtualGroup({name: VirtualArray(metadata, manifest)}), tuple(map(SourceFile, urls)))


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "sample.json"
    write_references(sample(tmp_path), path)
    return path


def test_reading_back_gives_the_same_references(tmp_path: Path) -> None:
    references = sample(tmp_path)
    report = ScanReport(
        datasets=(
            DatasetReport("air", DatasetState.REFERENCED, codecs=("pad",)),
            DatasetReport("", DatasetState.SKIPPED, "dtype", "no such type"),
        ),
        notes=(Note("air", "attribute", "one was dropped"),),
        requests=3, bytes_read=0, rounds=None, seconds=0.25,
    )  # fmt: skip
    source = replace(
        references.sources[0], etag='"x"', last_modified=1.5, scanner="hand", scanner_version="1", scan_time=2.0
    )
    references = replace(references, sources=(source, SourceFile("s3://unused/é")), report=report)
    write_references(references, tmp_path / "refs.json")
    back = open_references(tmp_path / "refs.json")
    assert dict(walk(back.root)) == dict(walk(references.root))
    assert back.sources == references.sources
    assert back.report == report


def test_reference_filesystem_of_fsspec_reads_the_same_bytes(written: Path) -> None:
    stock, ours = fsspec.filesystem("reference", fo=str(written)), fsspec.filesystem("refmaker", fo=str(written))
    keys = [key for key in ours.find("") if not key.endswith("r/.zmetadata") and "deep/.zm" not in key]
    assert set(keys) == {key for key in stock.references if key != "inner/.zmetadata"}
    for key in keys:
        assert stock.cat_file(key) == ours.cat_file(key), key


def test_xarray_opens_it_through_stock_fsspec(written: Path) -> None:
    assert_is_sample(xr.open_zarr(f"reference::{written}"))
    assert_is_inner(xr.open_zarr(f"reference::{written}", group="inner"))


def test_kerchunk_and_virtualizarr_ignore_the_extra_key(written: Path) -> None:
    pytest.importorskip("kerchunk")
    assert_is_sample(xr.open_dataset(str(written), engine="kerchunk"))


def test_virtualizarr_reads_the_chunks(written: Path) -> None:
    parsers = pytest.importorskip("virtualizarr.parsers")
    registry = pytest.importorskip("obspec_utils.registry")
    stores = pytest.importorskip("obstore.store")
    local = registry.ObjectStoreRegistry({"file://": stores.LocalStore()})
    parser = parsers.KerchunkJSONParser(skip_variables=["air", "number", "none"])  # VirtualiZarr < 2.8: no compressors
    store = parser(f"file://{written}", local)
    found = store._group.arrays["words"].manifest.dict()
    chunks = document(sample(written.parent))["refs"]
    assert {key: [c["path"], c["offset"], c["length"]] for key, c in found.items()} == {
        key.removeprefix("words/"): value
        for key, value in chunks.items()
        if key.startswith("words/") and "z" not in key
    }


def test_the_file_is_ascii_and_strict_json(written: Path) -> None:
    text = written.read_bytes().decode("ascii")
    refs = json.loads(text, parse_constant=pytest.fail)["refs"]
    assert f"inner/{ODD_NAME}/0" in refs
    assert text.count("\n") == len(refs) + 4  # one reference a line: files can be compared by diff


def test_consolidated_metadata_are_the_documents(written: Path) -> None:
    refs = document(open_references(written))["refs"]
    consolidated = json.loads(refs[".zmetadata"])
    spelled = {key: json.loads(value) for key, value in refs.items() if ".z" in key and key != ".zmetadata"}
    assert consolidated == {"metadata": spelled, "zarr_consolidated_format": 1}


def test_inlined_bytes_are_always_base64() -> None:
    chunks = [b"-", b"base64:AAAA", b'{"a":1}', b"", None, b"\xff\0"]
    refs = document(one_array(ChunkManifest.inlined((6,), chunks)))["refs"]
    for position, data in enumerate(chunks):
        if data is None:
            assert f"a/{position}" not in refs
        else:
            assert refs[f"a/{position}"] == "base64:" + base64.b64encode(data).decode()


def test_chunks_of_no_bytes_are_inlined(tmp_path: Path) -> None:
    manifest = ChunkManifest((3,), *(np.array(column, np.uint32) for column in ([0, 0, 0], [0, 5, 9], [0, 4, 0])))
    references = one_array(manifest, f"file://{tmp_path}/data")
    refs = document(references)["refs"]
    assert [refs[f"a/{n}"] for n in range(3)] == ["base64:", [f"file://{tmp_path}/data", 5, 4], "base64:"]
    write_references(references, tmp_path / "refs.json")
    for protocol in ("reference", "refmaker"):
        assert fsspec.filesystem(protocol, fo=str(tmp_path / "refs.json")).cat_file("a/2") == b""


def test_a_url_that_looks_like_a_template_is_refused() -> None:
    manifest = ChunkManifest.single((1,), location_id=0, offset=0, length=1)
    with pytest.raises(UnsupportedError, match="template") as caught:
        document(one_array(manifest, "s3://bucket/{{x}}.nc"))
    assert caught.value.location == "s3://bucket/{{x}}.nc"


@pytest.mark.parametrize("url", ["https://me:secret@host/a.nc", "https://host/a.nc?X-Amz-Signature=abc"])
def test_credentials_are_refused(url: str) -> None:
    manifest = ChunkManifest.single((1,), location_id=0, offset=0, length=1)
    with pytest.raises(OptionError, match="credentials") as caught:
        document(one_array(manifest, url))
    assert "secret" not in str(caught.value)
    assert "abc" not in str(caught.value)


def test_urls_below_a_directory_are_written_relative(tmp_path: Path) -> None:
    manifest = ChunkManifest((3,), *(np.array(column, np.uint32) for column in ([0, 1, 2], [0, 0, 0], [1, 1, 1])))
    urls = f"file://{tmp_path}/a/b.nc", "file:///elsewhere/c.nc", f"file://{tmp_path}else/d.nc"
    path = tmp_path / "refs.json"
    write_references(one_array(manifest, *urls), path, relative_to=tmp_path)
    content = json.loads(path.read_text())
    assert [content["refs"][f"a/{n}"][0] for n in range(3)] == ["a/b.nc", *urls[1:]]
    assert [source["url"] for source in content["refmaker"]["sources"]] == ["a/b.nc", *urls[1:]]
    assert [source.url for source in open_references(path).sources] == list(urls)


def test_an_unknown_suffix_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"\.json"):
        write_references(ReferenceSet(VirtualGroup()), tmp_path / "refs.nc")


def test_nothing_is_published_when_writing_fails(tmp_path: Path) -> None:
    path = tmp_path / "refs.json"
    path.write_text("the old one")
    metadata = ArrayMetadata((1,), (1,), np.dtype("longdouble"), dimension_names=("x",))
    bad = ReferenceSet(VirtualGroup({"a": VirtualArray(metadata, ChunkManifest.empty((1,)))}))
    with pytest.raises(UnsupportedError) as caught:
        write_references(bad, path)
    assert caught.value.path == "a"
    assert path.read_text() == "the old one"
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_directory_is_a_source_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError):
        write_references(ReferenceSet(VirtualGroup()), tmp_path / "no" / "refs.json")


def test_references_are_written_to_other_filesystems() -> None:
    manifest = ChunkManifest.single((1,), location_id=0, offset=0, length=1)
    write_references(one_array(manifest, "memory:///dir/data"), "memory:///dir/refs.json")
    back = open_references("memory:///dir/refs.json")
    assert back.root.arrays["a"].manifest == manifest


COLUMNS = st.tuples(
    st.sampled_from([0, 1, 2, INLINE, MISSING]), st.integers(0, 2**62), st.integers(0, 2**32), st.binary(max_size=5)
)
URLS = ('file:///a b/ü"\\.nc', "s3://bucket/key", "http://host/%20?x=1&y={z}")


@st.composite
def manifests(draw: st.DrawFn) -> ChunkManifest:
    grid = tuple(draw(st.lists(st.integers(1, 4), max_size=3)))
    size = int(np.prod(grid, dtype=int))
    rows = draw(st.lists(COLUMNS, min_size=size, max_size=size))
    inline = b"".join(row[3] for row in rows)
    location_id, offset, length = np.array([row[:3] for row in rows], np.uint64).reshape(-1, 3).T.copy()
    at = 0
    for number, row in enumerate(rows):
        if row[0] == INLINE:
            offset[number], length[number] = at, len(row[3])
        at += len(row[3])
    dense = ChunkManifest(grid, location_id.astype(np.uint32), offset, length, inline=inline)
    if draw(st.booleans()):
        return dense
    there = np.flatnonzero(location_id != MISSING).astype(np.uint64)
    return ChunkManifest(
        grid, location_id[there].astype(np.uint32), offset[there], length[there], position=there, inline=inline
    )


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(manifests(), st.text(min_size=1, max_size=5).filter(lambda name: not set(name) & set("/\\\0")))
def test_any_manifest_is_read_back(manifest: ChunkManifest, name: str) -> None:
    try:
        references = one_array(manifest, *URLS, name=name)
    except OptionError:
        return  # not a name
    back = read_references(b"".join(json_text(references)), "file:///refs.json")
    assert back.sources == references.sources
    found = back.root.arrays[name].manifest
    for position in range(len(manifest)):
        given, read = manifest.lookup(position), found.lookup(position)
        if given is not None and given.length == 0:
            assert read is not None
            assert read.data == b""
        elif given is None or given.data is not None:
            assert (read and read.data) == (given and given.data)
        else:
            assert read == given
