"""What fuzzing found, each once and as small as it gets."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from refmaker import BrokenReferencesError, ChunkManifest, OptionError, UnsupportedError
from refmaker.codecs import get_codec
from refmaker.references.kerchunk_read import parse_document

ZARRAY = {"zarr_format": 2, "shape": [2], "chunks": [2], "dtype": "<i4", "compressor": None, "fill_value": None}
ZARR_JSON = {
    "zarr_format": 3, "node_type": "array", "shape": [2], "data_type": "int32", "fill_value": 0, "attributes": {},
    "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [2]}},
    "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
    "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
}  # fmt: skip


def v2(**changes: Any) -> dict[str, Any]:
    zarray = json.dumps({**ZARRAY, "order": "C", "filters": None, **changes})
    return {"version": 1, "refs": {".zgroup": '{"zarr_format":2}', "a/.zarray": zarray}}


def v3(**changes: Any) -> dict[str, Any]:
    root = json.dumps({"zarr_format": 3, "node_type": "group"})
    return {"version": 1, "refs": {"zarr.json": root, "a/zarr.json": json.dumps({**ZARR_JSON, **changes})}}


def encoding(separator: Any) -> dict[str, Any]:
    return {"chunk_key_encoding": {"name": "default", "configuration": {"separator": separator}}}


def reported(**dataset: Any) -> dict[str, Any]:
    return {**v2(), "refmaker": {"format": 1, "report": {"datasets": [{"state": "referenced", **dataset}]}}}


@pytest.mark.parametrize(
    "document",
    [
        v2(dimension_separator=[[]]),
        v2(dimension_separator={"a": 1}),
        v3(**encoding([])),
        v3(**encoding({})),
        reported(path=None),
        v2(shape=[7, 1 << 62], chunks=[1, 1]),
        v3(shape=[1 << 40] * 3),
    ],
    ids=lambda document: json.dumps(document)[-60:],
)
def test_documents_that_say_impossible_things_are_refused(document: Any) -> None:
    with pytest.raises(BrokenReferencesError):
        parse_document(document)


@pytest.mark.parametrize("data_type", ["uint64", "int32", "float32"])
def test_no_fill_value_is_none(data_type: str) -> None:
    references = parse_document(v3(fill_value=None, data_type=data_type))
    assert references.root.arrays["a"].metadata.fill_value is None


@pytest.mark.parametrize("make", [ChunkManifest.empty])
def test_a_grid_that_no_index_numbers_is_refused(make: Callable[[tuple[int, ...]], object]) -> None:
    make(((1 << 63) - 1,))
    with pytest.raises(OptionError, match="positions"):
        make((1 << 62, 2))


@pytest.mark.parametrize(
    "config",
    [
        {"id": "refmaker_optional", "codecs": [{"id": "zlib"}], "nbytes": "x"},
        {"id": "refmaker_pad", "unheard": 1},
        {"id": "zlib", "level": [], "more": 2},
        {"id": ["zlib"]},
        {},
    ],
)
def test_codecs_that_take_no_such_configuration_are_refused(config: Any) -> None:
    with pytest.raises((OptionError, UnsupportedError)):
        get_codec(config)
