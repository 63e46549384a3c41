"""Laws of the model, on manifests of every layout."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refmaker.errors import BrokenReferencesError, OptionError
from refmaker.model.chunks import INLINE, MISSING, ChunkManifest
from refmaker.model.keys import chunk_index, chunk_key, chunk_position, key_of, parse_chunk_key, split_key

GRIDS = st.lists(st.integers(0, 4), max_size=3).map(tuple)
ROWS = st.tuples(
    st.sampled_from([0, 1, 7, INLINE, MISSING]), st.integers(0, 2**40), st.integers(0, 2**33), st.binary(max_size=3)
)


@st.composite
def stored(draw: st.DrawFn, grids: st.SearchStrategy[tuple[int, ...]] = GRIDS) -> ChunkManifest:
    """Return a dense or sparse manifest."""
    grid = draw(grids)
    size = int(np.prod(grid, dtype=int))
    rows = draw(st.lists(ROWS, min_size=size, max_size=size))
    columns = np.array([row[:3] for row in rows], np.uint64).reshape(-1, 3)
    at = 0
    for row, drawn in zip(columns, rows, strict=True):
        if row[0] == INLINE:
            row[1:] = at, len(drawn[3])
        at += len(drawn[3])
    there = np.flatnonzero(columns[:, 0] != MISSING).astype(np.uint64)
    sparse = draw(st.booleans())
    location_id, offset, length = (columns[there] if sparse else columns).T.copy()
    inline = b"".join(row[3] for row in rows)
    position = there if sparse else None
    return ChunkManifest(grid, location_id.astype(np.uint32), offset, length, position=position, inline=inline)


@st.composite
def affine(draw: st.DrawFn, grids: st.SearchStrategy[tuple[int, ...]] = GRIDS) -> ChunkManifest:
    """Return a manifest without stored columns."""
    grid = draw(grids)
    strides = draw(st.lists(st.integers(0, 2**33), min_size=len(grid), max_size=len(grid)))
    start, length = draw(st.integers(0, 2**40)), draw(st.integers(0, 2**33))
    return ChunkManifest.affine(grid, location_id=draw(st.integers(0, 7)), start=start, strides=strides, length=length)


def manifests(grids: st.SearchStrategy[tuple[int, ...]] = GRIDS) -> st.SearchStrategy[ChunkManifest]:
    return st.one_of(stored(grids), affine(grids))


def grid_of_chunks(manifest: ChunkManifest) -> np.ndarray:
    """Return what a manifest says, as an object array over its grid."""
    said = np.empty(len(manifest), object)
    for position in range(len(manifest)):
        chunk = manifest.lookup(position)
        if chunk is not None:
            said[position] = (chunk.location_id, chunk.offset, chunk.length) if chunk.data is None else chunk.data
    return said.reshape(manifest.grid_shape)


def along(axis: int) -> st.SearchStrategy[list[ChunkManifest]]:
    """Return manifests whose grids differ along one axis of two."""

    def fitting(n: int) -> st.SearchStrategy[list[ChunkManifest]]:
        grids = st.integers(0, 3).map(lambda m: (m, n) if axis == 0 else (n, m))
        return st.lists(manifests(grids), min_size=1, max_size=4)

    return st.integers(0, 3).flatmap(fitting)


AXIS_AND_PARTS = st.integers(0, 1).flatmap(lambda axis: st.tuples(st.just(axis), along(axis)))


@given(manifests())
def test_layouts_say_the_same(manifest: ChunkManifest) -> None:
    dense = manifest.to_dense()
    assert dense == manifest
    assert manifest == dense
    assert grid_of_chunks(dense).tolist() == grid_of_chunks(manifest).tolist()
    there = [n for n in range(len(manifest)) if manifest.lookup(n)]
    assert manifest.present == len(there)
    assert manifest.stored_nbytes == sum(manifest.lookup(n).length for n in there)  # type: ignore[union-attr]
    ids = {manifest.lookup(n).location_id for n in there} - {INLINE}  # type: ignore[union-attr]
    assert manifest.location_ids().tolist() == sorted(ids)


@given(manifests(), st.integers(1, 5))
def test_blocks_are_the_present_chunks(manifest: ChunkManifest, rows: int) -> None:
    found = [
        (position, ref.location_id, ref.offset, ref.length)
        for position in range(len(manifest))
        if (ref := manifest.lookup(position))
    ]
    columns = ("position", "location_id", "offset", "length")
    blocks = [zip(*(getattr(block, name).tolist() for name in columns), strict=True) for block in manifest.blocks(rows)]
    assert [row for block in blocks for row in block] == found


@given(manifests())
def test_from_positions_is_the_inverse_of_blocks(manifest: ChunkManifest) -> None:
    rows = list(manifest.blocks())
    order = np.random.default_rng(0).permutation(sum(block.position.size for block in rows))
    if not rows:
        return
    position, location_id, offset, length = (
        np.concatenate([getattr(block, name) for block in rows])[order]
        for name in ("position", "location_id", "offset", "length")
    )
    again = ChunkManifest.from_positions(
        manifest.grid_shape, position, location_id=location_id.astype(np.uint32), offset=offset.astype(np.uint64),
        length=length, inline=manifest.inline,
    )  # fmt: skip
    assert again == manifest


@given(AXIS_AND_PARTS)
def test_concat_is_concatenation_of_grids(case: tuple[int, list[ChunkManifest]]) -> None:
    axis, parts = case
    whole = ChunkManifest.concat(parts, axis)
    expected = np.concatenate([grid_of_chunks(part) for part in parts], axis)
    assert whole.grid_shape == expected.shape
    assert grid_of_chunks(whole).tolist() == expected.tolist()


@given(AXIS_AND_PARTS, st.integers(0, 4))
def test_concat_is_associative(case: tuple[int, list[ChunkManifest]], cut: int) -> None:
    axis, parts = case
    left, right = parts[:cut], parts[cut:]
    if left and right:
        halves = [ChunkManifest.concat(left, axis), ChunkManifest.concat(right, axis)]
        assert ChunkManifest.concat(halves, axis) == ChunkManifest.concat(parts, axis)


@given(AXIS_AND_PARTS)
def test_take_undoes_concat(case: tuple[int, list[ChunkManifest]]) -> None:
    axis, parts = case
    whole = ChunkManifest.concat(parts, axis)
    at = 0
    for part in parts:
        n = part.grid_shape[axis]
        assert whole.take(range(at, at + n), axis) == part
        at += n


@given(manifests(st.tuples(st.integers(1, 4), st.integers(0, 3))), st.lists(st.integers(0, 3), max_size=6))
def test_take_is_take_of_the_grid(manifest: ChunkManifest, indices: list[int]) -> None:
    wanted = [index % manifest.grid_shape[0] for index in indices]
    expected = grid_of_chunks(manifest).take(np.array(wanted, int), 0)
    assert grid_of_chunks(manifest.take(wanted, 0)).tolist() == expected.tolist()


@given(manifests(), st.permutations(range(8)))
def test_locations_are_renamed_and_back(manifest: ChunkManifest, order: list[int]) -> None:
    ids = np.array(order, np.uint32)
    back = np.argsort(ids).astype(np.uint32)
    moved = manifest.with_locations(ids)
    for position in range(len(manifest)):
        old, new = manifest.lookup(position), moved.lookup(position)
        assert (old is None) == (new is None)
        if old and new:
            assert new.location_id == (INLINE if old.location_id == INLINE else order[old.location_id])
            assert (new.offset, new.length, new.data) == (old.offset, old.length, old.data)
    assert moved.with_locations(back) == manifest


@given(
    st.lists(st.integers(1, 50), max_size=4).flatmap(
        lambda grid: st.tuples(st.just(grid), st.integers(0, max(int(np.prod(grid)) - 1, 0)))
    )
)
def test_keys_are_positions(case: tuple[list[int], int]) -> None:
    grid, position = case
    index = chunk_index(position, grid)
    for separator in "./":
        key = chunk_key(index, separator)
        assert parse_chunk_key(key, len(grid), separator) == index
        assert chunk_position(index, grid) == position
        assert split_key(key_of("a/b", chunk_key(index))) == ("a/b", chunk_key(index))


@pytest.mark.parametrize(("key", "ndim"), [("0", 1), ("10.2", 2), ("0", 0)])
def test_canonical_keys_are_read(key: str, ndim: int) -> None:
    assert chunk_key(parse_chunk_key(key, ndim)) == key


@pytest.mark.parametrize(("key", "ndim"), [("", 1), ("01", 1), ("-1", 1), ("1.", 2), ("²", 1), ("1", 0), ("1.2", 1)])
def test_other_keys_are_refused(key: str, ndim: int) -> None:
    with pytest.raises(BrokenReferencesError):
        parse_chunk_key(key, ndim)


U4 = np.array([0, 1], np.uint32)


@pytest.mark.parametrize(
    "build",
    [
        lambda: ChunkManifest((3,), U4, U4, U4),
        lambda: ChunkManifest((3,), U4, U4, U4, position=np.array([1, 1], np.uint64)),
        lambda: ChunkManifest((3,), U4, U4, U4, position=np.array([2, 1], np.uint64)),
        lambda: ChunkManifest((3,), U4, U4, U4, position=np.array([1, 3], np.uint64)),
        lambda: ChunkManifest.affine((3,), location_id=0, start=-1, strides=(1,), length=1),
        lambda: ChunkManifest.from_positions((3,), np.array([1, 1], np.uint64), location_id=0, offset=U4, length=U4),
        lambda: ChunkManifest.concat([], 0),
        lambda: ChunkManifest.concat([ChunkManifest.empty((1,))], 1),
        lambda: ChunkManifest.concat([ChunkManifest.empty((1, 2)), ChunkManifest.empty((1, 3))], 0),
        lambda: ChunkManifest.empty((2,)).take([2], 0),
        lambda: ChunkManifest.empty((2,)).lookup(2),
        lambda: chunk_position((2,), (2,)),
        lambda: chunk_index(2, (2,)),
    ],
)
def test_wrong_manifests_cannot_be_built(build: Any) -> None:
    with pytest.raises(OptionError):
        build()
