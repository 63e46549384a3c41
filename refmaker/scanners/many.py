"""Scanning one file or many: local ones in turn, remote ones read ahead together, in shared rounds.

Files come out in the order they were given. Up to ``FILES_AHEAD`` of them are under way: while one is scanned (by h5py,
which holds its lock while it reads, so threads around it would not help), requests for the others are in flight.
"""

import os
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Literal, TypedDict, Unpack

from refmaker.errors import OptionError, RefmakerError
from refmaker.model.reference_set import Note, ReferenceSet
from refmaker.scanners.registry import ScanOptions, detect
from refmaker.source.base import Parser
from refmaker.source.location import OpenedFile, local_path, open_file
from refmaker.source.policy import CONCURRENCY, FILES_AHEAD, RETRIES, Transfer
from refmaker.source.rounds import FileAhead, ReadAhead, Rounds

__all__ = ["ScanKeywords", "ScanMany", "scan_many", "scan_one"]


class ScanKeywords(TypedDict, total=False):
    """The options of ``refmaker.scan`` that are about what is scanned; see there."""

    storage_options: Mapping[str, Any] | None
    on_unsupported: Literal["raise", "skip"]
    group: str
    include: tuple[str, ...]
    exclude: tuple[str, ...]
    chunk_bytes: int | None
    series: tuple[int, ...]
    levels: tuple[int, ...]
    geo: Literal["auto", "off"]


NO_RANGES = Note(
    "",
    "no-ranges",
    "its server ignores byte ranges and sends whole files: reading these references will fail; have it served with "
    "range support, or download it",
)


class ScanMany(Iterator[ReferenceSet | RefmakerError]):
    """The results of scanning many files, in their order; an iterator and a context manager.

    What is no RefmakerError is raised, and the next file is still there for the asking.
    """

    def __init__(
        self, urls: Iterable[str | os.PathLike[str]], format_name: str | None, options: ScanOptions, transfer: Transfer
    ) -> None:
        self._urls = iter(urls)
        self._format = format_name
        self._options = options
        self._rounds = Rounds(transfer)
        self._under_way: deque[tuple[str, float, ReadAhead | None]] = deque()

    def __next__(self) -> ReferenceSet | RefmakerError:
        self._start_more()
        if not self._under_way:
            self.close()
            raise StopIteration
        url, started, ahead = self._under_way.popleft()
        if ahead is None:
            started = time.perf_counter()
        try:
            result = self._result(url, ahead)
        except RefmakerError as error:
            return error
        return replace(result, report=replace(result.report, seconds=time.perf_counter() - started))

    def close(self) -> None:
        """Give up files that are still under way."""
        self._rounds.close()
        self._under_way.clear()

    def __enter__(self) -> "ScanMany":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start_more(self) -> None:
        """Begin to read files ahead, as many as are kept under way."""
        while len(self._under_way) < FILES_AHEAD:
            url = next(self._urls, None)
            if url is None:
                return
            url = os.fspath(url)
            remote = local_path(url) is None
            ahead = self._rounds.start(url, self._options.storage_options, self._walk) if remote else None
            self._under_way.append((url, time.perf_counter(), ahead))

    def _result(self, url: str, ahead: ReadAhead | None) -> ReferenceSet:
        if ahead is None:
            return self._scanned(open_file(url))
        try:
            opened = self._rounds.wait(ahead)
            result = self._scanned(opened)
        finally:
            self._rounds.finish(ahead)
        cost = ahead.cost
        report = replace(
            result.report,
            notes=result.report.notes + ((NO_RANGES,) if ahead.source and ahead.source.sends_whole_files else ()),
            requests=cost.requests,
            bytes_read=cost.bytes,
            rounds=cost.rounds,
            misses=cost.misses,
        )
        return replace(result, report=report)

    def _scanned(self, file: OpenedFile) -> ReferenceSet:
        try:
            scanner = detect(file, self._format)
            if (self._options.series or self._options.levels) and scanner.name in {"hdf5", "netcdf3"}:
                raise OptionError(f"series and level are of TIFF files, and this is {scanner.name}", location=file.url)
            return scanner.load()(file, self._options)
        finally:
            file.source.close()

    def _walk(self, file: OpenedFile, ahead: FileAhead) -> Parser[None] | None:
        """Return the parser that reads a file ahead, once its first bytes tell what it is."""
        try:
            walk = detect(file, self._format).load_walk()
        except RefmakerError:
            return None  # the scan raises it
        return None if walk is None else walk(ahead)


def scan_many(
    urls: Iterable[str | os.PathLike[str]],
    *,
    format: str | None = None,  # noqa: A002  the word users know
    concurrency: int = CONCURRENCY,
    retries: int = RETRIES,
    **options: Unpack[ScanKeywords],
) -> ScanMany:
    """Find where the chunks of many files lie; remote files are read ahead together.

    Args:
        urls: local paths and fsspec URLs, mixed at will; taken as needed, so it may be a generator of a million.
        format: a scanner's name; None: found from each file's first bytes.
        concurrency: requests in flight at most, over all files.
        retries: how often a request that failed for a passing reason is made again.
        **options: as for ``scan``.

    Returns:
        An iterator with one result for each URL, in their order: the ReferenceSet, or the RefmakerError that ``scan``
        would have raised. Use it in a ``with`` statement to stop early.

    Raises:
        OptionError: options that make no sense.

    >>> import refmaker
    >>> for result in refmaker.scan_many(["sample_data/ocean_1.nc", "sample_data/make.py"]):
    ...     print("failed" if isinstance(result, refmaker.RefmakerError) else list(result.root.arrays))
    ['time', 'lat', 'lon', 'temp']
    failed
    """
    options["group"] = options.get("group", "").strip("/")
    return ScanMany(urls, format, ScanOptions(**options), Transfer(concurrency=concurrency, retries=retries))


def scan_one(
    url: str | os.PathLike[str], format_name: str | None, options: ScanOptions, transfer: Transfer
) -> ReferenceSet:
    """Return the references of one file; raise what goes wrong."""
    with ScanMany([url], format_name, options, transfer) as results:
        result = next(results)
    if isinstance(result, RefmakerError):
        raise result
    return result
