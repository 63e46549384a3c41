"""Laws of range arithmetic, against sets of bytes."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refmaker.source.base import Wish
from refmaker.source.ranges import Ranges, cut, merged, of_wishes, outside

pairs = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 15)).map(lambda p: (p[0], p[0] + p[1])), max_size=12)


def covered(ranges: Ranges) -> set[int]:
    return {byte for start, stop in ranges.pairs() for byte in range(start, stop)}


def is_sorted_and_disjoint(ranges: Ranges) -> bool:
    flat = [edge for pair in ranges.pairs() for edge in pair]
    return flat == sorted(flat) and all(start < stop for start, stop in ranges.pairs())


@given(pairs)
def test_merging_without_gaps_keeps_exactly_the_bytes(given: list[tuple[int, int]]) -> None:
    found = merged(Ranges.of(given), 0)
    assert covered(found) == covered(Ranges.of(given))
    assert is_sorted_and_disjoint(found)


@given(pairs, st.integers(0, 9))
def test_merging_leaves_only_gaps_that_are_longer(given: list[tuple[int, int]], gap: int) -> None:
    found = merged(Ranges.of(given), gap)
    assert covered(found) >= covered(Ranges.of(given))
    rows = found.pairs()
    assert all(after[0] - before[1] > gap for before, after in pairwise(rows))


@given(pairs, pairs)
def test_what_lies_outside_is_the_difference(wanted: list[tuple[int, int]], held: list[tuple[int, int]]) -> None:
    one, other = merged(Ranges.of(wanted), 0), merged(Ranges.of(held), 0)
    found = outside(one, other)
    assert covered(found) == covered(one) - covered(other)
    assert is_sorted_and_disjoint(found)


@given(pairs, st.integers(1, 9))
def test_cutting_keeps_the_bytes_and_the_limit(given: list[tuple[int, int]], longest: int) -> None:
    one = merged(Ranges.of(given), 0)
    parts = cut(one, longest)
    assert covered(Ranges.of(parts)) == covered(one)
    assert sum(stop - start for start, stop in parts) == one.nbytes
    assert all(0 < stop - start <= longest for start, stop in parts)


@pytest.mark.parametrize(
    ("wish", "expected"),
    [
        (Wish.one(70, 5), [(64, 96)]),
        (Wish.one(64, 32), [(64, 96)]),
        (Wish.one(90, 10), [(64, 100)]),
        (Wish(np.array([70], np.uint64), 5, exact=True), [(70, 75)]),
        (Wish(np.array([70, 10], np.uint64), 5), [(70, 75), (10, 15)]),
        (Wish(np.array([], np.uint64), 5), []),
    ],
)
def test_single_ranges_are_widened_to_blocks(wish: Wish, expected: list[tuple[int, int]]) -> None:
    assert of_wishes([wish], 32, 100).pairs() == expected
