"""Reading kerchunk Parquet lazily: opening reads the metadata, looking up a chunk reads its partition.

Directories that refmaker wrote have an index (``parquet_layout``): every partition is checked against its digest, so
that what is lost or damaged is an error, never "no chunk". In those of kerchunk, fsspec and VirtualiZarr, the paths of
all partitions are read when they are opened, because nothing else says which files there are; an array of which some
partitions are missing is refused, one that has none at all has no chunks.
"""

import math
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import ujson

from refmaker.errors import BrokenReferencesError, OptionError, UnsupportedError
from refmaker.model.array import VirtualArray
from refmaker.model.chunks import ChunkManifest
from refmaker.model.keys import METADATA_NAMES, split_key
from refmaker.model.partitioned import PartitionedManifest
from refmaker.model.reference_set import Note, ReferenceSet, ScanReport, SourceFile
from refmaker.references.documents import ArrayLayout, Documents, described, parsed_documents
from refmaker.references.extension import parse_extension
from refmaker.references.folder import Folder, checked_name
from refmaker.references.hierarchy import build_tree
from refmaker.references.parquet_layout import (
    INDEX,
    METADATA,
    MOST_PARTITIONS,
    Partition,
    digest_of,
    parse_metadata,
    parse_partitions,
    partition_name,
)
from refmaker.references.parquet_partition import partition_manifest, partition_paths, read_table
from refmaker.references.relocate import resolved_against
from refmaker.references.source_table import OptionsFor, SourceTable

__all__ = ["read_parquet"]

KEPT_CHUNKS = 10_000_000
"""Chunks of all partitions that stay in memory once read: about 160 MB."""


def read_parquet(folder: Folder, *, options_for: OptionsFor | None = None) -> ReferenceSet:
    """Return the references in a directory of Parquet files.

    Args:
        folder: the directory.
        options_for: options of the sources' filesystems, used only to look up the size of whole-file references.

    Raises:
        SourceError: it cannot be read.
        BrokenReferencesError: it is malformed; names the file.
        UnsupportedError: it uses what we do not read.
    """
    try:
        return _read(folder, options_for)
    except (BrokenReferencesError, UnsupportedError) as error:
        error.location = error.location or folder.location
        raise


def _read(folder: Folder, options_for: OptionsFor | None) -> ReferenceSet:
    documents, record_size, own = parse_metadata(_file(folder, METADATA), f"{folder.location}/{METADATA}")
    nodes: Documents = {}
    for key, document in documents.items():
        path, leaf = split_key(key)
        if leaf in METADATA_NAMES - {METADATA}:
            nodes.setdefault(path, {})[leaf] = document
    if not nodes:
        raise BrokenReferencesError(f"no references: {METADATA} has no metadata of a group or an array")
    groups, layouts = described(parsed_documents(nodes))
    for path, layout in layouts.items():
        checked_name(path)
        if layout.prefix or (layout.separator != "." and len(layout.metadata.shape) > 1):
            raise UnsupportedError("Parquet references have keys of Zarr 2 only", code="zarr-format", path=path)
        if _expected(layout, record_size) > MOST_PARTITIONS:
            raise BrokenReferencesError(f"has {_expected(layout, record_size)} partitions", path=path)
    recorded, report, rows = _index(folder, own)
    against = resolved_against(folder.location)
    partitions: Mapping[str, tuple[Partition, ...] | None]
    if rows is None:
        table = SourceTable((), against, options_for)
        partitions, notes = _discovered(folder, layouts, record_size, table)
        files, report = tuple(table.files), replace(report, notes=(*report.notes, *notes))
    else:
        files = tuple(f if (url := against(f.url)) == f.url else replace(f, url=url) for f in recorded)
        partitions = {
            path: _indexed(folder, path, rows.get(path), layout, record_size) for path, layout in layouts.items()
        }
    store = _PartitionStore(folder, files, record_size, options_for)
    arrays = {
        path: VirtualArray(layout.metadata, _manifest(store, path, layout, partitions[path]))
        for path, layout in layouts.items()
    }
    return ReferenceSet(build_tree(groups, arrays), store.files, report)


def _file(folder: Folder, name: str) -> bytes:
    """Return a file that must be there."""
    try:
        return folder.read(name)
    except FileNotFoundError as error:
        what = f"there are no Parquet references: {METADATA} is missing" if name == METADATA else f"{name} is missing"
        raise BrokenReferencesError(what, location=folder.location) from error


def _index(
    folder: Folder, own: Mapping[str, Any] | None
) -> tuple[tuple[SourceFile, ...], ScanReport, dict[str, Any] | None]:
    """Return our own sources, report and partitions by array; nothing and None in directories of others."""
    if own is None:
        return (), ScanReport(), None
    if own.get("format") != 1:
        raise UnsupportedError(f"its index is of format {own.get('format')!r:.40}; upgrade refmaker", code="version")
    data = _file(folder, INDEX)
    if digest_of(data) != own.get("index"):
        raise BrokenReferencesError(f"{INDEX} is not the one that was written with {METADATA}")
    try:
        content = ujson.loads(data)
        sources, report = parse_extension(content)
    except (ValueError, OptionError, RecursionError) as error:
        raise BrokenReferencesError(f"{error}", path=INDEX) from error
    rows = content.get("partitions") if isinstance(content, dict) else None
    if not isinstance(rows, dict):
        raise BrokenReferencesError("has no partitions", path=INDEX)
    return sources, report, rows


def _expected(layout: ArrayLayout, record_size: int) -> int:
    return -(-math.prod(layout.metadata.grid_shape) // record_size)


def _indexed(folder: Folder, path: str, rows: Any, layout: ArrayLayout, record_size: int) -> tuple[Partition, ...]:
    try:
        return parse_partitions(rows, _expected(layout, record_size))
    except ValueError as error:
        raise BrokenReferencesError(f"{error}", location=f"{folder.location}/{INDEX}", path=path) from error


def _discovered(
    folder: Folder, layouts: Mapping[str, ArrayLayout], record_size: int, table: SourceTable
) -> tuple[dict[str, tuple[Partition, ...] | None], list[Note]]:
    """Return the partitions of arrays without an index, () for those without files; every path gets a location id."""
    found: dict[str, tuple[Partition, ...] | None] = {}
    notes = []
    for path, layout in layouts.items():
        expected = _expected(layout, record_size)
        missing = []
        for number in range(expected):
            try:
                data = folder.read(partition_name(path, number))
            except FileNotFoundError:
                missing.append(number)
                if len(missing) == number + 1 == MOST_LOOKED_FOR:
                    if not any(name.startswith("refs.") for name in folder.names(path)):
                        expected = len(missing)
                    break
                continue
            table.ids(_paths_of(data, folder, path, number))
        if expected and len(missing) == expected:
            notes.append(Note(path, "partition", "no partition of this array exists: its chunks read as fill values"))
            found[path] = ()
        elif missing:
            raise BrokenReferencesError(
                f"{partition_name(path, missing[0])} is missing ({len(missing)} of {expected} partitions): its chunks "
                "may be lost or never have been; nothing tells",
                path=path,
            )
        else:
            found[path] = None
    return found, notes


MOST_LOOKED_FOR = 100
"""Missing partitions at the start of an array after which it is taken to have none, if its directory has none."""


def _paths_of(data: bytes, folder: Folder, path: str, number: int) -> list[str]:
    try:
        return partition_paths(read_table(data, ["path"]))
    except BrokenReferencesError as error:
        error.location = f"{folder.location}/{partition_name(path, number)}"
        raise


def _manifest(
    store: "_PartitionStore", path: str, layout: ArrayLayout, partitions: tuple[Partition, ...] | None
) -> ChunkManifest:
    grid = layout.metadata.grid_shape
    total = math.prod(grid)
    if not total or (partitions is not None and not any(part.chunks for part in partitions)):
        return ChunkManifest.empty(grid)
    return PartitionedManifest(
        grid,
        partition_rows=store.record_size,
        load=_Loader(store, path, total, partitions),
        counts=None if partitions is None else [part.chunks for part in partitions],
    )


class _PartitionStore:
    """Reads partitions, and keeps the last ones used; may be used by many threads, and pickled.

    Attributes:
        files: the sources by location id.
        record_size: chunks in a partition.
    """

    def __init__(
        self, folder: Folder, files: tuple[SourceFile, ...], record_size: int, options_for: OptionsFor | None
    ) -> None:
        self.folder, self.files, self.record_size, self._options_for = folder, files, record_size, options_for
        self._kept: OrderedDict[tuple[str, int], ChunkManifest] = OrderedDict()
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return _PartitionStore, (self.folder, self.files, self.record_size, self._options_for)

    @cached_property
    def _table(self) -> SourceTable:
        return SourceTable(self.files, resolved_against(self.folder.location), self._options_for)

    def load(self, path: str, number: int, rows: int, expected: Partition | None) -> ChunkManifest:
        """Return a partition.

        Raises:
            SourceError: it cannot be read.
            BrokenReferencesError: it is missing, damaged, or not the one that was written.
        """
        with self._lock:
            found = self._kept.get((path, number))
            if found is not None:
                self._kept.move_to_end((path, number))
                return found
        found = self._read(path, number, rows, expected)
        with self._lock:
            self._kept[path, number] = found
            while len(self._kept) > max(KEPT_CHUNKS // self.record_size, 1):
                self._kept.popitem(last=False)
        return found

    def _read(self, path: str, number: int, rows: int, expected: Partition | None) -> ChunkManifest:
        name = partition_name(path, number)
        location = f"{self.folder.location}/{name}"
        data = _file(self.folder, name)
        if expected is not None and digest_of(data) != expected.digest:
            raise BrokenReferencesError(
                f"its {len(data)} bytes are not those that were written: truncated or replaced", location=location
            )
        try:
            manifest = partition_manifest(read_table(data), rows, self._ids, self._table.size)
        except BrokenReferencesError as error:
            error.location = location
            raise
        except OptionError as error:
            raise BrokenReferencesError(f"{error}", location=location) from error
        if expected is not None and manifest.present != expected.chunks:
            raise BrokenReferencesError(
                f"has {manifest.present} chunks, and should have {expected.chunks}", location=location
            )
        return manifest

    def _ids(self, urls: list[str]) -> list[int]:
        ids = [self._table.id(url) for url in urls]
        if len(self._table.files) > len(self.files):
            raise BrokenReferencesError(f"refers to {self._table.files[-1].url}, which is not in the index")
        return ids


@dataclass(frozen=True, slots=True)
class _Loader:
    """What a PartitionedManifest calls to read a partition of one array."""

    store: _PartitionStore
    path: str
    total: int
    partitions: tuple[Partition, ...] | None

    def __call__(self, number: int) -> ChunkManifest:
        rows = min(self.store.record_size, self.total - number * self.store.record_size)
        return self.store.load(self.path, number, rows, None if self.partitions is None else self.partitions[number])
