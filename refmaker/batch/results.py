"""Where scan results lie: one after the other in shards, found by the places that the ledger holds.

A run writes new shards only. What a killed run wrote and never entered in the ledger is simply not found, and shards
without results are removed.
"""

import os
import zlib
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

from refmaker.errors import BrokenFileError, SourceError

__all__ = ["Place", "Results"]

SHARD_BYTES = 256 << 20
"""A shard this long is followed by another one."""


class Place(NamedTuple):
    """Where one result lies: its shard's number, first byte, bytes, and their CRC-32."""

    shard: int
    start: int
    length: int
    checksum: int


class Results:
    """The results of one job, in a directory."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writing: IO[bytes] | None = None
        self._reading: IO[bytes] | None = None
        self._number = max(self._numbers(), default=-1)
        self._read_number = -1

    def _numbers(self) -> list[int]:
        return [int(path.stem) for path in self._folder.glob("*.shard") if path.stem.isdigit()]

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:06d}.shard"

    @contextmanager
    def _storing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise SourceError(f"scan results cannot be stored: {error.strerror}", location=str(self._folder)) from error

    def append(self, data: bytes) -> Place:
        """Write a result; it is on disk after ``flush``.

        Raises:
            SourceError: the disk does not take it.
        """
        with self._storing():
            return self._appended(data)

    def _appended(self, data: bytes) -> Place:
        if self._writing is not None and self._writing.tell() > SHARD_BYTES:
            self.flush()
            self._writing.close()
            self._writing = None
        if self._writing is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._number += 1
            self._writing = self._path(self._number).open("xb")
        place = Place(self._number, self._writing.tell(), len(data), zlib.crc32(data))
        self._writing.write(data)
        return place

    def flush(self) -> None:
        """Have everything that was written reach the disk.

        Raises:
            SourceError: the disk does not take it.
        """
        with self._storing():
            if self._writing is not None:
                self._writing.flush()
                os.fsync(self._writing.fileno())

    def read(self, place: Place) -> bytes:
        """Return a result.

        Raises:
            BrokenFileError: it is not what was written.
        """
        if self._reading is None or self._read_number != place.shard:
            self._close_reading()
            try:
                self._reading = self._path(place.shard).open("rb")
            except OSError as error:
                raise self._broken(place) from error
            self._read_number = place.shard
        self._reading.seek(place.start)
        data = self._reading.read(place.length)
        if len(data) != place.length or zlib.crc32(data) != place.checksum:
            raise self._broken(place)
        return data

    def _broken(self, place: Place) -> BrokenFileError:
        message = "a stored result is damaged or gone; remove the job's directory and start again"
        return BrokenFileError(message, location=str(self._path(place.shard)), offset=place.start)

    def keep(self, numbers: AbstractSet[int]) -> None:
        """Remove all shards but these."""
        for number in self._numbers():
            if number not in numbers:
                self._path(number).unlink()

    def _close_reading(self) -> None:
        if self._reading is not None:
            self._reading.close()
            self._reading = None

    def close(self) -> None:
        """Close all files."""
        self._close_reading()
        if self._writing is not None:
            writing, self._writing = self._writing, None
            with self._storing():
                writing.close()
