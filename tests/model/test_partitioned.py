"""A manifest read by partition says what the same manifest in memory says."""

import pickle
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refmaker.errors import OptionError, SourceError
from refmaker.model.chunks import INLINE, ChunkManifest
from refmaker.model.partitioned import PartitionedManifest


@dataclass
class Parts:
    """Cuts a manifest into partitions, and counts how often it is asked."""

    whole: ChunkManifest
    rows: int
    asked: int = 0

    def __call__(self, number: int) -> ChunkManifest:
        self.asked += 1
        start = number * self.rows
        stop = min(start + self.rows, len(self.whole))
        chunks = [self.whole.lookup(position) for position in range(start, stop)]
        inline = b"".join(chunk.data or b"" for chunk in chunks if chunk)
        position = np.array([n for n, chunk in enumerate(chunks) if chunk], np.uint64)
        columns = [(c.location_id, c.offset, c.length) for c in chunks if c]
        location, offset, length = np.array(columns, np.uint64).reshape(-1, 3).T.copy()
        at = 0
        for row, chunk in enumerate(c for c in chunks if c):
            if chunk.data is not None:
                offset[row] = at
                at += len(chunk.data)
        return ChunkManifest.from_positions(
            (stop - start,),
            position,
            location_id=location.astype(np.uint32),
            offset=offset,
            length=length,
            inline=inline,
        )


CHUNK = st.one_of(st.none(), st.binary(min_size=1, max_size=3), st.tuples(st.integers(0, 3), st.integers(0, 1 << 40)))


def manifest(chunks: list[object]) -> ChunkManifest:
    position, ids, offset, length, inline = [], [], [], [], b""
    for number, chunk in enumerate(chunks):
        if chunk is None:
            continue
        position.append(number)
        if isinstance(chunk, bytes):
            row = (INLINE, len(inline), len(chunk))
            inline += chunk
        else:
            row = (*chunk, number + 1)  # type: ignore[misc]
        for column, value in zip((ids, offset, length), row, strict=True):
            column.append(value)
    return ChunkManifest.from_positions(
        (len(chunks),),
        np.array(position, np.uint64),
        location_id=np.array(ids, np.uint32),
        offset=np.array(offset, np.uint64),
        length=np.array(length, np.uint64),
        inline=inline,
    )


@given(st.lists(CHUNK, max_size=30), st.integers(1, 12), st.booleans(), st.integers(0, 30), st.integers(0, 30))
def test_it_says_the_same(chunks: list[object], rows: int, counted: bool, start: int, stop: int) -> None:
    whole = manifest(chunks)
    counts = [sum(c is not None for c in chunks[at : at + rows]) for at in range(0, len(chunks), rows)]
    lazy = PartitionedManifest(
        (len(chunks),), partition_rows=rows, load=Parts(whole, rows), counts=counts if counted else None
    )
    assert [lazy.lookup(n) for n in range(len(chunks))] == [
        found if found is None or found.data is None else pytest.approx(found)
        for found in (_local(whole, lazy, n) for n in range(len(chunks)))
    ]
    assert lazy.present == whole.present
    assert lazy.stored_nbytes == whole.stored_nbytes
    assert lazy.location_ids().tolist() == whole.location_ids().tolist()
    for first, last in ((start, stop), (0, len(chunks))):
        ours, theirs = lazy.between(min(first, last), last), whole.between(min(first, last), last)
        assert ours.position.tolist() == theirs.position.tolist()
        assert ours.length.tolist() == theirs.length.tolist()
        inlined = ours.location_id == INLINE
        if inlined.any():
            pick = [
                type(b)(*(getattr(b, n)[inlined] for n in ("position", "location_id", "offset", "length")))
                for b in (ours, theirs)
            ]
            assert lazy.inlined_data(pick[0]) == whole.inlined_data(pick[1])
    assert lazy.memory_nbytes == 0
    assert lazy == whole
    assert whole == lazy
    assert ChunkManifest.concat([lazy, lazy], 0) == ChunkManifest.concat([whole, whole], 0)


def _local(whole: ChunkManifest, lazy: ChunkManifest, position: int) -> object:
    """Return a chunk with the offset that it has in its partition, if it is inlined."""
    found, other = whole.lookup(position), lazy.lookup(position)
    if found is None or found.data is None or other is None:
        return found
    assert found.data == other.data
    return other


def test_partitions_known_to_be_empty_are_not_read() -> None:
    parts = Parts(manifest([None, None, None, (0, 5)]), 2)
    lazy = PartitionedManifest((4,), partition_rows=2, load=parts, counts=[0, 1])
    assert lazy.lookup(0) is None
    assert lazy.between(0, 2).position.size == 0
    assert parts.asked == 0
    assert lazy.present == 1
    assert parts.asked == 0


def test_what_cannot_be_read_is_an_error_not_absent() -> None:
    def fail(number: int) -> ChunkManifest:
        raise SourceError(f"partition {number}")

    lazy = PartitionedManifest((4,), partition_rows=2, load=fail)
    looks: list[Callable[[], object]] = [
        lambda: lazy.lookup(3),
        lambda: lazy.present,
        lambda: lazy.offset,
        lazy.to_dense,
    ]
    for look in looks:
        with pytest.raises(SourceError):
            look()


def test_it_is_pickled_with_its_reader() -> None:
    lazy = PartitionedManifest((2,), partition_rows=2, load=Parts(manifest([None, (1, 5)]), 2))
    assert pickle.loads(pickle.dumps(lazy)) == lazy


def test_counts_must_fit() -> None:
    with pytest.raises(OptionError):
        PartitionedManifest((4,), partition_rows=2, load=Parts(manifest([]), 2), counts=[1])
    with pytest.raises(OptionError):
        PartitionedManifest((4,), partition_rows=0, load=Parts(manifest([]), 2))
    with pytest.raises(OptionError, match="outside"):
        PartitionedManifest((4,), partition_rows=2, load=Parts(manifest([]), 2)).lookup(4)
