"""Byte ranges of many files at once: neighbours in a file are read together, remote files concurrently."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import groupby
from operator import attrgetter
from typing import Any

import numpy as np

from refmaker.errors import StaleSourceError
from refmaker.model.reference_set import SourceFile
from refmaker.source.base import LocalSource
from refmaker.source.identity import LOCAL_SLACK, Found, difference
from refmaker.source.location import local_path, open_filesystem
from refmaker.source.plan import Read, plan_reads
from refmaker.source.policy import Transfer
from refmaker.source.range_readers import Facts, range_reader
from refmaker.source.remote import Connections

__all__ = ["Span", "read_spans"]

GAP = 16 << 10
"""Bytes between two ranges up to which reading on is cheaper than another request."""
REQUEST = 8 << 20
"""Bytes of a merged request at most; ranges longer than that are requests of their own."""

FARTHEST = np.uint64(1 << 62)
"""No file is as long, and sums of two such numbers still fit their columns: what lies beyond is read from there."""

Span = tuple[int, int, int]
"""Location id, offset, length in bytes."""


def read_spans(
    spans: Sequence[Span], sources: Sequence[SourceFile], storage_options: Mapping[str, Any] | None = None
) -> list[bytes]:
    """Return the bytes of ranges of any of the files, in the order asked for.

    Raises:
        StaleSourceError: a file is no longer what it was when it was scanned, as far as that shows.
        SourceError: a file cannot be opened or read, or a store sent fewer bytes.
        TruncatedFileError: a range reaches past the end of its file.
    """
    data = [b""] * len(spans)
    remote: list[Read] = []
    for location_id, reads in groupby(_plan(spans), attrgetter("location_id")):
        path = local_path(sources[location_id].url)
        if path is None:
            remote.extend(reads)
        else:
            _read_local(path, sources[location_id], reads, data)
    if remote:
        _read_remote(remote, sources, storage_options or {}, data)
    return data


def _plan(spans: Sequence[Span]) -> list[Read]:
    columns = np.minimum(np.array(spans, np.uint64).reshape(-1, 3), FARTHEST)
    location_id, offset, length = columns.astype(np.int64).T
    rows = np.arange(len(spans))
    return plan_reads(location_id.astype(np.uint32), offset, length, rows, gap=GAP, request_bytes=REQUEST)


def _hand_out(read: Read, data: bytes, into: list[bytes]) -> None:
    for row, offset, length in zip(read.rows, read.offset, read.length, strict=True):
        into[row] = data[offset - read.start : offset - read.start + length]


def _read_local(path: str, recorded: SourceFile, reads: Iterable[Read], data: list[bytes]) -> None:
    with LocalSource(path) as source:
        changed = difference(recorded, Found(source.size, None, source.last_modified), LOCAL_SLACK)
        if changed is not None:
            raise StaleSourceError(f"{changed}: scan it again", location=recorded.url)
        for read in reads:
            _hand_out(read, source.read(read.start, read.stop - read.start), data)


def _read_remote(
    reads: Sequence[Read], sources: Sequence[SourceFile], options: Mapping[str, Any], data: list[bytes]
) -> None:
    """Read ranges of remote files, as many at a time as the policy allows over all of them."""
    connections = Connections(Transfer())
    answers = connections.wait(_answers(connections, reads, sources, options))
    for read, answer in zip(reads, answers, strict=True):
        _hand_out(read, answer, data)


async def _answers(
    connections: Connections, reads: Sequence[Read], sources: Sequence[SourceFile], options: Mapping[str, Any]
) -> list[bytes]:
    files: dict[int, _RemoteFile] = {}
    for read in reads:
        if read.location_id not in files:
            files[read.location_id] = _RemoteFile(connections, sources[read.location_id], options)
    return await asyncio.gather(*(files[read.location_id].fetch(read.start, read.stop) for read in reads))


class _RemoteFile:
    """A remote file; where its size was not recorded, that is asked for first, once."""

    def __init__(self, connections: Connections, source: SourceFile, options: Mapping[str, Any]) -> None:
        self._connections = connections
        self._url = source.url
        self._reader = range_reader(source.url, *open_filesystem(source.url, options))
        self._facts = None if source.size is None else Facts(source.size, source.etag, source.last_modified)
        self._asking = asyncio.Lock()

    async def fetch(self, start: int, stop: int) -> bytes:
        fetch = partial(self._reader.fetch, start, stop, await self._known())
        return await self._connections.ask(self._url, fetch, offset=start)

    async def _known(self) -> Facts:
        async with self._asking:
            if self._facts is None:
                found, _ = await self._connections.ask(self._url, partial(self._reader.open, 1))
                self._facts = found
            return self._facts
