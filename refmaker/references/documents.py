"""From the metadata documents of a store, of either Zarr version, to the groups and arrays they describe."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from refmaker.errors import BrokenReferencesError, OptionError, UnsupportedError
from refmaker.model.array import ArrayMetadata
from refmaker.model.attributes import JSON
from refmaker.model.chunks import check_grid
from refmaker.model.group import VirtualGroup
from refmaker.model.keys import METADATA_NAMES, key_of, parent_path, split_key
from refmaker.references.hierarchy import AxisNames, check_path
from refmaker.references.inlined_text import inlined_bytes
from refmaker.references.zarr_v2 import consolidated_document, documents, parse_array, parse_json
from refmaker.references.zarr_v3 import DOCUMENT, documents_v3, parse_array_v3

__all__ = ["ArrayLayout", "Described", "Documents", "described", "parsed_documents", "spelled_documents"]

Documents = dict[str, dict[str, Any]]
"""Node path -> document name -> the document."""


@dataclass(frozen=True, slots=True)
class ArrayLayout:
    """An array and how its chunk keys are spelled.

    Attributes:
        metadata: the array.
        separator: what stands between the indices of a key.
        prefix: what stands before them, with a separator: ``"c"`` in v3, else nothing.
    """

    metadata: ArrayMetadata
    separator: str = "."
    prefix: str = ""


Described = tuple[dict[str, Mapping[str, JSON]], dict[str, ArrayLayout]]
"""Attributes of groups, and the layout of arrays, by path."""


def spelled_documents(root: VirtualGroup, zarr_format: int) -> Iterator[tuple[str, str]]:
    """Yield (key, text) of every document of a store, consolidated ones first.

    Raises:
        UnsupportedError: an array has no spelling in that format; it names the array.
    """
    if zarr_format == 3:
        yield from documents_v3(root)
        return
    spelled = dict(documents(root))
    yield ".zmetadata", consolidated_document(spelled)
    yield from spelled.items()


def parsed_documents(found: Documents) -> Documents:
    """Return the documents as JSON objects; a store that has them only consolidated, by node.

    Args:
        found: by node and name: text, base64, or JSON objects.

    Raises:
        BrokenReferencesError: one is not a JSON object; it names its key.
    """
    root = found.get("", {})
    consolidated = root.pop(".zmetadata", None)
    if consolidated is not None and not any(found.values()):
        found = _from_consolidated(_content("", ".zmetadata", consolidated).get("metadata"), ".zmetadata")
    elif DOCUMENT in root and len(found) == 1:
        content = _content("", DOCUMENT, root[DOCUMENT])
        inner = content.get("consolidated_metadata")
        if isinstance(inner, dict):
            members = inner.get("metadata")
            listed = (
                {key_of(path, DOCUMENT): text for path, text in members.items()} if isinstance(members, dict) else 0
            )
            found = {**_from_consolidated(listed, DOCUMENT), "": root}
    return {
        path: {leaf: _content(path, leaf, value) for leaf, value in leaves.items()} for path, leaves in found.items()
    }


def _from_consolidated(metadata: Any, key: str) -> Documents:
    """Return the documents of a store that has them only in one."""
    if not isinstance(metadata, dict):
        raise BrokenReferencesError("has no metadata", path=key)
    documents: Documents = {}
    for name, document in metadata.items():
        path, leaf = split_key(name)
        if leaf in METADATA_NAMES and name != ".zmetadata":
            documents.setdefault(path, {})[leaf] = document
    return documents


def _content(path: str, leaf: str, value: Any) -> dict[str, JSON]:
    """Return a metadata document, given as text, base64 or a JSON object."""
    if isinstance(value, list | tuple):
        raise UnsupportedError(
            "metadata that lies in another file is not supported yet", code="metadata", path=key_of(path, leaf)
        )
    try:
        if isinstance(value, str | bytes):
            value = parse_json(inlined_bytes(value).decode())
    except (ValueError, BrokenReferencesError) as error:
        raise BrokenReferencesError(f"is not JSON: {error}", path=key_of(path, leaf)) from error
    if not isinstance(value, dict):
        raise BrokenReferencesError("is not a JSON object", path=key_of(path, leaf))
    return value


def described(documents: Documents) -> Described:
    """Return the attributes of groups, and the layout of arrays, by path.

    Raises:
        BrokenReferencesError: a document is malformed; it names its key.
        UnsupportedError: it uses what we do not read.
    """
    groups: dict[str, Mapping[str, JSON]] = {}
    arrays: dict[str, ArrayLayout] = {}
    axis_names: dict[str, AxisNames] = {}
    for path, found in documents.items():
        check_path(path)
        leaf = DOCUMENT if DOCUMENT in found else ".zarray"
        if leaf == DOCUMENT and len(found.keys() & METADATA_NAMES) > 1:
            raise BrokenReferencesError("has metadata of Zarr 2 and 3", path=path)
        document = found.get(leaf)
        if document is None:
            groups[path] = found.get(".zattrs", {})
            continue
        if leaf == DOCUMENT and document.get("node_type") == "group":
            groups[path] = _attributes_v3(path, document)
            continue
        if ".zgroup" in found:
            raise BrokenReferencesError("is an array and a group", path=path)
        if not path:
            raise UnsupportedError("the root is an array, and has no name to open it by", code="root-array")
        names = axis_names.setdefault(parent_path(path), AxisNames())
        try:
            if leaf == DOCUMENT:
                arrays[path] = _layout_v3(document, names)
            else:
                metadata, separator = parse_array(document, found.get(".zattrs", {}), names)
                arrays[path] = ArrayLayout(metadata, separator)
            check_grid(arrays[path].metadata.grid_shape)
        except (ValueError, OptionError) as error:
            raise BrokenReferencesError(f"{error}", path=key_of(path, leaf)) from error
        except UnsupportedError as error:
            error.path = path
            raise
    return groups, arrays


def _attributes_v3(path: str, document: Mapping[str, JSON]) -> Mapping[str, JSON]:
    """Return a group's attributes."""
    attributes = document.get("attributes", {})
    if document.get("zarr_format") != 3 or not isinstance(attributes, dict):
        raise BrokenReferencesError("is not a Zarr v3 group document", path=key_of(path, DOCUMENT))
    return attributes


def _layout_v3(document: Mapping[str, JSON], names: AxisNames) -> ArrayLayout:
    if document.get("zarr_format") != 3 or document.get("node_type") != "array":
        raise ValueError("not a Zarr v3 array document")
    return ArrayLayout(*parse_array_v3(document, names))
