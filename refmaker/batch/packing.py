"""A ReferenceSet as bytes and back: its columns as they are in memory, behind one JSON document about the rest.

Layout, compressed as a whole: ``RMP1``, the document's length (u4), the document, then each column from the next
multiple of 8 on. The document holds the sources and the report as reference documents do, the nodes in the order of
``walk``, and the manifests; arrays that share a manifest (hard links) share it after reading, too. Metadata of an array
is text in that document, which need not be parsed where the same text was parsed before.
"""

import base64
import json
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from isal import isal_zlib

from refmaker.errors import BrokenFileError
from refmaker.model.array import ArrayMetadata, Codec, VirtualArray
from refmaker.model.chunks import ChunkManifest
from refmaker.model.columns import AffineColumn, Column
from refmaker.model.group import VirtualGroup, walk
from refmaker.model.keys import parent_path
from refmaker.model.reference_set import ReferenceSet
from refmaker.references.extension import extension_json, parse_extension

__all__ = ["KnownMetadata", "pack", "unpack"]

MAGIC = b"RMP1"
ALIGNMENT = 8
INFLATE_ERROR: Any = isal_zlib.error  # an exception, which type checkers cannot see
Document = dict[str, Any]
KnownMetadata = dict[str, ArrayMetadata]
MOST_KNOWN = 10_000


def pack(references: ReferenceSet) -> bytes:
    """Return references as bytes."""
    columns = _Columns()
    manifests: dict[int, int] = {}
    described: list[Document] = []
    nodes: list[Document] = []
    for path, node in walk(references.root):
        if isinstance(node, VirtualGroup):
            nodes.append({"path": path, "attributes": dict(node.attributes)})
            continue
        place = manifests.setdefault(id(node.manifest), len(described))
        if place == len(described):
            described.append(_manifest_json(node.manifest.whole(), columns))
        nodes.append({"path": path, "manifest": place, "metadata": _text(_metadata_json(node.metadata))})
    document = {"extension": extension_json(references), "nodes": nodes, "manifests": described}
    text = _text(document).encode()
    head = MAGIC + struct.pack("<I", len(text)) + text
    packed: bytes = isal_zlib.compress(b"".join([head, bytes(-len(head) % ALIGNMENT), *columns.parts]), 1)
    return packed


def _text(document: Document) -> str:
    return json.dumps(document, separators=(",", ":"))


def unpack(packed: bytes, known: KnownMetadata | None = None) -> ReferenceSet:
    """Return the references that ``pack`` made these bytes of.

    Args:
        packed: the bytes.
        known: metadata that results have in common, by its text: taken from there and added to it. The files of an
            archive are much alike, so this saves most of the time and memory.

    Raises:
        BrokenFileError: they are not such bytes.
    """
    try:
        data = isal_zlib.decompress(packed)
        if data[:4] != MAGIC:
            raise ValueError(f"starts with {data[:4]!r}")  # noqa: TRY301  one error for all broken results
        (length,) = struct.unpack_from("<I", data, 4)
        document = json.loads(data[8 : 8 + length])
        return _references(document, data, 8 + length + -length % ALIGNMENT, {} if known is None else known)
    except (ValueError, KeyError, TypeError, IndexError, struct.error, INFLATE_ERROR) as error:
        raise BrokenFileError(f"is no stored scan result: {error}") from error


class _Columns:
    """The columns of all manifests, laid one after the other."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self._end = 0

    def add(self, data: bytes) -> int:
        """Take some bytes and return where they begin, after the document."""
        start = self._end
        padded = data + bytes(-len(data) % ALIGNMENT)
        self.parts.append(padded)
        self._end += len(padded)
        return start


# -- arrays -----------------------------------------------------------------------------------------------------------
def _metadata_json(metadata: ArrayMetadata) -> Document:
    return {
        "shape": metadata.shape,
        "chunk_shape": metadata.chunk_shape,
        "data_type": _type_json(metadata.data_type),
        "fill_value": _value_json(metadata.fill_value),
        "codecs": [[codec.id, dict(codec.configuration)] for codec in metadata.codecs],
        "dimension_names": metadata.dimension_names,
        "attributes": dict(metadata.attributes),
    }


def _metadata(text: str, known: KnownMetadata) -> ArrayMetadata:
    found = known.get(text)
    if found is None:
        if len(known) >= MOST_KNOWN:
            known.clear()
        found = known[text] = _parsed_metadata(json.loads(text))
    return found


def _parsed_metadata(node: Document) -> ArrayMetadata:
    return ArrayMetadata(
        shape=tuple(node["shape"]),
        chunk_shape=tuple(node["chunk_shape"]),
        data_type=_type(node["data_type"]),
        fill_value=_value(node["fill_value"]),
        codecs=tuple(Codec(name, configuration) for name, configuration in node["codecs"]),
        dimension_names=tuple(node["dimension_names"]),
        attributes=node["attributes"],
    )


def _type_json(data_type: np.dtype[Any]) -> Any:
    """Return a data type as JSON, exactly: byte orders, offsets and padding too."""
    if data_type.subdtype is not None:
        base, shape = data_type.subdtype
        return {"base": _type_json(base), "shape": list(shape)}
    if data_type.fields is not None and data_type.names is not None:
        fields = [data_type.fields[name] for name in data_type.names]
        return {
            "names": list(data_type.names),
            "formats": [_type_json(field[0]) for field in fields],
            "offsets": [field[1] for field in fields],
            "itemsize": data_type.itemsize,
        }
    return data_type.str


def _type(spelled: Any) -> np.dtype[Any]:
    if isinstance(spelled, str):
        return np.dtype(spelled)
    if "base" in spelled:
        return np.dtype((_type(spelled["base"]), tuple(spelled["shape"])))
    described: Any = {**spelled, "formats": [_type(field) for field in spelled["formats"]]}
    found: np.dtype[Any] = np.dtype(described)
    return found


def _value_json(value: Any) -> Any:
    """Return a fill value as JSON: its bytes where it has a data type."""
    if isinstance(value, np.generic):
        return {"data_type": _type_json(value.dtype), "base64": base64.b64encode(value.tobytes()).decode()}
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode()}
    return value


def _value(spelled: Any) -> Any:
    if not isinstance(spelled, Mapping):
        return spelled
    data = base64.b64decode(spelled["base64"])
    if "data_type" not in spelled:
        return data
    data_type = _type(spelled["data_type"])
    return np.frombuffer(data, data_type)[0] if data_type.itemsize else np.zeros((), data_type)[()]


# -- manifests --------------------------------------------------------------------------------------------------------
def _manifest_json(manifest: ChunkManifest, columns: _Columns) -> Document:
    found: Document = {
        "grid_shape": manifest.grid_shape,
        "location_id": _column_json(manifest.location_id, columns),
        "offset": _column_json(manifest.offset, columns),
        "length": _column_json(manifest.length, columns),
    }
    if manifest.position is not None:
        found["position"] = _column_json(manifest.position, columns)
    if manifest.inline:
        found["inline"] = [columns.add(manifest.inline), len(manifest.inline)]
    return found


def _column_json(column: Column, columns: _Columns) -> Any:
    if isinstance(column, AffineColumn):
        return {"start": column.start, "strides": column.strides, "shape": column.shape}
    return [columns.add(column.tobytes()), column.size, column.dtype.str]


def _references(document: Document, data: bytes, base: int, known: KnownMetadata) -> ReferenceSet:
    manifests = [_manifest(described, data, base) for described in document["manifests"]]
    sources, report = parse_extension(document["extension"])
    arrays: dict[str, dict[str, VirtualArray]] = {}
    groups: dict[str, dict[str, VirtualGroup]] = {}
    root = VirtualGroup()
    for node in reversed(document["nodes"]):  # members before their group
        path = node["path"]
        parent, name = parent_path(path), path.rpartition("/")[2]
        if "manifest" in node:
            metadata = _metadata(node["metadata"], known)
            arrays.setdefault(parent, {})[name] = VirtualArray(metadata, manifests[node["manifest"]])
            continue
        group = VirtualGroup(
            dict(reversed(arrays.pop(path, {}).items())),
            dict(reversed(groups.pop(path, {}).items())),
            node["attributes"],
        )
        if path:
            groups.setdefault(parent, {})[name] = group
        else:
            root = group
    return ReferenceSet(root, sources, report)


def _manifest(described: Document, data: bytes, base: int) -> ChunkManifest:
    start, length = described.get("inline", (0, 0))
    position = described.get("position")
    return ChunkManifest(
        tuple(described["grid_shape"]),
        _column(described["location_id"], data, base),
        _column(described["offset"], data, base),
        _column(described["length"], data, base),
        position=None if position is None else _array(position, data, base),
        inline=data[base + start : base + start + length],
    )


def _column(described: Any, data: bytes, base: int) -> Column:
    if isinstance(described, Mapping):
        return AffineColumn(described["start"], tuple(described["strides"]), tuple(described["shape"]))
    return _array(described, data, base)


def _array(described: Any, data: bytes, base: int) -> npt.NDArray[Any]:
    start, count, data_type = described
    return np.frombuffer(data, np.dtype(data_type), count, base + start).copy()  # a view would keep all of data
