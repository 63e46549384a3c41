"""Reading kerchunk JSON, versions 0 and 1, of Zarr 2 or 3, straight into columns.

Regular references never become Python objects (``regular_references``); ``ujson`` parses the rest. Templates and
generated references are expanded in a closed grammar. A whole file, ``[url]``, becomes the range from 0 to the file's
size: as the document's source table recorded it, else as its store tells now; if neither does, the references cannot
be read, because nobody could ever tell whether such a chunk came complete.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import ujson

from refmaker.errors import BrokenReferencesError, OptionError, UnsupportedError
from refmaker.model.array import VirtualArray
from refmaker.model.attributes import JSON
from refmaker.model.keys import METADATA_NAMES, key_of, parent_path
from refmaker.model.reference_set import ReferenceSet
from refmaker.references.compression import decompressed
from refmaker.references.documents import ArrayLayout, Documents, described, parsed_documents
from refmaker.references.extension import KEY, parse_extension
from refmaker.references.generators import generated
from refmaker.references.hierarchy import build_tree
from refmaker.references.kerchunk_values import Values, manifest_of
from refmaker.references.regular_references import MARKER, RegularReferences, find_regular
from refmaker.references.regular_values import RegularValues
from refmaker.references.relocate import resolved_against
from refmaker.references.source_table import OptionsFor, SourceTable
from refmaker.references.templates import Environment, Template, compiled
from refmaker.source.base import MemorySource
from refmaker.source.collector import collector_paused

__all__ = ["parse_document", "read_json"]

SMALL = 1 << 16
"""Bytes of text up to which the generic parser alone is as fast."""


def read_json(data: bytes, location: str | None = None, *, options_for: OptionsFor | None = None) -> ReferenceSet:
    """Return the references in a JSON text, compressed or not.

    Args:
        data: the file's bytes.
        location: its URL, for messages; relative URLs inside are resolved against it.
        options_for: options of the sources' filesystems, used only to look up the size of whole-file references.

    Raises:
        BrokenReferencesError: the document is malformed; it names the file and the key.
        UnsupportedError: it uses what we do not read.
        SourceError: the size of a file that is referenced whole cannot be found out.
    """
    data = decompressed(data, location)
    with collector_paused():
        regular = find_regular(data) if len(data) > SMALL else None
        if regular is not None:
            rest = _loaded(regular.rest, location, data)
            if _unmarked(rest, regular.runs):
                return parse_document(rest, location, options_for=options_for, regular=regular)
        return parse_document(_loaded(data, location, data), location, options_for=options_for)


def _loaded(text: bytes, location: str | None, whole: bytes) -> Any:
    try:
        return ujson.loads(text)
    except (ValueError, RecursionError) as error:
        raise BrokenReferencesError(f"is {_kind(whole) or f'not JSON: {error}'}", location=location) from error


def _kind(data: bytes) -> str | None:
    """Say what a document is that is no JSON."""
    if data.lstrip()[:1] == b"<":
        return "an HTML page, not references"
    from refmaker.scanners.registry import recognized

    _, scanner = recognized(MemorySource(data))
    return f"a data file ({scanner.name}), not references; scan it first" if scanner else None


def _unmarked(document: Any, runs: int) -> bool:
    """Take the markers out of a document's references; return whether all of them were there."""
    refs = document.get("refs", document) if isinstance(document, dict) else {}
    return isinstance(refs, dict) and all(refs.pop(f"{MARKER}{number}", None) == 0 for number in range(runs))


def parse_document(
    document: Any,
    location: str | None = None,
    *,
    options_for: OptionsFor | None = None,
    regular: RegularReferences | None = None,
) -> ReferenceSet:
    """Return the references in a JSON document that is parsed already, but for ``regular``; see ``read_json``."""
    try:
        return _parse(document, location, options_for, regular)
    except (BrokenReferencesError, UnsupportedError) as error:
        error.location = error.location or location
        raise


def _parse(
    document: Any, location: str | None, options_for: OptionsFor | None, regular: RegularReferences | None
) -> ReferenceSet:
    refs, templates, extension = _sections(document)
    try:
        recorded, report = parse_extension(extension)
    except (ValueError, OptionError) as error:
        raise BrokenReferencesError(f"{error}", path=KEY) from error
    against = resolved_against(location) if location else str
    table = SourceTable(recorded, lambda url: against(_substituted(url, templates)), options_for)
    nodes, chunks = _by_node(refs)
    if not nodes and not chunks and regular is None:
        raise BrokenReferencesError("no references: it has neither metadata nor chunks")
    groups, layouts = described(parsed_documents(nodes))
    values = _by_array(chunks, layouts)
    columns = RegularValues(regular, lambda path, key: _owner(path, key, layouts))
    arrays = {}
    for path, layout in layouts.items():
        manifest = manifest_of(path, layout, values.get(path, ([], [])), table, columns.of(path, layout, table))
        metadata = layout.metadata
        if layout.prefix and "_FillValue" not in metadata.attributes and manifest.present == len(manifest):
            metadata = replace(metadata, fill_value=None)  # nothing reads as it, and nobody is told to mask it
        arrays[path] = VirtualArray(metadata, manifest)
    return ReferenceSet(build_tree(groups, arrays), tuple(table.files), report)


def _sections(document: Any) -> tuple[dict[str, Any], dict[str, Template], JSON]:
    """Return the references, the templates and refmaker's own section of a document of either version."""
    if not isinstance(document, dict):
        raise BrokenReferencesError("is not a JSON object")
    version = document.get("version")
    if version is None and "refs" not in document:
        return document, {}, None
    if version is not None and version != 1:
        raise UnsupportedError(f"is version {version!r:.40} of the reference format; 0 and 1 are known", code="version")
    refs, templates = document.get("refs", {}), document.get("templates") or {}
    if not isinstance(refs, dict):
        raise BrokenReferencesError("'refs' is not an object")
    if not isinstance(templates, dict) or not all(isinstance(text, str) for text in templates.values()):
        raise BrokenReferencesError("'templates' is not an object of text")
    ready = {name: compiled(text) for name, text in templates.items()}
    if document.get("gen"):
        refs = {**refs, **generated(document["gen"], ready)}
    return refs, ready, document.get(KEY)


def _substituted(url: str, templates: Mapping[str, Template]) -> str:
    """Return a URL with its ``{{expressions}}`` replaced, once: what comes out is no template."""
    if not templates or "{{" not in url:
        return url
    try:
        return compiled(url)(Environment(templates=templates))
    except BrokenReferencesError as error:
        raise BrokenReferencesError(f"{url!r:.200}: {error.message}") from error


def _by_node(refs: Mapping[str, Any]) -> tuple[Documents, dict[str, Values]]:
    """Return the documents by node, and the chunk keys and values by what stands before their last slash."""
    documents: Documents = {}
    chunks: dict[str, Values] = {}
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
    return documents, chunks


def _owner(path: str, key: str, layouts: Mapping[str, ArrayLayout]) -> str:
    """Return the array that a chunk key below ``path`` belongs to: the nearest above, if its keys have slashes.

    Raises:
        BrokenReferencesError: there is none.
    """
    owner = path
    while owner and owner not in layouts:
        owner = parent_path(owner)
    layout = layouts.get(owner)
    if layout is None or (owner != path and layout.separator != "/" and path != key_of(owner, layout.prefix)):
        raise BrokenReferencesError("belongs to no array", path=key_of(path, key)[:200])
    return owner


def _by_array(chunks: Mapping[str, Values], layouts: Mapping[str, ArrayLayout]) -> dict[str, Values]:
    """Return the chunk keys by array, as indices joined by the array's separator."""
    found: dict[str, Values] = {}
    for path, (keys, values) in chunks.items():
        owner = path if path in layouts else _owner(path, keys[0], layouts)
        layout = layouts[owner]
        if owner == path and not layout.prefix and owner not in found:
            found[owner] = (keys, values)
            continue
        spelled = _without_prefix(owner, layout)
        all_keys, all_values = found.setdefault(owner, ([], []))
        all_keys.extend(spelled(key_of(path[len(owner) + 1 :], key)) for key in keys)
        all_values.extend(values)
    return found


def _without_prefix(owner: str, layout: ArrayLayout) -> Callable[[str], str]:
    """Return the function from chunk keys of an array to their indices: ``c/0/1`` to ``0/1``, ``c`` to ``0``."""
    if not layout.prefix:
        return str
    start = layout.prefix + layout.separator
    scalar = not layout.metadata.shape

    def without(key: str) -> str:
        if scalar and key == layout.prefix:
            return "0"
        if scalar or not key.startswith(start):
            raise BrokenReferencesError("is not the key of a chunk", path=key_of(owner, key)[:200])
        return key.removeprefix(start)

    return without
