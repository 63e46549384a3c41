"""References on disk: one module per encoding, chosen by the suffix of the file's name."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from refmaker.errors import OptionError
from refmaker.model.reference_set import ReferenceSet
from refmaker.references.folder import Folder, open_folder
from refmaker.references.inlining import inline_below
from refmaker.references.kerchunk_json import write_json
from refmaker.references.kerchunk_read import read_json
from refmaker.references.options import RECORD_SIZE, WriteOptions
from refmaker.references.relocate import relocate
from refmaker.references.source_table import OptionsFor, by_protocol
from refmaker.source.location import absolute_url, local_path, open_file

__all__ = [
    "ENCODINGS",
    "Encoding",
    "inline_below",
    "is_folder",
    "open_references",
    "read_folder",
    "read_references",
    "relocate",
    "write_references",
]


@dataclass(frozen=True, slots=True)
class Encoding:
    """A row of the table of encodings.

    Attributes:
        suffix: how names of such files end.
        write: called with (references, path, options).
        folder: whether it is a directory of files.
    """

    suffix: str
    write: Callable[[ReferenceSet, str, WriteOptions], None]
    folder: bool = False


def _write_parquet(references: ReferenceSet, path: str, options: WriteOptions) -> None:
    from refmaker.references.parquet_write import write_parquet  # pyarrow takes a while to import

    write_parquet(references, path, options)


ENCODINGS: tuple[Encoding, ...] = (
    Encoding(".json", write_json),
    Encoding(".json.gz", write_json),
    Encoding(".json.zst", write_json),
    Encoding(".parq", _write_parquet, folder=True),
    Encoding(".parquet", _write_parquet, folder=True),
)
"""Every encoding; a name with no known suffix is taken for JSON when reading."""


def write_references(
    references: ReferenceSet,
    path: str | os.PathLike[str],
    *,
    relative_to: str | os.PathLike[str] | None = None,
    zarr_format: int = 2,
    templates: bool = False,
    record_size: int = RECORD_SIZE,
    allow_credentials: bool = False,
    storage_options: Mapping[str, Any] | None = None,
) -> None:
    """Write references in the encoding that the name's suffix says; whole or not at all.

    ``.json``, ``.json.gz`` and ``.json.zst`` are one file, ``.parq`` and ``.parquet`` a directory.

    Args:
        references: what to write.
        path: local path or fsspec URL.
        relative_to: a directory; URLs below it are written relative to it. Readers resolve them against the directory
            that holds the references (the file, or the Parquet directory), so these are to be kept there.
        zarr_format: how metadata is spelled: 2, which every reader knows, or 3 (JSON only).
        templates: write directories that URLs share once (JSON only).
        record_size: chunks in a partition (Parquet only).
        allow_credentials: write URLs that hold a password or a signature, instead of refusing them.
        storage_options: for the filesystem of ``path``.

    Raises:
        OptionError: no encoding has this suffix, or a source's URL holds credentials.
        UnsupportedError: something has no spelling in this encoding.
        SourceError: the file cannot be written.

    >>> import refmaker
    >>> references = refmaker.scan("sample_data/ocean.nc")
    >>> refmaker.write_references(references, "ocean.json")
    >>> refmaker.write_references(references, "ocean.parq", record_size=1000)
    >>> refmaker.write_references(references, "ocean-v3.json.zst", zarr_format=3)
    """
    options = WriteOptions(
        relative_to=relative_to,
        zarr_format=zarr_format,
        templates=templates,
        record_size=record_size,
        allow_credentials=allow_credentials,
        storage_options=storage_options,
    )
    name = os.fspath(path)
    encoding = _encoding_of(name)
    if encoding is None:
        known = ", ".join(encoding.suffix for encoding in ENCODINGS)
        raise OptionError(f"no encoding of references has this suffix; there are {known}", location=name)
    encoding.write(references, name, options)


def _encoding_of(name: str) -> Encoding | None:
    return next((encoding for encoding in ENCODINGS if name.rstrip("/").endswith(encoding.suffix)), None)


def is_folder(name: str) -> bool:
    """Whether references of that name (path or URL) are a directory: by suffix, or because it is one on disk."""
    encoding = _encoding_of(name)
    path = local_path(name)
    if path is not None and os.path.isdir(os.path.expanduser(path)):  # noqa: PTH111, PTH112  strings are what there is
        return True
    return name.endswith("/") if encoding is None else encoding.folder and not _is_file(path)


def _is_file(path: str | None) -> bool:
    return path is not None and os.path.isfile(os.path.expanduser(path))  # noqa: PTH111, PTH113


def open_references(
    url: str | os.PathLike[str],
    *,
    storage_options: Mapping[str, Any] | None = None,
    source_options: Mapping[str, Mapping[str, Any]] | None = None,
) -> ReferenceSet:
    """Read references that refmaker, kerchunk, VirtualiZarr or anyone else wrote, JSON or Parquet.

    Relative URLs of sources become absolute, as seen from the references. Of Parquet, only the metadata is read here;
    chunks are when they are looked up, and an index that is damaged by then is an error then.

    Args:
        url: local path or fsspec URL.
        storage_options: for the filesystem of ``url``.
        source_options: by protocol, for the filesystems of the sources; used only to look up the size of a file that
            is referenced whole (``[url]``) and has none recorded.

    Raises:
        SourceError: the file cannot be read, or the size of a whole source cannot be found out.
        BrokenReferencesError: it is malformed; names the file and the key.
        UnsupportedError: it uses what we do not read.

    >>> import refmaker
    >>> refmaker.write_references(refmaker.scan("sample_data/ocean.nc"), "opened.json")
    >>> references = refmaker.open_references("opened.json")
    >>> references.root.arrays["temp"].manifest.present
    5
    >>> references.sources[0].size
    62437
    """
    name = absolute_url(os.fspath(url))
    options_for = by_protocol(source_options or {})
    if is_folder(os.fspath(url)):
        return read_folder(open_folder(name, storage_options), options_for=options_for)
    file = open_file(name, storage_options)
    try:
        data = file.source.read(0, file.source.size)
    finally:
        file.source.close()
    return read_references(data, name, options_for=options_for)


def read_references(data: bytes, location: str, *, options_for: OptionsFor | None = None) -> ReferenceSet:
    """Return the references in the bytes of the file at ``location``; see ``open_references``."""
    return read_json(data, location, options_for=options_for)


def read_folder(folder: Folder, *, options_for: OptionsFor | None = None) -> ReferenceSet:
    """Return the references in a directory; see ``open_references``."""
    from refmaker.references.parquet_read import read_parquet

    return read_parquet(folder, options_for=options_for)
