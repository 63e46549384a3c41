"""Byte ranges of many files at once: neighbours in a file are read together, remote files concurrently."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from refmaker.errors import StaleSourceError
from refmaker.model.reference_set import SourceFile
from refmaker.source.base import LocalSource
from refmaker.source.location import local_path, open_filesystem
from refmaker.source.policy import Transfer
from refmaker.source.range_readers import Facts, range_reader
from refmaker.source.remote import Connections

__all__ = ["Span", "read_spans"]

GAP = 16 << 10
"""Bytes between two ranges up to which reading on is cheaper than another request."""
REQUEST = 8 << 20
"""Bytes of a merged request at most; ranges longer than that are requests of their own."""

SAME_TIME = 1e-3
"""Seconds by which two spellings of one modification time may differ."""

Span = tuple[int, int, int]
"""Location id, offset, length in bytes."""


@dataclass(frozen=True, slots=True)
class _Request:
    """One range of one file that answers several spans: their rows, offsets in the range, and lengths."""

    location_id: int
    start: int
    end: int
    spans: tuple[tuple[int, int, int], ...]


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
    remote: list[_Request] = []
    for location_id, requests in _by_file(_merged(spans)):
        path = local_path(sources[location_id].url)
        if path is None:
            remote.extend(requests)
        else:
            _read_local(path, sources[location_id], requests, data)
    if remote:
        _read_remote(remote, sources, storage_options or {}, data)
    return data


def _merged(spans: Sequence[Span]) -> Iterator[_Request]:
    order = sorted(range(len(spans)), key=spans.__getitem__)
    first = 0
    while first < len(order):
        location_id, start, length = spans[order[first]]
        end = start + length
        last = first + 1
        while last < len(order):
            other, offset, more = spans[order[last]]
            if other != location_id or offset > end + GAP or offset + more > start + REQUEST:
                break
            end = max(end, offset + more)
            last += 1
        rows = tuple((row, spans[row][1] - start, spans[row][2]) for row in order[first:last])
        yield _Request(location_id, start, end, rows)
        first = last


def _by_file(requests: Iterable[_Request]) -> Iterator[tuple[int, list[_Request]]]:
    found: dict[int, list[_Request]] = {}
    for request in requests:
        found.setdefault(request.location_id, []).append(request)
    yield from found.items()


def _hand_out(request: _Request, data: bytes, into: list[bytes]) -> None:
    for row, offset, length in request.spans:
        into[row] = data[offset : offset + length]


def _read_local(path: str, recorded: SourceFile, requests: Sequence[_Request], data: list[bytes]) -> None:
    with LocalSource(path) as source:
        if recorded.size is not None and recorded.size != source.size:
            raise StaleSourceError(
                f"has {source.size} bytes, but had {recorded.size} when it was scanned", location=recorded.url
            )
        if recorded.last_modified is not None and abs(recorded.last_modified - source.last_modified) > SAME_TIME:
            raise StaleSourceError("was modified since it was scanned: scan it again", location=recorded.url)
        for request in requests:
            _hand_out(request, source.read(request.start, request.end - request.start), data)


def _read_remote(
    requests: Sequence[_Request], sources: Sequence[SourceFile], options: Mapping[str, Any], data: list[bytes]
) -> None:
    """Read ranges of remote files, as many at a time as the policy allows over all of them."""
    connections = Connections(Transfer())
    answers = connections.wait(_answers(connections, requests, sources, options))
    for request, answer in zip(requests, answers, strict=True):
        _hand_out(request, answer, data)


async def _answers(
    connections: Connections, requests: Sequence[_Request], sources: Sequence[SourceFile], options: Mapping[str, Any]
) -> list[bytes]:
    files: dict[int, _RemoteFile] = {}
    for request in requests:
        if request.location_id not in files:
            files[request.location_id] = _RemoteFile(connections, sources[request.location_id], options)
    return await asyncio.gather(*(files[request.location_id].fetch(request) for request in requests))


class _RemoteFile:
    """A remote file; where its size was not recorded, that is asked for first, once."""

    def __init__(self, connections: Connections, source: SourceFile, options: Mapping[str, Any]) -> None:
        self._connections = connections
        self._url = source.url
        self._reader = range_reader(source.url, *open_filesystem(source.url, options))
        self._facts = None if source.size is None else Facts(source.size, source.etag, source.last_modified)
        self._asking = asyncio.Lock()

    async def fetch(self, request: _Request) -> bytes:
        fetch = partial(self._reader.fetch, request.start, request.end, await self._known())
        return await self._connections.ask(self._url, fetch, offset=request.start)

    async def _known(self) -> Facts:
        async with self._asking:
            if self._facts is None:
                found, _ = await self._connections.ask(self._url, partial(self._reader.open, 1))
                self._facts = found
            return self._facts
