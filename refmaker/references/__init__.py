"""References on disk: one module per encoding, chosen by the suffix of the file's name."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from refmaker.errors import OptionError
from refmaker.model.reference_set import ReferenceSet
from refmaker.references.inlining import inline_below
from refmaker.references.kerchunk_json import write_json
from refmaker.references.kerchunk_read import read_json
from refmaker.references.relocate import relocate
from refmaker.references.source_table import OptionsFor, by_protocol
from refmaker.source.location import absolute_url, open_file

__all__ = [
    "ENCODINGS",
    "Encoding",
    "inline_below",
    "open_references",
    "read_references",
    "relocate",
    "write_references",
]


@dataclass(frozen=True, slots=True)
class Encoding:
    """A row of the table of encodings.

    Attributes:
        suffix: how names of such files end.
        write: called with (references, path, relative_to=, storage_options=).
        read: called with (the file's bytes, its URL, options_for=).
    """

    suffix: str
    write: Callable[..., None]
    read: Callable[..., ReferenceSet]


ENCODINGS: tuple[Encoding, ...] = (Encoding(".json", write_json, read_json),)
"""Every encoding, tried in this order; a name with no known suffix is taken for the first when reading."""


def write_references(
    references: ReferenceSet,
    path: str | os.PathLike[str],
    *,
    relative_to: str | os.PathLike[str] | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> None:
    """Write references to a file, in the encoding its suffix names (``.json``); whole or not at all.

    Args:
        references: what to write.
        path: local path or fsspec URL.
        relative_to: a directory; URLs below it are written relative to it. Readers resolve them against the place of
            the reference file, so it is to be kept in that directory.
        storage_options: for the filesystem of ``path``.

    Raises:
        OptionError: no encoding has this suffix, or a source's URL holds credentials.
        UnsupportedError: something has no spelling in this encoding.
        SourceError: the file cannot be written.
    """
    name = os.fspath(path)
    for encoding in ENCODINGS:
        if name.endswith(encoding.suffix):
            encoding.write(references, name, relative_to=relative_to, storage_options=storage_options)
            return
    known = ", ".join(encoding.suffix for encoding in ENCODINGS)
    raise OptionError(f"no encoding of references has this suffix; there are {known}", location=name)


def open_references(
    url: str | os.PathLike[str],
    *,
    storage_options: Mapping[str, Any] | None = None,
    source_options: Mapping[str, Mapping[str, Any]] | None = None,
) -> ReferenceSet:
    """Read references from a file that refmaker, kerchunk, VirtualiZarr or anyone else wrote.

    Relative URLs of sources become absolute, as seen from the file.

    Args:
        url: local path or fsspec URL.
        storage_options: for the filesystem of ``url``.
        source_options: by protocol, for the filesystems of the sources; used only to look up the size of a file that
            is referenced whole (``[url]``) and has none recorded.

    Raises:
        SourceError: the file cannot be read, or the size of a whole source cannot be found out.
        BrokenReferencesError: it is malformed; names the file and the key.
        UnsupportedError: it uses what we do not read.
    """
    name = absolute_url(os.fspath(url))
    file = open_file(name, storage_options)
    try:
        data = file.source.read(0, file.source.size)
    finally:
        file.source.close()
    return read_references(data, name, options_for=by_protocol(source_options or {}))


def read_references(data: bytes, location: str, *, options_for: OptionsFor | None = None) -> ReferenceSet:
    """Return the references in the bytes of the file at ``location``; see ``open_references``."""
    chosen = next((encoding for encoding in ENCODINGS if location.endswith(encoding.suffix)), ENCODINGS[0])
    return chosen.read(data, location, options_for=options_for)
