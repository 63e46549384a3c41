"""What references may make a reader do: where they may point, what may decode, how far chunks may unfold."""

import bz2
import gzip
import json
import lzma
import zlib
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest

from refmaker.errors import BrokenReferencesError, RefmakerError, SourceError, UnsupportedError
from refmaker.model.array import ArrayMetadata, Codec, VirtualArray
from refmaker.model.chunks import ChunkManifest
from refmaker.model.group import VirtualGroup
from refmaker.model.reference_set import ReferenceSet, SourceFile
from refmaker.references import write_references
from refmaker.serve.allowed import AllowedLocations
from refmaker.serve.opened import OpenedReferences, open_given
from refmaker.serve.options import ServeOptions
from refmaker.serve.selection import whole
from tests.serve.doors import DOORS, Door
from tests.servers import Faults
from tests.virtual import TIME, sample

LOCAL, WEB, BUCKET = "file:///data/refs.json", "https://archive.org/x/refs.json", "s3://bucket/refs.json"
ALLOWED: list[tuple[str | None, str]] = [
    (LOCAL, "file:///etc/hosts"), (None, "/etc/hosts"), (LOCAL, "https://archive.org/a.nc"),
    (LOCAL, "http://localhost:8000/a.nc"), (LOCAL, "http://10.0.0.3/a.nc"), (LOCAL, "memory:///a.nc"),
    (WEB, "https://archive.org/a.nc"), (WEB, "s3://noaa/a.nc"), (WEB, "simplecache::https://elsewhere.org/a.nc"),
    ("http://10.0.0.3/refs.json", "http://10.0.0.3/a.nc"), (BUCKET, "s3://other/a.nc"), ("memory:///r", "memory:///a"),
]  # fmt: skip
REFUSED: list[tuple[str | None, str]] = [
    (WEB, "file:///etc/passwd"), (WEB, "/etc/passwd"), (WEB, "etc/passwd"), (WEB, "local:///etc/passwd"),
    (BUCKET, "simplecache::file:///etc/passwd"), (WEB, "zip://a::file:///etc/x.zip"), (WEB, "memory:///a"),
    (WEB, "ssh://host/etc/passwd"), (WEB, "reference::file:///a"), (WEB, "jupyter://h/a"), (WEB, "github://o:r@/a"),
    (LOCAL, "http://169.254.169.254/latest/meta-data"), (None, "http://169.254.169.254/"), (WEB, "http://2852039166/"),
    (WEB, "http://0xa9fea9fe/"), (WEB, "http://[::ffff:169.254.169.254]/"), (LOCAL, "http://[fe80::1]/"),
    (LOCAL, "http://metadata.google.internal/"), (WEB, "http://localhost/a"), (WEB, "http://127.0.0.1:80/a"),
    (WEB, "https://10.1.2.3/a"), (WEB, "http://192.168.0.1./a"), (LOCAL, "http://0.0.0.0/a"), (WEB, "FILE:///etc/x"),
]  # fmt: skip


@pytest.mark.parametrize(("references", "url"), ALLOWED)
def test_these_locations_are_allowed(references: str | None, url: str) -> None:
    AllowedLocations(references, ()).check(url)


@pytest.mark.parametrize(("references", "url"), REFUSED)
def test_these_locations_are_refused_unless_allowed_explicitly(references: str | None, url: str) -> None:
    with pytest.raises(SourceError, match="no allowed location"):
        AllowedLocations(references, ()).check(url)
    AllowedLocations(references, (), ["*"]).check(url)
    AllowedLocations(references, (), [url]).check(url)
    with pytest.raises(SourceError):
        AllowedLocations(references, (), ["https://archive.org/x/", "file:///data/"]).check(url)


def test_the_source_table_bounds_where_other_sources_may_lie() -> None:
    scanned = SourceFile("s3://bucket/a.nc", scanner="hdf5")
    allowed = AllowedLocations(WEB, (scanned,))
    allowed.check("s3://bucket/b.nc")
    allowed.check("s3://other/a.nc", recorded=True)
    for other in ("s3://other/a.nc", "s3://bucket2/a.nc", "https://bucket/a.nc"):
        with pytest.raises(SourceError, match="another root"):
            allowed.check(other)


def test_prefixes_are_whole_parts_of_paths() -> None:
    allowed = AllowedLocations(WEB, (), ["file:///data/open"])
    allowed.check("file:///data/open/a.nc")
    allowed.check("file:///data/open/x/../a.nc")
    for other in ("file:///data/opener/a.nc", "file:///data/open/../secret", "file:///data"):
        with pytest.raises(SourceError):
            allowed.check(other)


@pytest.mark.parametrize("door", DOORS)
def test_every_door_refuses_local_files_to_remote_references(door: str, tmp_path: Path, served: Faults) -> None:
    write_references(sample(tmp_path), served.folder / "refs.json")
    read: Door = DOORS[door]
    with pytest.raises(SourceError, match="no allowed location"):
        read(f"{served.url}/refs.json", "time")
    allowed = [f"file://{tmp_path}/"]
    np.testing.assert_array_equal(read(f"{served.url}/refs.json", "time", allow=allowed), TIME)


def one_chunk(data: bytes, *codecs: Codec, data_type: str = "u1", count: int = 1000) -> OpenedReferences:
    metadata = ArrayMetadata((count,), (count,), np.dtype(data_type), codecs=codecs, dimension_names=("x",))
    array = VirtualArray(metadata, ChunkManifest.inlined((1,), [data]))
    return OpenedReferences(ReferenceSet(VirtualGroup({"v": array})), ServeOptions())


def read_one(opened: OpenedReferences) -> Any:
    reader = opened.array("v")
    assert reader is not None
    return reader.read(whole((1000,), (1000,)))


ZEROS = bytes(200_000_000)
BOMBS = {
    "zlib": lambda: zlib.compress(ZEROS, 9),
    "gzip": lambda: gzip.compress(ZEROS, 9),
    "bz2": lambda: bz2.compress(ZEROS),
    "lzma": lambda: lzma.compress(ZEROS, preset=0),
    "zstd": lambda: bytes(numcodecs.Zstd().encode(ZEROS)),
    "lz4": lambda: bytes(numcodecs.LZ4().encode(ZEROS)),
    "blosc": lambda: bytes(numcodecs.Blosc().encode(ZEROS)),
}


@pytest.mark.parametrize("codec", BOMBS)
def test_a_chunk_that_unfolds_too_far_is_refused_in_bounded_memory(codec: str) -> None:
    import tracemalloc

    bomb = BOMBS[codec]()
    opened = one_chunk(bomb, Codec(codec))
    tracemalloc.start()
    with pytest.raises(BrokenReferencesError, match="v/0"):
        read_one(opened)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 90_000_000
    small = numcodecs.get_codec({"id": codec}).encode(bytes(range(250)) * 4)
    assert read_one(one_chunk(bytes(small), Codec(codec))).tobytes() == bytes(range(250)) * 4


@pytest.mark.parametrize("codec", BOMBS)
@pytest.mark.parametrize("length", [0, 1, 7, 50])
def test_a_chunk_that_ends_early_or_is_garbage_is_an_error(codec: str, length: int) -> None:
    whole_chunk = bytes(numcodecs.get_codec({"id": codec}).encode(np.random.default_rng(0).bytes(1000)))
    for data in (whole_chunk[:length], b"\xff" * length, whole_chunk[:-1]):
        with pytest.raises(BrokenReferencesError):
            read_one(one_chunk(data, Codec(codec)))


@pytest.mark.parametrize("data", [b"", bytes(999), bytes(1001)])
def test_a_raw_chunk_of_another_length_is_an_error(data: bytes) -> None:
    with pytest.raises(BrokenReferencesError, match="1000"):
        read_one(one_chunk(data))


def test_several_gzip_members_and_empty_chunks_decode() -> None:
    halves = gzip.compress(bytes(range(250)) * 2) * 2
    assert read_one(one_chunk(halves, Codec("gzip"))).tobytes() == bytes(range(250)) * 4


@pytest.mark.parametrize("codec", ["pickle", "json2", "msgpack2"])
def test_codecs_that_run_code_are_refused_at_whatever_depth(codec: str) -> None:
    inner = Codec("refmaker_optional", {"codecs": [{"id": codec}], "nbytes": 5})
    for codecs in ((Codec(codec),), (inner,)):
        with pytest.raises(UnsupportedError, match="run code"):
            one_chunk(b"", *codecs)


@pytest.mark.parametrize("codec", ["python_eval", "refmaker_none", "delta"])
def test_unknown_codecs_are_an_error_that_names_the_array(codec: str) -> None:
    with pytest.raises(RefmakerError, match="v") as caught:
        read_one(one_chunk(b"", Codec(codec)))
    assert caught.value.path == "v"


def test_the_size_of_a_file_is_not_asked_for_where_references_may_not_point(tmp_path: Path, served: Faults) -> None:
    """A reference ``[url]`` makes a reader ask for the file's size as soon as the document is opened."""
    (tmp_path / "secret").write_bytes(bytes(8))
    array = {"zarr_format": 2, "shape": [1], "chunks": [1], "dtype": "<f8", "compressor": None, "filters": None}
    refs = {
        ".zgroup": '{"zarr_format":2}',
        "a/.zarray": json.dumps({**array, "order": "C", "fill_value": None}),
        "a/0": [f"file://{tmp_path}/secret"],
    }
    (served.folder / "refs.json").write_text(json.dumps({"version": 1, "refs": refs}))
    with pytest.raises(SourceError, match="no allowed location"):
        open_given(f"{served.url}/refs.json")
    assert open_given(f"{served.url}/refs.json", options=ServeOptions(allow=["*"])).references.sources[0].size == 8
