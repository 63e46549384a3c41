"""Arrays and groups as Zarr v3 documents (``zarr.json``), and back.

Zarr v3 core specification, "Metadata". Filters and compressors are ``numcodecs.<id>`` behind the ``bytes`` codec, which
has the byte order; gzip and Zstandard have names of their own. Consolidated metadata stands in the root's document, as
zarr-python writes it. Where xarray is to mask a fill value, the attribute ``_FillValue`` says so: in v3 the fill value
itself does not. A ``_FillValue`` that xarray cannot take there, and would not open the array for, is set aside under
another name.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from refmaker.codecs import CODECS, STOCK_BYTE_CODECS
from refmaker.errors import UnsupportedError
from refmaker.model.array import ArrayMetadata, Codec, VirtualArray
from refmaker.model.attributes import JSON
from refmaker.model.group import VirtualGroup, walk
from refmaker.model.keys import key_of
from refmaker.references.v3_types import (
    data_type_v3,
    endian_of,
    fill_value_v3,
    mask_json,
    parse_data_type_v3,
    parse_fill_v3,
    parse_mask,
)
from refmaker.references.zarr_v2 import DIMENSIONS, dumps

__all__ = ["DOCUMENT", "PREFIX", "array_document", "documents_v3", "parse_array_v3"]

DOCUMENT = "zarr.json"
PREFIX = "c"
"""What chunk keys of the default encoding begin with: ``c/0/0``."""
MASK = "_FillValue"
SET_ASIDE = "refmaker_FillValue"
"""The attribute that keeps a ``_FillValue`` of a type, or of a kind of value, that xarray masks nothing by in v3."""
NAMED = "numcodecs."
STRINGS = ("vlen-utf8", "vlen-bytes")
ARRAY_CODECS = frozenset({"astype", "bitround", "delta", "fixedscaleoffset", "packbits", "quantize"})
"""numcodecs ids that work on elements: in v3 they stand before ``bytes``."""
OWN_NAMES: dict[str, tuple[str, dict[str, Any]]] = {
    "gzip": ("gzip", {"level": 5}),
    "zstd": ("zstd", {"level": 0, "checksum": False}),
}
"""Codecs that v3 itself names, with the configuration it wants."""
NO_CONTENT: dict[str, Any] = {}


def documents_v3(root: VirtualGroup) -> Iterator[tuple[str, str]]:
    """Yield (key, text) of every node's document; the root's holds all others.

    Raises:
        UnsupportedError: an array has no Zarr v3 spelling; it names the array.
    """
    spelled: dict[str, dict[str, JSON]] = {}
    for path, node in walk(root):
        try:
            spelled[path] = array_document(node.metadata) if isinstance(node, VirtualArray) else _group_document(node)
        except UnsupportedError as error:
            raise UnsupportedError(error.message, code=error.code, path=path) from error
    inner = {path: document for path, document in spelled.items() if path}
    consolidated = {"kind": "inline", "must_understand": False, "metadata": inner}
    yield DOCUMENT, dumps({**spelled[""], "consolidated_metadata": consolidated})
    for path, document in inner.items():
        yield key_of(path, DOCUMENT), dumps(document)


def _group_document(group: VirtualGroup) -> dict[str, JSON]:
    return {"zarr_format": 3, "node_type": "group", "attributes": dict(group.attributes)}


def array_document(metadata: ArrayMetadata) -> dict[str, JSON]:
    """Return ``zarr.json`` of an array.

    Raises:
        UnsupportedError: Zarr v3 has no such data type, or no such order of codecs.
    """
    data_type = metadata.data_type
    text = not metadata.codecs or metadata.codecs[0].id != "vlen-bytes"
    attributes = {name: value for name, value in metadata.attributes.items() if name not in {MASK, DIMENSIONS}}
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(metadata.shape),
        "data_type": data_type_v3(data_type, text=text),
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(metadata.chunk_shape)}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": fill_value_v3(metadata.fill_value, data_type, text=text),
        "codecs": _codecs(metadata),
        "attributes": {**attributes, **_mask(metadata)},
        "dimension_names": list(metadata.dimension_names),
    }


def _mask(metadata: ArrayMetadata) -> dict[str, JSON]:
    """Return the attribute that says what is masked: the fill value, else what ``_FillValue`` itself says.

    Raises:
        UnsupportedError: it says several values, and v3 readers mask one.
    """
    mask = mask_json(metadata.fill_value, metadata.data_type)
    if mask is not None:
        return {MASK: mask}
    if MASK not in metadata.attributes:
        return {}
    own = metadata.attributes[MASK]
    if isinstance(own, list) and len(own) > 1 and metadata.data_type.kind in "biuf":
        raise UnsupportedError(f"Zarr v3 readers mask one value, and {MASK} is {own!r:.60}", code="fill-value")
    mask = _attribute_mask(own, metadata.data_type)
    return {SET_ASIDE: own} if mask is None else {MASK: mask}


def _attribute_mask(value: JSON, data_type: np.dtype[Any]) -> JSON:
    """Return an attribute ``_FillValue`` of any type as xarray takes it in v3; None if no element can equal it."""
    kind = data_type.kind
    if kind == "c" and isinstance(value, list) and len(value) == 2:
        real, imaginary = value
        is_pair = isinstance(real, int | float) and isinstance(imaginary, int | float)
        return mask_json(complex(real, imaginary), data_type) if is_pair else None  # type: ignore[arg-type]
    number = value[0] if isinstance(value, list) and len(value) == 1 else value
    if kind not in "biuf" or not isinstance(number, int | float):
        return None
    if kind == "f":
        return mask_json(number, data_type)
    if not math.isfinite(number) or number != int(number):
        return None
    return bool(number) if kind == "b" else int(number)


def _codecs(metadata: ArrayMetadata) -> list[JSON]:
    codecs = list(metadata.codecs)
    listed: list[JSON] = []
    while codecs and codecs[0].id in ARRAY_CODECS:
        codec = codecs.pop(0)
        listed.append({"name": NAMED + codec.id, "configuration": dict(codec.configuration)})
    if codecs and codecs[0].id in STRINGS:
        listed.append({"name": codecs.pop(0).id})
    else:
        endian = endian_of(metadata.data_type)
        listed.append({"name": "bytes"} if endian is None else {"name": "bytes", "configuration": {"endian": endian}})
    return [*listed, *map(_bytes_codec, codecs)]


def _bytes_codec(codec: Codec) -> JSON:
    if codec.id in OWN_NAMES:
        name, defaults = OWN_NAMES[codec.id]
        return {"name": name, "configuration": {**defaults, **codec.configuration}}
    if codec.id not in STOCK_BYTE_CODECS | CODECS.keys():
        raise UnsupportedError(f"Zarr v3 has no place for the codec {codec.id!r} in its pipeline", code="codec")
    return {"name": NAMED + codec.id, "configuration": dict(codec.configuration)}


def parse_array_v3(
    document: Mapping[str, JSON], name_axes: Callable[[tuple[int, ...]], tuple[str, ...]]
) -> tuple[ArrayMetadata, str, str]:
    """Return the array that a ``zarr.json`` describes, and the separator and prefix of its chunk keys.

    A fill value that is zero, and that nothing tells CF readers to mask, becomes None.

    Raises:
        ValueError: the document is not what the specification says.
        UnsupportedError: it uses sharding, transposition or another extension that references cannot carry.
    """
    shape = _lengths(document.get("shape"), "shape")
    grid_name, grid = _named(document.get("chunk_grid"), "chunk_grid")
    if document.get("storage_transformers"):
        raise UnsupportedError("storage transformers are not supported", code="storage-transformer")
    if grid_name != "regular":
        raise UnsupportedError(f"the chunk grid {grid_name!r:.40} is not supported", code="chunk-grid")
    chunk_shape = _lengths(grid.get("chunk_shape"), "chunk_shape")
    encoding, options = _named(document.get("chunk_key_encoding", "default"), "chunk_key_encoding")
    if encoding not in {"default", "v2"}:
        raise UnsupportedError(f"the chunk key encoding {encoding!r:.40} is not supported", code="chunk-keys")
    separator = options.get("separator", "/" if encoding == "default" else ".")
    if separator not in (".", "/"):
        raise ValueError(f"separator is {separator!r:.40}")
    codecs, endian = _parse_codecs(document.get("codecs"))
    data_type = parse_data_type_v3(document.get("data_type"), endian)
    attributes = document.get("attributes", NO_CONTENT)
    if not isinstance(attributes, dict):
        raise ValueError("attributes are not an object")  # noqa: TRY004
    text = document.get("data_type") == "string"
    fill = parse_fill_v3(document.get("fill_value"), data_type, text=text)
    masked = MASK in attributes
    if masked:
        is_other = data_type.kind in "biufc" and attributes[MASK] != mask_json(fill, data_type)
        attributes = {**attributes, MASK: parse_mask(attributes[MASK], data_type)}
        if is_other and _is_zero(fill, data_type):
            fill = None
    elif _is_zero(fill, data_type):
        fill = None
    if SET_ASIDE in attributes:
        attributes = {MASK if name == SET_ASIDE else name: value for name, value in attributes.items()}
    return (
        ArrayMetadata(
            shape=shape,
            chunk_shape=tuple(c or 1 for c in chunk_shape),
            data_type=data_type,
            fill_value=fill,
            codecs=codecs,
            dimension_names=_names(document.get("dimension_names"), shape, name_axes),
            attributes=attributes,
        ),
        str(separator),
        PREFIX if encoding == "default" else "",
    )


def _is_zero(fill: Any, data_type: np.dtype[Any]) -> bool:
    if fill is None or data_type.kind == "O" or isinstance(fill, str | bytes):
        return not fill
    return np.array(fill, data_type).tobytes() == bytes(data_type.itemsize)


def _names(
    spelled: JSON, shape: tuple[int, ...], name_axes: Callable[[tuple[int, ...]], tuple[str, ...]]
) -> tuple[str, ...]:
    """Return the dimension names; axes without one get those that ``name_axes`` gives."""
    listed = [None] * len(shape) if spelled is None else spelled
    if not isinstance(listed, list) or len(listed) != len(shape):
        raise ValueError(f"dimension_names are {spelled!r:.100} for {len(shape)} axes")
    names = [name for name in listed if isinstance(name, str)]
    if len(names) == len(listed):
        return tuple(names)
    if any(name is not None and not isinstance(name, str) for name in listed):
        raise ValueError(f"dimension_names are {spelled!r:.100}")
    default = name_axes(shape)
    return tuple(name if isinstance(name, str) else other for name, other in zip(listed, default, strict=True))


def _parse_codecs(spelled: JSON) -> tuple[tuple[Codec, ...], str]:
    """Return the pipeline and the byte order that its ``bytes`` codec states."""
    if not isinstance(spelled, list) or not spelled:
        raise ValueError(f"codecs are {spelled!r:.100}")
    found: list[Codec] = []
    endian = "little"
    for item in spelled:
        name, configuration = _named(item, "a codec")
        if name in {"bytes", "endian"}:
            endian = str(configuration.get("endian", "little"))
            if endian not in {"little", "big"}:
                raise ValueError(f"endian is {endian!r:.40}")
        elif name in STRINGS or name in OWN_NAMES or name == "crc32c":
            found.append(Codec(name, configuration))
        elif name.startswith(NAMED):
            found.append(Codec(name.removeprefix(NAMED), configuration))
        elif name == "blosc":
            found.append(_blosc(configuration))
        else:
            raise UnsupportedError(f"the codec {name!r:.60} is not supported in references", code="codec")
    return tuple(found), endian


BLOSC_SHUFFLES = {"noshuffle": 0, "shuffle": 1, "bitshuffle": 2}


def _blosc(configuration: Mapping[str, JSON]) -> Codec:
    """Return v3's own blosc as numcodecs has it."""
    options = {name: value for name, value in configuration.items() if name not in {"typesize", "shuffle"}}
    shuffle = BLOSC_SHUFFLES.get(str(configuration.get("shuffle", "noshuffle")))
    if shuffle is None:
        raise ValueError(f"shuffle is {configuration['shuffle']!r:.40}")
    return Codec("blosc", {**options, "shuffle": shuffle})


def _named(spelled: JSON, what: str) -> tuple[str, Mapping[str, JSON]]:
    """Return name and configuration of an extension point."""
    if isinstance(spelled, str):
        return spelled, NO_CONTENT
    if isinstance(spelled, dict) and isinstance(spelled.get("name"), str):
        configuration = spelled.get("configuration") or NO_CONTENT
        if isinstance(configuration, dict):
            return str(spelled["name"]), configuration
    raise ValueError(f"{what} is {spelled!r:.100}")


def _lengths(value: JSON, name: str) -> tuple[int, ...]:
    if not isinstance(value, list):
        raise ValueError(f"{name} is {value!r:.100}")  # noqa: TRY004  one error for all broken documents
    lengths = tuple(n for n in value if isinstance(n, int) and not isinstance(n, bool) and 0 <= n < 1 << 63)
    if len(lengths) != len(value):
        raise ValueError(f"{name} is {value!r:.100}")
    return lengths
