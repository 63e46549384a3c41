"""Arrays and groups as Zarr v2 documents (``.zarray``, ``.zattrs``, ``.zgroup``, ``.zmetadata``), and back.

The one place that knows this spelling: writers store it, the filesystem serves it. Zarr v2 specification, "Arrays"
and "Hierarchies"; ``_ARRAY_DIMENSIONS`` is xarray's convention for dimension names, ``.zmetadata`` zarr-python's for
consolidated metadata. Documents are text. Attributes that are NaN or infinite are the bare tokens ``NaN`` and
``Infinity``, as zarr-python itself writes and reads them in version 2.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import ujson

from refmaker.errors import UnsupportedError
from refmaker.model.array import ArrayMetadata, Codec, VirtualArray
from refmaker.model.attributes import JSON
from refmaker.model.group import VirtualGroup, walk
from refmaker.model.keys import key_of
from refmaker.references.v2_types import data_type_json, fill_value_json, parse_data_type, parse_fill_value

__all__ = [
    "COMPRESSORS",
    "DIMENSIONS",
    "array_documents",
    "consolidated_document",
    "documents",
    "dumps",
    "group_documents",
    "parse_array",
    "parse_json",
]

DIMENSIONS = "_ARRAY_DIMENSIONS"
"""The attribute in which xarray looks for dimension names."""
COMPRESSORS = frozenset({"blosc", "bz2", "gzip", "isal", "lz4", "lzma", "zlib", "zstd"})
"""Codec ids that stand as ``compressor`` when they come last; all else is a filter. Decoders run the compressor
first, then the filters from the last to the first, so both spellings decode alike; this one is what people expect."""
GROUP_DOCUMENT = '{"zarr_format":2}'


def dumps(value: Any) -> str:
    """Return JSON as ASCII text; NaN and the infinities as bare tokens."""
    text: str = ujson.dumps(value, ensure_ascii=True, escape_forward_slashes=False)
    return text


def array_documents(metadata: ArrayMetadata) -> dict[str, str]:
    """Return ``.zarray`` and ``.zattrs`` of an array.

    Raises:
        UnsupportedError: Zarr v2 has no such data type.
    """
    codecs = [{"id": codec.id, **codec.configuration} for codec in metadata.codecs]
    compressor = codecs.pop() if codecs and codecs[-1]["id"] in COMPRESSORS else None
    zarray = {
        "zarr_format": 2,
        "shape": metadata.shape,
        "chunks": metadata.chunk_shape,
        "dtype": data_type_json(metadata.data_type),
        "compressor": compressor,
        "fill_value": fill_value_json(metadata.fill_value, metadata.data_type),
        "order": "C",
        "filters": codecs or None,
        "dimension_separator": ".",
    }
    return {".zarray": dumps(zarray), ".zattrs": dumps({**metadata.attributes, DIMENSIONS: metadata.dimension_names})}


def group_documents(group: VirtualGroup) -> dict[str, str]:
    """Return ``.zgroup`` and ``.zattrs`` of a group."""
    return {".zgroup": GROUP_DOCUMENT, ".zattrs": dumps(group.attributes)}


def documents(root: VirtualGroup) -> Iterator[tuple[str, str]]:
    """Yield (key, text) of every node's documents, a group before its members.

    Raises:
        UnsupportedError: an array has no Zarr v2 spelling; it names the array.
    """
    for path, node in walk(root):
        try:
            spelled = array_documents(node.metadata) if isinstance(node, VirtualArray) else group_documents(node)
        except UnsupportedError as error:
            raise UnsupportedError(error.message, code=error.code, path=path) from error
        for leaf, text in spelled.items():
            yield key_of(path, leaf), text


def consolidated_document(spelled: Mapping[str, str]) -> str:
    """Return ``.zmetadata``: all documents in one, without spelling them again."""
    members = ",".join(f"{dumps(key)}:{text}" for key, text in spelled.items())
    return f'{{"metadata":{{{members}}},"zarr_consolidated_format":1}}'


def parse_array(
    zarray: JSON, attributes: Mapping[str, JSON], name_axes: Callable[[tuple[int, ...]], tuple[str, ...]]
) -> tuple[ArrayMetadata, str]:
    """Return the array that the content of ``.zarray`` and ``.zattrs`` describe, and the separator of its chunk keys.

    ``name_axes`` gives names for a shape where the attributes have none.

    Raises:
        ValueError: the documents are not what the specification says.
        UnsupportedError: column-major chunks.
    """
    if not isinstance(zarray, dict) or zarray.get("zarr_format") != 2:
        raise ValueError("not a Zarr v2 array document")
    shape, chunk_shape = _lengths(zarray, "shape"), _lengths(zarray, "chunks")
    if len(shape) != len(chunk_shape):
        raise ValueError(f"shape {shape} and chunks {chunk_shape} differ in number of axes")
    chunk_shape = tuple(c or 1 if n == 0 else c for n, c in zip(shape, chunk_shape, strict=True))  # kerchunk writes 0
    if zarray.get("order", "C") != "C" and len(shape) > 1:
        raise UnsupportedError("column-major chunks (order 'F') are not supported", code="order")
    separator = zarray.get("dimension_separator") or "."
    if separator not in (".", "/"):
        raise ValueError(f"dimension_separator is {separator!r:.40}")
    data_type = parse_data_type(zarray.get("dtype"))
    codecs = _parse_codecs(zarray)
    is_bytes = data_type.hasobject and codecs and codecs[0].id == "vlen-bytes"
    names = attributes.get(DIMENSIONS) if DIMENSIONS in attributes else list(name_axes(shape))
    if not isinstance(names, list) or len(names) != len(shape) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"{DIMENSIONS} is {names!r:.100} for {len(shape)} axes")
    return ArrayMetadata(
        shape=shape,
        chunk_shape=chunk_shape,
        data_type=data_type,
        fill_value=parse_fill_value(zarray.get("fill_value"), np.dtype("S1") if is_bytes else data_type),
        codecs=codecs,
        dimension_names=tuple(map(str, names)),
        attributes={name: value for name, value in attributes.items() if name != DIMENSIONS},
    ), str(separator)


def _lengths(zarray: Mapping[str, JSON], name: str) -> tuple[int, ...]:
    value = zarray.get(name)
    if not isinstance(value, list):
        raise ValueError(f"{name} is {value!r:.100}")  # noqa: TRY004  one error for all broken documents
    lengths = tuple(n for n in value if isinstance(n, int) and not isinstance(n, bool) and 0 <= n < 1 << 63)
    if len(lengths) != len(value):
        raise ValueError(f"{name} is {value!r:.100}")
    return lengths


def _parse_codecs(zarray: Mapping[str, JSON]) -> tuple[Codec, ...]:
    filters, compressor = zarray.get("filters") or [], zarray.get("compressor")
    listed = [*filters, *([compressor] if compressor is not None else [])] if isinstance(filters, list) else [filters]
    codecs = []
    for codec in listed:
        if not isinstance(codec, dict) or not isinstance(codec.get("id"), str):
            raise ValueError(f"{codec!r:.100} is not a codec: an object with an id")  # noqa: TRY004
        codecs.append(Codec(str(codec["id"]), {k: v for k, v in codec.items() if k != "id"}))
    return tuple(codecs)


def parse_json(text: str) -> JSON:
    """Return a document's content; bare NaN and Infinity are read.

    Raises:
        ValueError: not JSON, or nested too deep.
    """
    try:
        value: JSON = json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    return value
