"""Which scanner reads a file: decided by its first bytes, from one table that entry points extend.

A scanner is a function ``scan(file, options) -> ReferenceSet``. Other packages add theirs under the entry point group
``refmaker.scanners``: a ``Scanner`` (or a tuple of them), tried before our own, which stand there too.
"""

import fnmatch
import importlib
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from itertools import chain
from typing import Any, Literal

import numpy as np

from refmaker import __version__
from refmaker.errors import BrokenFileError, MissingDependencyError, OptionError
from refmaker.model.reference_set import ReferenceSet, SourceFile
from refmaker.source.base import ByteSource, Parser
from refmaker.source.location import OpenedFile
from refmaker.source.policy import CONCURRENCY, HEAD, RETRIES, Transfer
from refmaker.source.rounds import FileAhead

__all__ = ["SCANNERS", "ScanOptions", "Scanner", "detect", "recognized", "scan", "source_file", "table"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanOptions:
    """What every scanner may be asked.

    Attributes:
        on_unsupported: ``"raise"`` stops at the first dataset that cannot be expressed; ``"skip"`` records it.
        group: scan only what lies under this group, which becomes the root.
        include: globs over paths (``ocean/*``); when given, other datasets are left out.
        exclude: globs over paths to leave out, after ``include``.
        chunk_bytes: cut contiguous uncompressed data into Zarr chunks of about that many bytes; None: a scanner's own
            default.
        storage_options: for filesystems of linked files.
        series: TIFF: numbers of the series to scan, as tifffile counts them; all if empty.
        levels: TIFF: numbers of the resolutions to scan, 0 the largest; all if empty.
        geo: TIFF: ``"auto"`` makes coordinates of GeoTIFF tags, ``"off"`` leaves them alone.
    """

    on_unsupported: Literal["raise", "skip"] = "raise"
    group: str = ""
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    chunk_bytes: int | None = None
    storage_options: Mapping[str, Any] | None = None
    series: tuple[int, ...] = ()
    levels: tuple[int, ...] = ()
    geo: Literal["auto", "off"] = "auto"

    def __post_init__(self) -> None:
        if self.geo not in {"auto", "off"}:
            raise OptionError(f"geo is {self.geo!r}, not 'auto' or 'off'")
        for name in ("series", "levels"):
            numbers = getattr(self, name)
            if not isinstance(numbers, tuple) or not all(isinstance(n, int) and n >= 0 for n in numbers):
                raise OptionError(f"{name} is {numbers!r}, not a tuple of numbers")
        if self.on_unsupported not in {"raise", "skip"}:
            raise OptionError(f"on_unsupported is {self.on_unsupported!r}, not 'raise' or 'skip'")
        if self.chunk_bytes is not None and self.chunk_bytes < 1:
            raise OptionError(f"chunk_bytes is {self.chunk_bytes}, not a number of bytes")
        for name in ("include", "exclude"):
            if isinstance(getattr(self, name), str):
                raise OptionError(f"{name} is one string; give a tuple of globs")

    def wants(self, path: str) -> bool:
        """Whether the dataset at ``path`` is to be scanned."""
        if self.include and not any(fnmatch.fnmatchcase(path, glob) for glob in self.include):
            return False
        return not any(fnmatch.fnmatchcase(path, glob) for glob in self.exclude)


ScanFunction = Callable[[OpenedFile, ScanOptions], ReferenceSet]
WalkFunction = Callable[[FileAhead], Parser[None]]


@dataclass(frozen=True, slots=True)
class Scanner:
    """A row of the table.

    Attributes:
        name: the format's name, as ``--format`` takes it.
        claims: whether a file is of this format, from its first bytes and, if these do not tell, more of it.
        function: ``"module:function"`` of the scan function, imported on use.
        walk: likewise of the function that returns a parser which wishes for what the scan of a remote file will
            read, so that it is fetched in few rounds; "" if there is none.
    """

    name: str
    claims: Callable[[bytes, ByteSource], bool]
    function: str
    walk: str = ""

    def load(self) -> ScanFunction:
        """Import and return the scan function."""
        function: ScanFunction = _imported(self.function)
        return function

    def load_walk(self) -> WalkFunction | None:
        """Import and return the walk function, or None."""
        walk: WalkFunction | None = _imported(self.walk) if self.walk else None
        return walk


def _imported(name: str) -> Any:
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)


HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"


def _is_hdf5(head: bytes, source: ByteSource) -> bool:
    """HDF5 File Format Specification, "Superblock": at 0, 512, 1024, 2048, ... behind a user block."""
    if head.startswith(HDF5_SIGNATURE):
        return True
    places = [512 << n for n in range(54) if (512 << n) + len(HDF5_SIGNATURE) <= source.size]
    if any(source.read(at, 8) == HDF5_SIGNATURE for at in places if at + 8 <= HEAD):
        return True
    far = [at for at in places if at + 8 > HEAD]
    found = source.gather(np.array(far, np.uint64), len(HDF5_SIGNATURE))  # at once: over a network each is a wait
    return bool((found == np.frombuffer(HDF5_SIGNATURE, np.uint8)).all(axis=1).any())


def _starts_with(*magic: bytes) -> Callable[[bytes, ByteSource], bool]:
    return lambda head, _: head.startswith(magic)


_NETCDF3, _TIFF, _HDF5 = (f"refmaker.scanners.{name}.walk:walk" for name in ("netcdf3", "tiff", "hdf5"))

SCANNERS: tuple[Scanner, ...] = (
    Scanner("netcdf3", _starts_with(b"CDF\x01", b"CDF\x02", b"CDF\x05"), "refmaker.scanners.netcdf3:scan", _NETCDF3),
    Scanner("tiff", _starts_with(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), "refmaker.scanners.tiff:scan", _TIFF),
    Scanner("hdf5", _is_hdf5, "refmaker.scanners.hdf5:scan", _HDF5),
)
"""Our own scanners; HDF5 last, because looking for its superblock behind a user block costs reads."""

HEAD_BYTES = 512
"""Bytes that tell the format."""


def _loaded(entry: EntryPoint) -> Any:
    """Return what a package registered.

    Raises:
        MissingDependencyError: it is not there.
    """
    try:
        return entry.load()
    except (ImportError, AttributeError) as error:
        raise MissingDependencyError(
            f"the scanner {entry.name!r} that a package registered ({entry.value}) cannot be imported: {error}; "
            "repair or uninstall that package"
        ) from error


@cache
def table() -> tuple[Scanner, ...]:
    """Return all scanners: those of other packages first, so that they can take over a format, then ours."""
    entries = sorted(entry_points(group="refmaker.scanners"), key=lambda entry: entry.name == "refmaker")
    loaded = [_loaded(entry) for entry in entries]
    return tuple(chain.from_iterable(rows if isinstance(rows, tuple) else (rows,) for rows in loaded))


def detect(file: OpenedFile, name: str | None = None) -> Scanner:
    """Return the scanner for a file, by its first bytes, or the one called ``name``.

    Raises:
        OptionError: no scanner has that name.
        BrokenFileError: no scanner claims the file.
    """
    scanners = table()
    known = ", ".join(scanner.name for scanner in scanners)
    if name is not None:
        for scanner in scanners:
            if scanner.name == name:
                return scanner
        raise OptionError(f"no scanner is called {name!r}; there are {known}")
    head, found = recognized(file.source)
    if found is not None:
        return found
    what = f"it starts with {head[:8]!r}" if head else "it is empty"
    raise BrokenFileError(f"{what}: none of the known formats ({known})", location=file.url)


def recognized(source: ByteSource) -> tuple[bytes, Scanner | None]:
    """Return the first bytes of a file, and the scanner that claims it."""
    head = source.read(0, min(HEAD_BYTES, source.size))
    return head, next((scanner for scanner in table() if scanner.claims(head, source)), None)


def source_file(file: OpenedFile, scanner: str) -> SourceFile:
    """Return the row of the source table for a file being scanned now."""
    return SourceFile(
        url=file.url,
        size=file.source.size,
        etag=file.etag,
        last_modified=file.last_modified,
        scanner=scanner,
        scanner_version=__version__,
        scan_time=time.time(),
    )


def scan(
    url: str | os.PathLike[str],
    *,
    format: str | None = None,  # noqa: A002  the word users know
    storage_options: Mapping[str, Any] | None = None,
    on_unsupported: Literal["raise", "skip"] = "raise",
    group: str = "",
    include: tuple[str, ...] = (),
    exclude: tuple[str, ...] = (),
    chunk_bytes: int | None = None,
    series: tuple[int, ...] = (),
    levels: tuple[int, ...] = (),
    geo: Literal["auto", "off"] = "auto",
    concurrency: int = CONCURRENCY,
    retries: int = RETRIES,
) -> ReferenceSet:
    """Find where the chunks of one file lie.

    Args:
        url: a local path or any fsspec URL.
        format: a scanner's name; None: found from the file's first bytes.
        storage_options: for the URL's fsspec filesystem, or by protocol: ``{"s3": {"anon": True}}``.
        on_unsupported: ``"raise"`` stops at the first dataset that cannot be expressed; ``"skip"`` records it in
            ``report`` and goes on.
        group: scan only this group, which becomes the root.
        include: globs over dataset paths to scan; all if empty.
        exclude: globs over dataset paths to leave out.
        chunk_bytes: cut contiguous uncompressed data into Zarr chunks of about that many bytes.
        series: TIFF: numbers of the series to scan; all if empty.
        levels: TIFF: numbers of the resolutions to scan, 0 the largest; all if empty.
        geo: TIFF: ``"auto"`` makes coordinates of GeoTIFF tags, ``"off"`` leaves them alone.
        concurrency: requests in flight at most, of a remote file.
        retries: how often a request that failed for a passing reason is made again.

    Returns:
        The tree of arrays, the table of files, and the report.

    Raises:
        SourceError: the file cannot be opened or read.
        StaleSourceError: it changed while it was scanned.
        BrokenFileError: it is corrupt, or of no known format.
        UnsupportedError: a dataset cannot be expressed (only with ``on_unsupported="raise"``).
        OptionError: options that make no sense.

    >>> import refmaker
    >>> references = refmaker.scan("sample_data/ocean.nc")
    >>> references.root.arrays["temp"].metadata.shape
    (5, 3, 6, 8)
    >>> references.report.count(refmaker.DatasetState.SKIPPED)
    0
    >>> list(refmaker.scan("sample_data/ocean.nc", group="forcing").root.arrays)
    ['wind', 'temp']

    What cannot be expressed is an error, or is left out and named:

    >>> refmaker.scan("sample_data/odd.h5")
    Traceback (most recent call last):
        ...
    refmaker.errors.UnsupportedError: ...compound_nested: compound member 'place' is itself compound...
    >>> odd = refmaker.scan("sample_data/odd.h5", on_unsupported="skip")
    >>> [dataset.path for dataset in odd.report.skipped]
    ['compound_nested', 'longdouble', 'null', 'ragged']
    """
    options = ScanOptions(
        on_unsupported=on_unsupported,
        group=group.strip("/"),
        include=include,
        exclude=exclude,
        chunk_bytes=chunk_bytes,
        storage_options=storage_options,
        series=series,
        levels=levels,
        geo=geo,
    )
    transfer = Transfer(concurrency=concurrency, retries=retries)
    from refmaker.scanners.many import scan_one

    return scan_one(url, format, options, transfer)
