"""``RefStore``: references as a read-only ``zarr.abc.store.Store``, with no filesystem in between."""

import os
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any, NoReturn, Self

from zarr.abc.store import ByteRequest, OffsetByteRequest, RangeByteRequest, Store, SuffixByteRequest
from zarr.core.buffer import Buffer, BufferPrototype, default_buffer_prototype

from refmaker.model.chunks import ChunkRef
from refmaker.model.reference_set import ReferenceSet
from refmaker.serve.opened import OpenedReferences, open_given
from refmaker.serve.options import ServeOptions
from refmaker.serve.selecting import select_pipeline

__all__ = ["RefStore"]


class RefStore(Store):
    """A Zarr v2 store over references; read-only.

    Args:
        references: a path or URL, a kerchunk dictionary, a ReferenceSet, or OpenedReferences.
        target_options: options of the filesystem that a URL is on.
        options: how sources are read.
        plan_selections: whether zarr, if it still has its default codec pipeline, is given ours.

    Raises:
        SourceError, BrokenReferencesError, UnsupportedError: see ``open_given``.
    """

    supports_writes = False
    supports_deletes = False
    supports_listing = True
    supports_partial_writes = False

    def __init__(
        self,
        references: str | os.PathLike[str] | Mapping[str, Any] | ReferenceSet | OpenedReferences,
        *,
        target_options: Mapping[str, Any] | None = None,
        options: ServeOptions | None = None,
        plan_selections: bool = True,
    ) -> None:
        super().__init__(read_only=True)
        self.opened = open_given(references, target_options=target_options, options=options)
        self._plan_selections = plan_selections
        self._is_open = True
        if plan_selections:
            select_pipeline()

    def with_read_only(self, read_only: bool = False) -> Self:
        """Return the store itself; there is no other than read-only."""
        if not read_only:
            self._refuse()
        return self

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RefStore) and other.opened.token == self.opened.token

    def __hash__(self) -> int:
        return hash(self.opened.token)

    def __repr__(self) -> str:
        origin = self.opened.origin
        return f"RefStore({origin.url if origin else 'in memory'!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (self.opened, self._plan_selections)

    # -- reading -------------------------------------------------------------------------------------------------
    async def get(
        self, key: str, prototype: BufferPrototype | None = None, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Return the bytes of a key; None only if the references say that there is no such chunk.

        Raises:
            ChunkReadError: there is one, and its bytes could not be read in full.
            StaleSourceError: its source is no longer the file that was scanned.
        """
        found = await self.opened.find(key)
        if found is None:
            return None
        data = found if isinstance(found, bytes) else found.data
        size = found.length if isinstance(found, ChunkRef) else len(found)
        first, last = _bounds(byte_range, size)
        if data is not None:
            data = data[first:last]
        elif isinstance(found, ChunkRef):
            data = await self.opened.reader.read_chunk(key, found, first, last)
        return (prototype or default_buffer_prototype()).buffer.from_bytes(data or b"")

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        """Return parts of several keys; neighbours in remote files come with one request."""
        import asyncio

        return list(await asyncio.gather(*(self.get(key, prototype, byte_range) for key, byte_range in key_ranges)))

    async def exists(self, key: str) -> bool:
        """Whether there is such a key."""
        return await self.opened.find(key) is not None

    async def getsize(self, key: str) -> int:
        """Return the length of a key's value in bytes."""
        found = await self.opened.find(key)
        if found is None:
            raise FileNotFoundError(key)
        return found.length if isinstance(found, ChunkRef) else len(found)

    # -- listing -------------------------------------------------------------------------------------------------
    async def list(self) -> AsyncIterator[str]:
        """Yield all keys."""
        for path in self.opened.catalog.nodes:
            for key, size in await self.opened.members(path):
                if size is not None:
                    yield key

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """Yield all keys that begin with ``prefix``."""
        async for key in self.list():
            if key.startswith(prefix):
                yield key

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """Yield the names right below ``prefix``."""
        path = prefix.strip("/")
        if path in self.opened.catalog.nodes:
            for key, _ in await self.opened.members(path):
                yield key.rpartition("/")[2]

    # -- writing is refused --------------------------------------------------------------------------------------
    def _refuse(self) -> NoReturn:
        raise ValueError("store was opened in read-only mode: references are read-only")

    async def set(self, key: str, value: Buffer) -> None:  # noqa: ARG002  zarr's signature
        """Refuse."""
        self._refuse()

    async def delete(self, key: str) -> None:  # noqa: ARG002
        """Refuse."""
        self._refuse()


def _bounds(byte_range: ByteRequest | None, size: int) -> tuple[int, int]:
    """Return the first byte and the one behind the last of a request."""
    if isinstance(byte_range, RangeByteRequest):
        return slice(byte_range.start, byte_range.end).indices(size)[:2]
    if isinstance(byte_range, OffsetByteRequest):
        return min(byte_range.offset, size), size
    if isinstance(byte_range, SuffixByteRequest):
        return max(size - byte_range.suffix, 0), size
    return 0, size


def _rebuild(opened: OpenedReferences, plan_selections: bool) -> RefStore:
    return RefStore(opened, plan_selections=plan_selections)
