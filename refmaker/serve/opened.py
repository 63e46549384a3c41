"""References opened for serving, kept once per process, and pickled as where they came from.

What a worker receives is a URL and a digest, never the references: it opens them itself, once, and refuses to go on
if they are others by now.
"""

import asyncio
import hashlib
import os
import threading
import uuid
import weakref
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from fsspec.core import split_protocol

from refmaker.errors import SourceError, StaleSourceError, UnsupportedError
from refmaker.model.array import VirtualArray
from refmaker.model.chunks import ChunkRef
from refmaker.model.group import walk_arrays
from refmaker.model.partitioned import PartitionedManifest
from refmaker.model.reference_set import ReferenceSet
from refmaker.references import ENCODINGS, is_folder, read_folder, read_references
from refmaker.references.folder import open_folder
from refmaker.references.kerchunk_read import parse_document
from refmaker.references.parquet_layout import INDEX, METADATA
from refmaker.serve.allowed import AllowedOptions
from refmaker.serve.array_reader import ArrayReader
from refmaker.serve.catalog import Catalog
from refmaker.serve.decode import check_codecs
from refmaker.serve.options import ServeOptions
from refmaker.serve.source_reader import SourceReader
from refmaker.source.base import FsspecSource
from refmaker.source.location import OpenedFile, absolute_url, open_file

__all__ = ["OpenedReferences", "Origin", "SkippedWarning", "open_given", "open_origin"]

KEPT = 8
"""References that stay open in a process though nobody uses them: dask tasks come and go."""
DOCUMENTS = (b"{", b"\x1f\x8b", b"\x28\xb5\x2f\xfd")
"""How documents begin: JSON, or gzip or Zstandard of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where references come from, and how they are opened.

    Attributes:
        url: of the document, or of a source file that is scanned.
        target_options: options of the filesystem that ``url`` is on.
        target: protocol and path by which that filesystem is asked for, where fsspec took a URL chain apart.
        options: how sources are read.
        scanned: whether ``url`` is a source file.
        digest: of what was found there; "" before it is opened.
    """

    url: str
    target_options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    target: tuple[str, str] | None = None
    options: ServeOptions = field(default_factory=ServeOptions)
    scanned: bool = False
    digest: str = ""

    @property
    def name(self) -> str:
        """All but the digest, hashed: options may hold secrets."""
        secret = sorted(self.target_options.items()), self.options.source_options
        return _hash(repr((self.url, self.target, self.options, self.scanned, secret)).encode())


class OpenedReferences:
    """References with what reads them.

    Attributes:
        references: what they say.
        options: how sources are read.
        origin: where they come from; None if a program made them.
        catalog: their keys as a Zarr store.
        reader: reads bytes of their sources.

    Raises:
        UnsupportedError: an array wants a codec that may run code.
    """

    def __init__(self, references: ReferenceSet, options: ServeOptions, origin: Origin | None = None) -> None:
        for path, array in walk_arrays(references.root):
            try:
                check_codecs(array.metadata.codecs)
            except UnsupportedError as error:
                error.path = path
                raise
        self.references = references
        self.options = options
        self.origin = origin
        self.reader = SourceReader(references.sources, origin.url if origin else None, options)
        self._arrays: dict[str, ArrayReader] = {}

    @cached_property
    def catalog(self) -> Catalog:
        """Their keys as a Zarr store."""
        return Catalog(self.references)

    @cached_property
    def lazy(self) -> bool:
        """Whether looking chunks up may read an index, which must not happen in an event loop."""
        return any(isinstance(one.manifest, PartitionedManifest) for _, one in walk_arrays(self.references.root))

    async def find(self, key: str) -> bytes | ChunkRef | None:
        """Return what a key holds, as ``Catalog.find`` does, without keeping the event loop waiting."""
        if self.lazy:
            return await asyncio.to_thread(self.catalog.find, key)
        return self.catalog.find(key)

    async def members(self, path: str) -> list[tuple[str, int | None]]:
        """Return what is right below a node, as ``Catalog.members`` does."""
        if self.lazy:
            return await asyncio.to_thread(lambda: list(self.catalog.members(path)))
        return list(self.catalog.members(path))

    @cached_property
    def token(self) -> str:
        """A name for what they say: equal ones say the same."""
        return f"{self.origin.name}:{self.origin.digest}" if self.origin else uuid.uuid4().hex

    def array(self, path: str) -> ArrayReader | None:
        """Return the reader of an array, or None if there is none at that path."""
        found = self._arrays.get(path)
        if found is None:
            node = self.catalog.nodes.get(path)
            if not isinstance(node, VirtualArray):
                return None
            found = self._arrays[path] = ArrayReader(path, node, self.reader)
        return found

    def __reduce__(self) -> tuple[Any, ...]:
        if self.origin is not None:
            return open_origin, (self.origin,)
        return OpenedReferences, (self.references, self.options)


_cache_lock = threading.Lock()


def _new_lock() -> None:
    """Replace the lock in a forked child: a thread that the child does not have may hold it."""
    global _cache_lock  # noqa: PLW0603
    _cache_lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_new_lock)

_alive: "weakref.WeakValueDictionary[tuple[int, str, str], OpenedReferences]" = weakref.WeakValueDictionary()
_recent: OrderedDict[tuple[int, str, str], OpenedReferences] = OrderedDict()


def open_given(
    given: str | os.PathLike[str] | Mapping[str, Any] | ReferenceSet | OpenedReferences | None,
    *,
    target_protocol: str | None = None,
    target_options: Mapping[str, Any] | None = None,
    options: ServeOptions | None = None,
    scan_sources: bool = False,
) -> OpenedReferences:
    """Open references: a path or URL, a kerchunk dictionary, or a ReferenceSet.

    Args:
        given: the references, or with ``scan_sources`` a file to scan.
        target_protocol: the protocol of a URL that has none of its own (fsspec's URL chains give them apart).
        target_options: options of the filesystem that a URL is on.
        options: how sources are read.
        scan_sources: whether a file that holds no references is scanned.

    Raises:
        SourceError: the references cannot be read.
        BrokenReferencesError: they are malformed.
        UnsupportedError: they use what we do not read, or a codec that may run code.
    """
    options = options or ServeOptions()
    if isinstance(given, OpenedReferences):
        return given
    if isinstance(given, ReferenceSet):
        return OpenedReferences(given, options)
    if isinstance(given, Mapping):
        return OpenedReferences(parse_document(dict(given), options_for=options.options_for), options)
    if given is None:
        raise SourceError("no references given: refmaker://path/to/references.json, or fo=")
    url, target, own = os.fspath(given), None, dict(target_options or {})
    if target_protocol and target_protocol != split_protocol(url)[0]:
        inner = own.get("target_protocol")
        target = (target_protocol, url) if inner else None
        url = f"{target_protocol}::{inner}://{url}" if inner else f"{target_protocol}://{url}"
    origin = Origin(url=absolute_url(url), target_options=own, target=target, options=options)
    return open_origin(origin, scan_sources=scan_sources)


def open_origin(origin: Origin, *, scan_sources: bool = False) -> OpenedReferences:
    """Open references, or return them if this process has them open and they have not changed.

    Raises:
        StaleSourceError: ``origin.digest`` says that they were others when they were opened first.
        SourceError, BrokenReferencesError, UnsupportedError: see ``open_given``.
    """
    if origin.digest and (found := _kept(origin)):
        return found
    document = _Document(origin, scan_sources=scan_sources)
    try:
        if origin.digest and origin.digest != document.digest and origin.options.on_stale != "ignore":
            raise StaleSourceError("the references changed since they were opened", location=origin.url)
        told = Origin(
            url=origin.url,
            target_options=origin.target_options,
            target=origin.target,
            options=origin.options,
            scanned=document.scanned,
            digest=document.digest,
        )
        if found := _kept(told):
            found.reader.forget()  # the sources may have changed as well as the document
            return found
        opened = OpenedReferences(document.read(), origin.options, told)
    finally:
        document.close()
    name = os.getpid(), told.name, told.digest
    with _cache_lock:
        opened = _alive.setdefault(name, opened)
        _keep(name, opened)
    return opened


def _kept(origin: Origin) -> OpenedReferences | None:
    name = os.getpid(), origin.name, origin.digest
    with _cache_lock:
        found = _alive.get(name)
        if found is not None:
            _keep(name, found)
        return found


def _keep(name: tuple[int, str, str], opened: OpenedReferences) -> None:
    _recent[name] = opened
    _recent.move_to_end(name)
    if len(_recent) > KEPT:
        _recent.popitem(last=False)


_digests: dict[tuple[int, str, object], str] = {}
"""What documents held when they were read, by name and what their store told: unchanged ones are not read again."""


class _Document:
    """A document being opened: its digest tells whether it must be parsed at all.

    Attributes:
        digest: of its bytes; of a source file, of what its store tells.
        scanned: whether it is a source file.
    """

    def __init__(self, origin: Origin, *, scan_sources: bool) -> None:
        self._origin = origin
        self._directory = origin.target is None and is_folder(origin.url)
        index = f"{origin.url.rstrip('/')}/{METADATA}" if self._directory else origin.url
        self._file = open_file(index, origin.target_options) if origin.target is None else _chained(origin)
        try:
            self.scanned = origin.scanned or (scan_sources and not self._directory and not self._holds_references())
            self._data: bytes | None = None
            self.digest = self._digest()
        except BaseException:
            self.close()
            raise

    def _holds_references(self) -> bool:
        source = self._file.source
        named = self._origin.url.endswith(tuple(encoding.suffix for encoding in ENCODINGS))
        return named or source.read(0, min(64, source.size)).lstrip().startswith(DOCUMENTS)

    def _digest(self) -> str:
        file = self._file
        facts = file.source.size, file.etag, file.last_modified
        if self.scanned:
            return _hash(repr(facts).encode())
        if self._directory:
            return _hash(file.source.read(0, file.source.size) + self._index(facts))
        told = file.etag is not None or file.last_modified is not None
        name = os.getpid(), self._origin.name, facts
        digest = _digests.get(name) if told else None
        if digest is None:
            self._data = file.source.read(0, file.source.size)
            digest = _digests[name] = _hash(self._data)
        return digest

    def _index(self, facts: object) -> bytes:
        """Return what else changes when a directory does: our index of its partitions, else the metadata's facts."""
        try:
            return open_folder(self._origin.url, self._origin.target_options).read(INDEX)
        except FileNotFoundError:
            return repr(facts).encode()

    def read(self) -> ReferenceSet:
        """Return the references; of a source file, those that a scan finds."""
        origin = self._origin
        if self.scanned:
            return _scanned(origin)
        options_for = AllowedOptions(origin.url, origin.options)
        if self._directory:
            folder = open_folder(origin.url, origin.target_options)
            return read_folder(folder, options_for=options_for)
        if self._data is None:
            self._data = self._file.source.read(0, self._file.source.size)
        return read_references(self._data, origin.url, options_for=options_for)

    def close(self) -> None:
        """Close the file."""
        self._file.source.close()


def _hash(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def _chained(origin: Origin) -> OpenedFile:
    """Open a document through the filesystem that fsspec's URL chain names."""
    import fsspec

    protocol, path = origin.target or ("", "")
    return OpenedFile(origin.url, FsspecSource(fsspec.filesystem(protocol, **origin.target_options), path))


def _scanned(origin: Origin) -> ReferenceSet:
    """Scan a source file, and say what references cannot express."""
    import warnings

    from refmaker.scanners.registry import scan

    references = scan(origin.url, storage_options=origin.target_options, on_unsupported="skip")
    skipped = [f"{one.path} ({one.code}: {one.reason})" for one in references.report.skipped]
    if skipped:
        warnings.warn(f"{origin.url}: left out: {'; '.join(skipped)}", SkippedWarning, stacklevel=2)
    return references


class SkippedWarning(UserWarning):
    """A file that was scanned to be opened holds datasets that references cannot express."""
