"""Reading kerchunk JSON, versions 0 and 1, straight into columns.

``ujson`` parses the text; then each array's keys, offsets and lengths become numpy columns, all at once. Templates are
substituted as plain text. A whole file, ``[url]``, becomes the range from 0 to the file's size: as the document's
source table recorded it, else as its store tells now; if neither does, the references cannot be read, because nobody
could ever tell whether such a chunk came complete.
"""

import gc
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import ujson

from refmaker.errors import BrokenReferencesError, OptionError, UnsupportedError
from refmaker.model.array import ArrayMetadata, VirtualArray
from refmaker.model.attributes import JSON
from refmaker.model.keys import METADATA_NAMES, key_of, parent_path, split_key
from refmaker.model.reference_set import ReferenceSet
from refmaker.references.extension import KEY, parse_extension
from refmaker.references.hierarchy import AxisNames, build_tree, check_path
from refmaker.references.kerchunk_values import inlined_bytes, manifest_of
from refmaker.references.relocate import resolved_against
from refmaker.references.source_table import OptionsFor, SourceTable
from refmaker.references.zarr_v2 import parse_array, parse_json

__all__ = ["parse_document", "read_json"]

Documents = dict[str, dict[str, Any]]
"""Node path -> document name -> the document."""
Chunks = dict[str, tuple[list[str], list[Any]]]
"""Path -> chunk keys below it, and as many values."""


def read_json(data: bytes, location: str | None = None, *, options_for: OptionsFor | None = None) -> ReferenceSet:
    """Return the references in a JSON text.

    Args:
        data: the file's bytes.
        location: its URL, for messages; relative URLs inside are resolved against it.
        options_for: options of the sources' filesystems, used only to look up the size of whole-file references.

    Raises:
        BrokenReferencesError: the document is malformed; it names the file and the key.
        UnsupportedError: it uses what we do not read (``gen``, Zarr v3 metadata).
        SourceError: the size of a file that is referenced whole cannot be found out.
    """
    with _no_collector():
        try:
            document = ujson.loads(data)
        except (ValueError, RecursionError) as error:
            raise BrokenReferencesError(f"is not JSON: {error}", location=location) from error
        return parse_document(document, location, options_for=options_for)


@contextmanager
def _no_collector() -> Iterator[None]:
    """Pause the cycle collector: it would walk a million fresh lists again and again."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def parse_document(
    document: Any, location: str | None = None, *, options_for: OptionsFor | None = None
) -> ReferenceSet:
    """Return the references in a JSON document that is parsed already; see ``read_json``."""
    try:
        return _parse(document, location, options_for)
    except (BrokenReferencesError, UnsupportedError) as error:
        error.location = error.location or location
        raise


def _parse(document: Any, location: str | None, options_for: OptionsFor | None) -> ReferenceSet:
    refs, templates, extension = _sections(document)
    try:
        recorded, report = parse_extension(extension)
    except (ValueError, OptionError) as error:
        raise BrokenReferencesError(f"{error}", path=KEY) from error
    against = resolved_against(location) if location else str
    table = SourceTable(recorded, lambda url: against(_substituted(url, templates)), options_for)
    nodes, chunks = _by_node(refs)
    groups, described = _described(nodes)
    chunks = _by_array(chunks, described)
    arrays = {}
    for path, (metadata, separator) in described.items():
        keys, values = chunks.get(path, ([], []))
        manifest = manifest_of(path, metadata.grid_shape, separator, keys, values, table)
        arrays[path] = VirtualArray(metadata, manifest)
    return ReferenceSet(build_tree(groups, arrays), tuple(table.files), report)


def _sections(document: Any) -> tuple[dict[str, Any], dict[str, str], JSON]:
    """Return the references, the templates and refmaker's own section of a document of either version."""
    if not isinstance(document, dict):
        raise BrokenReferencesError("is not a JSON object")
    version = document.get("version")
    if version is None and "refs" not in document:
        return document, {}, None
    if version is not None and version != 1:
        raise UnsupportedError(f"is version {version!r:.40} of the reference format; 0 and 1 are known", code="version")
    if document.get("gen"):
        raise UnsupportedError(
            "generates references by 'gen', which is not supported yet; expand it with fsspec and save it again",
            code="gen",
        )
    refs, templates = document.get("refs", {}), document.get("templates") or {}
    if not isinstance(refs, dict):
        raise BrokenReferencesError("'refs' is not an object")
    if not isinstance(templates, dict) or not all(isinstance(text, str) for text in templates.values()):
        raise BrokenReferencesError("'templates' is not an object of text")
    return refs, templates, document.get(KEY)


TEMPLATE = re.compile(r"\{\{\s*(\w+)\s*\}\}")


def _substituted(url: str, templates: Mapping[str, str]) -> str:
    """Return a URL with ``{{name}}`` replaced, once: templates do not call templates."""
    if not templates or "{{" not in url:
        return url
    full = TEMPLATE.sub(lambda match: templates.get(match[1], match[0]), url)
    if unknown := TEMPLATE.search(TEMPLATE.sub(lambda match: "" if match[1] in templates else match[0], url)):
        raise BrokenReferencesError(f"{url!r:.200} uses the unknown template {unknown[1]!r}")
    return full


def _by_node(refs: Mapping[str, Any]) -> tuple[Documents, Chunks]:
    """Return the parsed documents by node, and the chunk keys and values by what stands before their last slash."""
    documents: dict[str, dict[str, Any]] = {}
    chunks: Chunks = {}
    for key, value in refs.items():
        path, _, leaf = key.rpartition("/")
        if leaf in METADATA_NAMES:
            documents.setdefault(path, {})[leaf] = value
            continue
        found = chunks.get(path)
        if found is None:
            found = chunks[path] = ([], [])
        found[0].append(leaf)
        found[1].append(value)
    consolidated = documents.get("", {}).pop(".zmetadata", None)
    if consolidated is not None and not any(documents.values()):
        documents = _from_consolidated(consolidated)
    return {
        path: {leaf: _content(path, leaf, value) for leaf, value in found.items()} for path, found in documents.items()
    }, chunks


def _from_consolidated(value: Any) -> Documents:
    """Return the documents of a store that has them only in ``.zmetadata``."""
    content = _content("", ".zmetadata", value)
    metadata = content.get("metadata")
    if not isinstance(metadata, dict):
        raise BrokenReferencesError("has no metadata", path=".zmetadata")
    documents: Documents = {}
    for key, document in metadata.items():
        path, leaf = split_key(key)
        documents.setdefault(path, {})[leaf] = document
    return documents


def _content(path: str, leaf: str, value: Any) -> dict[str, JSON]:
    """Return a metadata document, given as text, base64 or a JSON object."""
    if leaf == "zarr.json":
        raise UnsupportedError("Zarr v3 metadata is not supported yet", code="zarr-v3", path=key_of(path, leaf))
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


Described = dict[str, tuple[ArrayMetadata, str]]
"""Array path -> metadata and separator of its chunk keys."""


def _described(documents: Documents) -> tuple[dict[str, Mapping[str, JSON]], Described]:
    """Return the attributes of groups, and the metadata of arrays, by path."""
    groups: dict[str, Mapping[str, JSON]] = {}
    arrays: Described = {}
    axis_names: dict[str, AxisNames] = {}
    for path, found in documents.items():
        check_path(path)
        attributes = found.get(".zattrs", {})
        if ".zarray" not in found:
            groups[path] = attributes
            continue
        if ".zgroup" in found:
            raise BrokenReferencesError("is an array and a group", path=path)
        if not path:
            raise UnsupportedError("the root is an array, and has no name to open it by", code="root-array")
        try:
            names = axis_names.setdefault(parent_path(path), AxisNames())
            arrays[path] = parse_array(found[".zarray"], attributes, names)
        except (ValueError, OptionError) as error:
            raise BrokenReferencesError(f"{error}", path=key_of(path, ".zarray")) from error
        except UnsupportedError as error:
            error.path = path
            raise
    return groups, arrays


def _by_array(chunks: Chunks, arrays: Described) -> Chunks:
    """Return the chunk keys by array: where indices are separated by slashes, the array's path is an earlier part."""
    if chunks.keys() <= arrays.keys():
        return chunks
    found: Chunks = {}
    for path, (keys, values) in chunks.items():
        owner = path
        while owner and owner not in arrays:
            owner = parent_path(owner)
        if owner not in arrays or (owner != path and arrays[owner][1] != "/"):
            raise BrokenReferencesError("belongs to no array", path=key_of(path, keys[0])[:200])
        inner = path[len(owner) + 1 :]
        all_keys, all_values = found.setdefault(owner, ([], []))
        all_keys.extend(key_of(inner, key) for key in keys)
        all_values.extend(values)
    return found
