"""The scheduler: many files' parsers advance together, round by round.

A file that is read ahead has parsers that wait for bytes. Each is resumed as long as what it wishes for is held
already; when all of a file's parsers wait, their wishes are one round: widened, merged, freed of what is held, cut,
fetched concurrently, kept. Files do not wait for each other. Parsers run in the thread that asks for results, so only
requests run elsewhere, on fsspec's loop.

Reading ahead is only that: what a parser finds wrong or cannot read ends that parser, and the scan that follows finds
out for itself, over the same bytes. Only failures of the store are failures here.
"""

import queue
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from refmaker.errors import RefmakerError, SourceError
from refmaker.source.base import Bytes, Parser, Wish, granted
from refmaker.source.blocks import BlockStore
from refmaker.source.location import OpenedFile
from refmaker.source.policy import (
    BLOCK,
    GAP,
    LONGEST_REQUEST,
    MOST_ROUNDS,
    WHOLE_FILE_BELOW,
    WHOLE_FILES_TOGETHER,
    WHOLE_PART,
    Transfer,
)
from refmaker.source.ranges import Ranges, cut, merged, of_wishes, outside
from refmaker.source.remote import Connections, RemoteSource, reader_for

__all__ = ["Cost", "FileAhead", "ReadAhead", "Rounds"]

Spans = list[tuple[int, int]]


class FileAhead:
    """One file as its parsers see it: how large it is, and how to start more of them.

    Attributes:
        size: bytes in the whole file.
        location: the URL, for messages.
    """

    def __init__(self, size: int, location: str, *, is_small: bool = False) -> None:
        self.size = size
        self.location = location
        self._is_small = is_small
        self._is_wanted_whole = False
        self._rounds_left = MOST_ROUNDS
        self._started: list[Parser[None]] = []
        self._waiting: list[tuple[Parser[None], list[Wish]]] = []

    def start(self, parser: Parser[None]) -> None:
        """Let one more parser run beside the others."""
        self._started.append(parser)

    def take_whole(self) -> bool:
        """Have the whole file fetched, if it is small enough for that to be better than walking it; return whether."""
        self._is_wanted_whole = self._is_small
        return self._is_small

    def advance(self, store: BlockStore) -> tuple[Spans, Ranges]:
        """Run all parsers as far as what ``store`` holds takes them.

        Returns:
            The ranges to fetch (none: all are done), and which of their bytes are worth keeping.
        """
        if self._rounds_left == 0:
            return [], Ranges.of([])
        self._rounds_left -= 1
        runnable, self._waiting = self._waiting, []
        while runnable or self._started:
            started, self._started = self._started, []
            for parser in started:
                self._step(parser, None, runnable)
            waiting, runnable = runnable, []
            for parser, wishes in waiting:
                if all(map(store.holds, wishes)):
                    self._step(parser, [granted(wish, store) for wish in wishes], runnable)
                else:
                    self._waiting.append((parser, wishes))
        if self._is_wanted_whole:
            wanted = Ranges.of([(0, self.size)])
            return cut(outside(wanted, store.held), WHOLE_PART), wanted
        wanted = merged(of_wishes([wish for _, wishes in self._waiting for wish in wishes], BLOCK, self.size), 0)
        return cut(merged(outside(wanted, store.held), GAP), LONGEST_REQUEST), wanted

    def _step(
        self, parser: Parser[None], data: list[Bytes] | None, runnable: list[tuple[Parser[None], list[Wish]]]
    ) -> None:
        """Resume a parser; if it goes on, add it with its next wishes."""
        try:
            wishes = next(parser) if data is None else parser.send(data)
        except (StopIteration, RefmakerError):
            return  # done, or not understood: the scan itself will tell
        if all(self._inside(wish) for wish in wishes):
            runnable.append((parser, wishes))
        else:
            parser.close()

    def _inside(self, wish: Wish) -> bool:
        return not wish.offset.size or int(wish.offset.max()) + wish.length <= self.size


def worth_keeping(start: int, data: bytes, wanted: Ranges) -> list[tuple[int, bytes]]:
    """Return the parts of a fetched range to keep: all of it, unless most is gaps that merging filled."""
    stop = start + len(data)
    within = slice(
        int(np.searchsorted(wanted.stop, np.uint64(start), "right")),
        int(np.searchsorted(wanted.start, np.uint64(stop), "left")),
    )
    pairs = Ranges(wanted.start[within], wanted.stop[within]).pairs()
    inside = [(max(first, start), min(last, stop)) for first, last in pairs]
    if 2 * sum(last - first for first, last in inside) >= len(data):
        return [(start, data)]
    return [(first, data[first - start : last - start]) for first, last in inside]


@dataclass(frozen=True, slots=True)
class Cost:
    """Requests and bytes, retries included; dependent waits; and requests that nobody had foreseen."""

    requests: int = 0
    bytes: int = 0
    rounds: int = 0
    misses: int = 0


@dataclass(slots=True, eq=False)
class ReadAhead:
    """A file being read ahead.

    Attributes:
        url: of the file.
        walk: gives the parser that walks a file's structures once its head is there; None: there is nothing to do.
        source: the remote file, once it is open.
        store: what has been fetched of it.
        ahead: its parsers.
        is_done: whether no more will be fetched ahead.
        error: why it failed.
        whole: bytes reserved for fetching it whole.
    """

    url: str
    walk: Callable[[OpenedFile, FileAhead], Parser[None] | None]
    source: RemoteSource | None = None
    store: BlockStore | None = None
    ahead: FileAhead | None = None
    is_done: bool = False
    error: Exception | None = None
    whole: int = 0
    pending: "Future[Any] | None" = field(default=None, repr=False)

    @property
    def opened(self) -> OpenedFile:
        """The file as scanners take it, over what was fetched.

        Raises:
            SourceError, StaleSourceError: it could not be read.
        """
        if self.error is not None:
            raise self.error
        if self.source is None or self.store is None:
            raise SourceError("is not open yet", location=self.url)
        known = self.source.known
        return OpenedFile(self.url, self.store, etag=known.etag, last_modified=known.last_modified)

    @property
    def cost(self) -> Cost:
        """What reading it has taken so far."""
        if self.source is None or self.store is None:
            return Cost()
        return Cost(self.source.requests, self.source.bytes, self.source.rounds, self.store.misses)


class Rounds:
    """Reads files ahead of whoever scans them; use as a context manager."""

    def __init__(self, transfer: Transfer | None = None) -> None:
        self._connections = Connections(transfer or Transfer())
        self._events: queue.SimpleQueue[tuple[ReadAhead, Callable[[Any], None], Future[Any]]] = queue.SimpleQueue()
        self._under_way: set[ReadAhead] = set()
        self._whole = 0

    def start(
        self,
        url: str,
        storage_options: Mapping[str, Any] | None,
        walk: Callable[[OpenedFile, FileAhead], Parser[None] | None],
    ) -> ReadAhead:
        """Begin to read a file ahead; what goes wrong is raised when it is waited for."""
        file = ReadAhead(url, walk)
        self._under_way.add(file)
        try:
            reader = reader_for(url, storage_options)
        except RefmakerError as error:
            self._finish(file, error)
        else:
            self._submit(file, RemoteSource.open(self._connections, url, reader), self._opened)
        return file

    def wait(self, file: ReadAhead) -> OpenedFile:
        """Return the file once it has been read ahead; meanwhile others advance too.

        Raises:
            SourceError: the store did not answer, after retries.
            StaleSourceError: the file changed meanwhile.
        """
        while not file.is_done:
            other, then, future = self._events.get()
            try:
                then(future.result())
            except Exception as error:  # noqa: BLE001  it is raised where the file is asked for
                self._finish(other, error)
        return file.opened

    def finish(self, file: ReadAhead) -> None:
        """Let go of a file that has been scanned; see that it is still the one that was opened.

        Raises:
            StaleSourceError: it is not.
        """
        self._whole -= file.whole
        file.whole = 0
        if file.source is not None and file.error is None:
            self._connections.wait(file.source.check_unchanged())

    def close(self) -> None:
        """Give up what is still under way."""
        for file in self._under_way:
            if file.pending is not None:
                file.pending.cancel()
        self._under_way.clear()

    def __enter__(self) -> "Rounds":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _submit(self, file: ReadAhead, work: Any, then: Callable[[ReadAhead, Any], None]) -> None:
        file.pending = self._connections.submit(work)
        file.pending.add_done_callback(lambda future: self._events.put((file, partial(then, file), future)))

    def _finish(self, file: ReadAhead, error: Exception | None = None) -> None:
        file.error = error
        file.is_done = True
        self._under_way.discard(file)

    def _opened(self, file: ReadAhead, source: RemoteSource) -> None:
        """The first bytes are there: find the parser for them."""
        file.source, file.store = source, BlockStore(source)
        file.store.put([(0, source.head)])
        if source.size <= WHOLE_FILE_BELOW and self._whole + source.size <= WHOLE_FILES_TOGETHER:
            file.whole = source.size
            self._whole += source.size
        file.ahead = FileAhead(source.size, file.url, is_small=bool(file.whole))
        parser = file.walk(file.opened, file.ahead)
        if parser is not None:
            file.ahead.start(parser)
        self._advance(file, source, file.store, file.ahead)

    def _advance(self, file: ReadAhead, source: RemoteSource, store: BlockStore, ahead: FileAhead) -> None:
        """Run the file's parsers and fetch what they wait for."""
        spans, wanted = ahead.advance(store)
        if not spans:
            self._submit(file, source.check_unchanged(), lambda file, _: self._finish(file))
            return

        def fetched(file: ReadAhead, parts: list[bytes]) -> None:
            both = zip(spans, parts, strict=True)
            store.put([piece for (start, _), data in both for piece in worth_keeping(start, data, wanted)])
            self._advance(file, source, store, ahead)

        self._submit(file, source.fetch(spans), fetched)
