"""Lines of text from columns: the same as formatting each line."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from refmaker.errors import BrokenReferencesError
from refmaker.model.keys import chunk_key, chunk_position
from refmaker.references.chunk_keys import chunk_positions
from refmaker.references.text import lines_text

COLUMN = st.sampled_from([9, 10, 99, 100, 9999, 10_000, 2**32 - 1, 2**32, 2**63 - 1]).flatmap(
    lambda largest: hnp.arrays(np.uint64, st.integers(1, 30), elements=st.integers(0, largest))
)


@given(COLUMN)
def test_numbers_are_written_as_python_writes_them(column: np.ndarray) -> None:
    assert lines_text([b"<", column, b">"]).decode() == "".join(f"<{n}>" for n in column.tolist())


@pytest.mark.parametrize("power", range(19))
def test_numbers_around_powers_of_ten(power: int) -> None:
    column = np.array([0, 1, 10**power - 1, 10**power], np.uint64)
    assert lines_text([column, b","]).decode() == "".join(f"{n}," for n in column.tolist())


def test_parts_stand_side_by_side() -> None:
    words, numbers = np.array([b"a", b"longer"]), np.array([7, 12345], np.uint32)
    assert lines_text([b'["', words, b'",', numbers, b"", b"]\n"]) == b'["a",7]\n["longer",12345]\n'


GRIDS = st.lists(st.integers(1, 1200), min_size=0, max_size=4)


@given(
    GRIDS.flatmap(
        lambda grid: st.tuples(st.just(grid), st.lists(st.tuples(*(st.integers(0, n - 1) for n in grid)), min_size=1))
    )
)
def test_keys_are_read_as_positions(case: tuple[list[int], list[tuple[int, ...]]]) -> None:
    grid, indices = tuple(case[0]), case[1]
    for separator in "./":
        keys = [chunk_key(index, separator) for index in indices]
        found = chunk_positions(keys, grid, separator)
        assert found.tolist() == [chunk_position(index, grid) for index in indices]


@pytest.mark.parametrize(
    "key",
    ["", ".", "0", "0.", ".0", "0.0.0", "00.0", "0.01", "0.-1", "+0.0", "0.5", "3.0", "0 .0", "a.b", "0,0", "0.0\n0.0",
     "\u0660.0", "0.99999999999999999999", "0x1.0", "1e0.0", "0.0 ", "0/0"],
)  # fmt: skip
def test_what_is_no_key_of_the_grid_is_an_error(key: str) -> None:
    with pytest.raises(BrokenReferencesError):
        chunk_positions(["0.0", key, "1.1"], (3, 5))
