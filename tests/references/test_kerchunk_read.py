"""Reading references of all writers, and refusing what no writer may say."""

import base64
import contextlib
import copy
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ujson
import xarray as xr

from refmaker.errors import BrokenReferencesError, RefmakerError, SourceError, UnsupportedError
from refmaker.model.reference_set import ReferenceSet
from refmaker.references import open_references
from refmaker.references.kerchunk_json import json_text
from refmaker.references.kerchunk_read import parse_document, read_json
from tests.servers import Faults
from tests.virtual import sample

ZARRAY: dict[str, Any] = {
    "zarr_format": 2, "shape": [4, 6], "chunks": [2, 2], "dtype": "<i2", "compressor": None, "fill_value": None,
    "order": "C", "filters": None,
}  # fmt: skip
V3: dict[str, Any] = {
    "zarr_format": 3, "node_type": "array", "shape": [4],
    "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [2]}},
}  # fmt: skip
GROUP = '{"zarr_format":2}'


def refs(**changes: Any) -> dict[str, Any]:
    """Return references of one array ``a`` with two chunks, changed."""
    found: dict[str, Any] = {
        ".zgroup": GROUP,
        "a/.zarray": json.dumps(ZARRAY),
        "a/.zattrs": '{"_ARRAY_DIMENSIONS":["y","x"]}',
        "a/0.0": ["file:///d.nc", 10, 8],
        "a/1.2": ["s3://b/e.nc", 20, 8],
    }
    for key, value in changes.items():
        if value is None:
            del found[key]
        else:
            found[key] = value
    return found


def chunk(references: ReferenceSet, position: int, path: str = "a") -> Any:
    found = references.root.arrays[path].manifest.lookup(position)
    if found is None:
        return None
    return (
        found.data
        if found.data is not None
        else (references.sources[found.location_id].url, found.offset, found.length)
    )


@pytest.mark.parametrize("document", [refs(), {"version": 1, "refs": refs()}], ids=["v0", "v1"])
def test_both_versions_are_read(document: dict[str, Any]) -> None:
    references = read_json(json.dumps(document).encode())
    assert [source.url for source in references.sources] == ["file:///d.nc", "s3://b/e.nc"]
    assert chunk(references, 0) == ("file:///d.nc", 10, 8)
    assert chunk(references, 5) == ("s3://b/e.nc", 20, 8)
    assert chunk(references, 1) is None
    assert references.root.arrays["a"].metadata.dimension_names == ("y", "x")


def test_metadata_may_be_objects_or_base64() -> None:
    text = "base64:" + base64.b64encode(b'{"_ARRAY_DIMENSIONS":["y","x"],"n":1}').decode()
    references = parse_document(refs(**{"a/.zarray": ZARRAY, "a/.zattrs": text, ".zgroup": {"zarr_format": 2}}))
    assert references.root.arrays["a"].metadata.attributes == {"n": 1}


def test_metadata_may_stand_only_in_zmetadata() -> None:
    whole = refs()
    metadata = {key: json.loads(whole.pop(key)) for key in [".zgroup", "a/.zarray", "a/.zattrs"]}
    references = parse_document({**whole, ".zmetadata": json.dumps({"metadata": metadata})})
    assert chunk(references, 0) == ("file:///d.nc", 10, 8)


def test_inlined_values_are_text_or_base64() -> None:
    references = parse_document(refs(**{"a/0.0": "plain é", "a/0.1": "base64:AAEC", "a/0.2": "", "a/1.0": b"\xff"}))
    assert [chunk(references, n) for n in range(4)] == ["plain é".encode(), b"\0\1\2", b"", b"\xff"]
    assert chunk(references, 5) == ("s3://b/e.nc", 20, 8)


def test_templates_are_substituted_as_text() -> None:
    document = {
        "version": 1,
        "templates": {"u": "s3://b/dir", "v": "{{u}}"},
        "refs": refs(**{"a/0.0": ["{{u}}/x", 0, 1], "a/0.1": ["{{ u }}/{{v}}", 0, 1], "a/0.2": ["s3://b/dir/x", 5, 1]}),
    }
    references = parse_document(document)
    assert [chunk(references, n)[0] for n in range(3)] == ["s3://b/dir/x", "s3://b/dir/{{u}}", "s3://b/dir/x"]
    assert len(references.sources) == 3  # the same file by template and in full is one source


@pytest.mark.parametrize("url", ["{{c.__class__}}", "{{missing}}", "{{u}}{{missing}}", "{% for %}{{missing}}"])
def test_template_languages_are_not_run(url: str) -> None:
    document = {"version": 1, "templates": {"u": "s3://b"}, "refs": refs(**{"a/0.0": [url, 0, 1]})}
    with pytest.raises(BrokenReferencesError, match=r"missing|expression"):
        parse_document(document)


def test_a_whole_file_is_the_range_of_its_size(tmp_path: Path) -> None:
    (tmp_path / "whole").write_bytes(b"12345678")
    (tmp_path / "refs.json").write_text(json.dumps(refs(**{"a/0.0": ["whole"], "a/0.1": [f"file://{tmp_path}/whole"]})))
    references = open_references(tmp_path / "refs.json")
    url = f"file://{tmp_path}/whole"
    assert chunk(references, 0) == chunk(references, 1) == (url, 0, 8)
    assert next(source.size for source in references.sources if source.url == url) == 8


def test_a_whole_file_of_unknown_size_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="cannot be opened"):
        parse_document(refs(**{"a/0.0": [f"file://{tmp_path}/none"]}))


def test_relative_urls_are_seen_from_the_reference_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sub").mkdir()
    urls = {
        "a/0.0": ["x.nc", 0, 1],
        "a/0.1": ["../y.nc", 0, 1],
        "a/0.2": ["/abs/z.nc", 0, 1],
        "a/1.0": ["./w.nc", 0, 1],
    }
    (tmp_path / "sub" / "refs.json").write_text(json.dumps(refs(**urls)))
    monkeypatch.chdir(tmp_path)
    references = open_references("sub/refs.json")
    expected = [f"{tmp_path}/sub/x.nc", f"{tmp_path}/y.nc", "/abs/z.nc", f"{tmp_path}/sub/w.nc"]
    assert [chunk(references, n)[0] for n in range(4)] == [f"file://{path}" for path in expected]


@pytest.mark.parametrize(
    ("location", "url"),
    [
        ("s3://bucket/dir/refs.json", "s3://bucket/dir/x.nc"),
        ("s3://bucket/refs.json", "s3://bucket/x.nc"),
        ("https://host/dir/refs.json?version=a/b", "https://host/dir/x.nc"),
        ("memory:///refs.json", "memory:///x.nc"),
        ("simplecache::https://host/dir/refs.json", "simplecache::https://host/dir/x.nc"),
    ],
)
def test_relative_urls_are_resolved_in_every_store(location: str, url: str) -> None:
    references = parse_document(refs(**{"a/0.0": ["x.nc", 0, 1]}), location)
    assert chunk(references, 0) == (url, 0, 1)


def test_keys_separated_by_slashes_are_read() -> None:
    zarray = {**ZARRAY, "dimension_separator": "/"}
    references = parse_document(
        refs(**{"a/.zarray": zarray, "a/0.0": None, "a/1.2": None, "a/0/0": ["x://u", 1, 2], "a/1/2": ["x://u", 3, 4]})
    )
    assert [chunk(references, n) for n in (0, 5)] == [("x://u", 1, 2), ("x://u", 3, 4)]


def test_unnamed_axes_are_named_as_netcdf4_names_them() -> None:
    def zarray(*shape: int) -> dict[str, Any]:
        return {**ZARRAY, "shape": list(shape), "chunks": list(shape)}

    references = parse_document(
        {".zgroup": GROUP, "a/.zarray": zarray(5, 5), "b/.zarray": zarray(5, 3), "g/c/.zarray": zarray(3)}
    )
    names = {path: array.metadata.dimension_names for path, array in references.root.arrays.items()}
    assert names == {"a": ("phony_dim_0", "phony_dim_1"), "b": ("phony_dim_0", "phony_dim_2")}
    assert references.root.groups["g"].arrays["c"].metadata.dimension_names == ("phony_dim_0",)


def test_missing_group_documents_are_no_fault() -> None:
    references = parse_document({"x/y/a/.zarray": ZARRAY, "x/y/a/0.0": ["u://v", 0, 1]})
    assert "a" in references.root.groups["x"].groups["y"].arrays


def test_kerchunk_and_virtualizarr_references_are_read(tmp_path: Path) -> None:
    pytest.importorskip("kerchunk")
    from kerchunk.hdf import SingleHdf5ToZarr

    path = tmp_path / "data.nc"
    xr.Dataset({"v": (("t", "x"), np.arange(12.0).reshape(3, 4))}, {"t": [1, 2, 3]}).to_netcdf(path, engine="h5netcdf")
    document = SingleHdf5ToZarr(str(path), inline_threshold=0).translate()
    (tmp_path / "refs.json").write_bytes(ujson.dumps(document).encode())
    references = open_references(tmp_path / "refs.json")
    assert chunk(references, 0, "v")[2] == 96


BROKEN: dict[str, Any] = {
    "not an object": [],
    "a string": "x",
    "refs not an object": {"version": 1, "refs": []},
    "templates not an object": {"version": 1, "refs": {}, "templates": ["x"]},
    "template not text": {"version": 1, "refs": {}, "templates": {"a": 1}},
    "chunk is null": refs(**{"a/0.0": [None, 1, 2]}),
    "chunk is a number": refs(**{"a/0.0": 5}),
    "chunk is an object": refs(**{"a/0.0": {"url": "x"}}),
    "two elements": refs(**{"a/0.0": ["x", 1]}),
    "four elements": refs(**{"a/0.0": ["x", 1, 2, 3]}),
    "no elements": refs(**{"a/0.0": []}),
    "negative offset": refs(**{"a/0.0": ["x", -1, 2]}),
    "negative length": refs(**{"a/0.0": ["x", 1, -2]}),
    "huge offset": refs(**{"a/0.0": ["x", 2**63, 2]}),
    "enormous offset": refs(**{"a/0.0": ["x", 2**90, 2]}),
    "offset is true": refs(**{"a/0.0": ["x", True, 2]}),
    "offset is a float": refs(**{"a/0.0": ["x", 1.0, 2]}),
    "offset is text": refs(**{"a/0.0": ["x", "1", 2]}),
    "url is a number": refs(**{"a/0.0": [5, 1, 2]}),
    "whole url is a number": refs(**{"a/0.0": [5]}),
    "not base64": refs(**{"a/0.0": "base64:???"}),
    "outside the grid": refs(**{"a/2.0": ["x", 1, 2]}),
    "too few indices": refs(**{"a/0": ["x", 1, 2]}),
    "too many indices": refs(**{"a/0.0.0": ["x", 1, 2]}),
    "not canonical": refs(**{"a/00.0": ["x", 1, 2]}),
    "no index": refs(**{"a/x": ["x", 1, 2]}),
    "no array": refs(**{"b/0.0": ["x", 1, 2]}),
    "no node": refs(README="text"),
    "double slash": refs(**{"b//.zarray": ZARRAY}),
    "leading slash": refs(**{"/b/.zarray": ZARRAY}),
    "dots": refs(**{"../b/.zarray": ZARRAY}),
    "array and group": refs(**{"a/.zgroup": GROUP}),
    "array in an array": refs(**{"a/b/.zarray": {**ZARRAY, "chunks": [4, 6]}}),
    "group in an array": refs(**{"a/b/.zgroup": GROUP}),
    "metadata not JSON": refs(**{"a/.zarray": "{"}),
    "metadata not an object": refs(**{"a/.zattrs": "[1]"}),
    "metadata is a number": refs(**{"a/.zattrs": 5}),
    "metadata nested too deep": refs(**{"a/.zattrs": "[" * 100_000}),
    "metadata not UTF-8": refs(**{"a/.zattrs": "base64://///w=="}),
    "format 3": refs(**{"a/.zarray": {**ZARRAY, "zarr_format": 3}}),
    "no shape": refs(**{"a/.zarray": {"zarr_format": 2}}),
    "shape of text": refs(**{"a/.zarray": {**ZARRAY, "shape": "4,6"}}),
    "negative shape": refs(**{"a/.zarray": {**ZARRAY, "shape": [-4, 6]}}),
    "chunk of nothing": refs(**{"a/.zarray": {**ZARRAY, "chunks": [0, 2]}}),
    "shape and chunks differ": refs(**{"a/.zarray": {**ZARRAY, "chunks": [2]}}),
    "no type": refs(**{"a/.zarray": {**ZARRAY, "dtype": "nonsense"}}),
    "fill of another type": refs(**{"a/.zarray": {**ZARRAY, "fill_value": "x"}}),
    "codec without id": refs(**{"a/.zarray": {**ZARRAY, "filters": [{"level": 1}]}}),
    "codec of text": refs(**{"a/.zarray": {**ZARRAY, "compressor": "zlib"}}),
    "filters of text": refs(**{"a/.zarray": {**ZARRAY, "filters": "zlib"}}),
    "separator": refs(**{"a/.zarray": {**ZARRAY, "dimension_separator": ":"}}),
    "dimension names": refs(**{"a/.zattrs": {"_ARRAY_DIMENSIONS": ["x"]}}),
    "dimension names of numbers": refs(**{"a/.zattrs": {"_ARRAY_DIMENSIONS": [1, 2]}}),
    "own section": {"version": 1, "refs": refs(), "refmaker": {"format": 1, "sources": [{"size": 5}]}},
    "own section of text": {"version": 1, "refs": refs(), "refmaker": "x"},
    "own state": {
        "version": 1, "refs": refs(), "refmaker": {"format": 1, "report": {"datasets": [{"path": "a", "state": "?"}]}},
    },
    "own size": {"version": 1, "refs": refs(), "refmaker": {"format": 1, "sources": [{"url": "x", "size": -1}]}},
    "beyond the file": {
        "version": 1, "refs": refs(), "refmaker": {"format": 1, "sources": [{"url": "file:///d.nc", "size": 17}]},
    },
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_broken_references_are_one_error_that_names_the_file(name: str, tmp_path: Path) -> None:
    path = tmp_path / "refs.json"
    path.write_text(json.dumps(BROKEN[name], default=str))
    with pytest.raises(BrokenReferencesError) as caught:
        open_references(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (b"\x89HDF\r\n\x1a\n", r"data file \(hdf5\).*scan it first"),
        (bytes(512) + b"\x89HDF\r\n\x1a\n", r"data file \(hdf5\)"),
        (b"CDF\x02\0\0", r"data file \(netcdf3\)"),
        (b"II*\0\x08\0", r"data file \(tiff\)"),
        (b" <!DOCTYPE html>", "HTML page"),
        (b"", "not JSON"),
    ],
)
def test_what_is_given_in_place_of_references_is_named(text: bytes, what: str, tmp_path: Path) -> None:
    path = tmp_path / "refs.json"
    path.write_bytes(text)
    with pytest.raises(BrokenReferencesError, match=what):
        open_references(path)


@pytest.mark.parametrize("key", ["a/0.0", "a/00.0", "a/9.9", "b/0.0"])
def test_a_broken_chunk_is_named(key: str) -> None:
    with pytest.raises(BrokenReferencesError, match=key.replace("/", ".*").replace(".", r"\.", 0)):
        parse_document(refs(**{key: ["x", -1, 1]}))


@pytest.mark.parametrize(
    "text", [b"", b"{", b"\xff", b'{"a":', b"[" * 10_000, b"{}{}", b"<html>", b'{"a/0": "\\ud800"}']
)
def test_what_is_not_json_is_one_error(text: bytes) -> None:
    with pytest.raises(BrokenReferencesError):
        read_json(text, "file:///refs.json")


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ({"version": 2, "refs": {}}, "version"),
        (refs(**{"a/.zarray": {**ZARRAY, "order": "F"}}), "order"),
        (
            refs(
                **{
                    "a/.zarray": None,
                    "a/.zattrs": None,
                    "a/zarr.json": {**V3, "codecs": [{"name": "sharding_indexed"}]},
                }
            ),
            "codec",
        ),
        (
            refs(
                **{"a/.zarray": None, "a/.zattrs": None, "a/zarr.json": {**V3, "chunk_grid": {"name": "rectilinear"}}}
            ),
            "chunk-grid",
        ),
        ({"version": 1, "gen": [{"dimensions": {"i": {"stop": 10**9}}}]}, "gen"),
        ({".zarray": ZARRAY}, "root-array"),
        (refs(**{"a/.zarray": ["file:///x", 0, 100]}), "metadata"),
    ],
)
def test_what_is_not_supported_says_so(document: dict[str, Any], code: str) -> None:
    with pytest.raises(UnsupportedError) as caught:
        parse_document(document, "file:///refs.json")
    assert caught.value.code == code
    assert caught.value.location == "file:///refs.json"


def test_mutated_references_are_read_or_refused(tmp_path: Path) -> None:
    """Bytes, values and keys changed at random: references or one RefmakerError, never anything else."""
    text = b"".join(json_text(sample(tmp_path)))
    chance = random.Random(1)
    for _ in range(300):
        changed = bytearray(text)
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(len(changed))
            changed[at : at + chance.randint(0, 3)] = chance.randbytes(chance.randint(0, 2))
        refused_or_read(lambda data=bytes(changed): read_json(data))
    strange = [None, True, -1, 2**70, 1.5, "", "base64:", "x", [], [None], ["x", 0], {}, {"a": []}, "[" * 5000, "{{x}}"]
    content = ujson.loads(text)
    for _ in range(500):
        document = copy.deepcopy(content)
        place: Any = document
        while True:
            key = chance.choice(list(place) if isinstance(place, dict) else range(len(place)))
            if isinstance(place[key], dict | list) and place[key] and chance.random() < 0.8:
                place = place[key]
                continue
            place[key] = copy.deepcopy(chance.choice(strange))
            break
        refused_or_read(lambda document=document: parse_document(document, "file:///refs.json"))


def refused_or_read(read: Any) -> None:
    with contextlib.suppress(RefmakerError):
        assert isinstance(read(), ReferenceSet)


@pytest.mark.parametrize("document", [{}, {"version": 1}, {"version": 1, "refs": {}}])
def test_a_document_without_references_is_broken(document: dict[str, Any]) -> None:
    with pytest.raises(BrokenReferencesError, match="no references"):
        parse_document(document)


@pytest.mark.parametrize("status", ["401", "403", "500"])
def test_a_server_that_refuses_a_document_is_quoted(status: str, served: Faults) -> None:
    """fsspec makes FileNotFoundError of every refusal."""
    (served.folder / "refs.bin").write_text(json.dumps(refs()))
    assert open_references(f"{served.url}/refs.bin").root.arrays
    served.fault = status
    with pytest.raises(SourceError, match=f"refs.bin: HTTP status {status}"):
        open_references(f"{served.url}/refs.bin", storage_options={"skip_instance_cache": True})
