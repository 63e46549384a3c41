"""Columns out of text: where numbers and strings lie in a large buffer is known; they are read all at once.

Positions are arrays into one buffer of bytes; every function walks all of them together, a character at a time, so the
cost is a few numpy passes and no Python object a row.
"""

import numpy as np
import numpy.typing as npt

__all__ = ["Bytes", "Flags", "Positions", "interned", "numbers_after", "numbers_before", "spaces_after"]

Bytes = npt.NDArray[np.uint8]
Positions = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

MOST_DIGITS = 18
"""Digits of a number that certainly fits 63 bits."""
SPACE = np.zeros(256, np.bool_)
SPACE[list(b" \t\r\n")] = True
"""RFC 8259, "JSON Grammar": white space."""
ZERO = np.uint8(ord("0"))


def spaces_after(text: Bytes, position: Positions) -> Positions:
    """Return the positions of the first characters that are no white space."""
    while (space := SPACE[text[position]]).any():
        position = position + space
    return position


def numbers_after(text: Bytes, position: Positions) -> tuple[npt.NDArray[np.uint64], Positions, Flags]:
    """Return the decimal numbers that start at positions, the positions after them, and which are proper.

    Proper are 1 to 18 digits without a leading zero.
    """
    value = np.zeros(position.shape, np.uint64)
    at = position
    for _ in range(MOST_DIGITS):
        digit = text[at] - ZERO  # wraps around for what is below "0"
        more = digit < 10
        if not more.any():
            break
        value = np.where(more, value * np.uint64(10) + digit, value)
        at = at + more
    proper = (at > position) & ~((text[position] == ZERO) & (at > position + 1)) & (text[at] - ZERO >= 10)
    return value, at, proper


def numbers_before(text: Bytes, position: Positions) -> tuple[npt.NDArray[np.uint64], Positions, Flags]:
    """Return the decimal numbers that end before positions, where they start, and which are proper."""
    value = np.zeros(position.shape, np.uint64)
    at = position
    for place in range(MOST_DIGITS):
        digit = text[at - 1] - ZERO
        more = digit < 10
        if not more.any():
            break
        value += np.where(more, digit, np.uint8(0)).astype(np.uint64) * np.uint64(10**place)
        at = at - more
    proper = (at < position) & ~((text[at] == ZERO) & (at < position - 1)) & (text[at - 1] - ZERO >= 10)
    return value, at, proper


def interned(text: Bytes, start: Positions, length: Positions, table: dict[bytes, int]) -> npt.NDArray[np.uint32]:
    """Return a number for each string [start, start + length), the same for equal strings.

    ``table`` maps strings to their numbers, and grows. Runs of equal strings cost nothing but the comparison.
    """
    found = np.empty(start.size, np.uint32)
    for nbytes in np.unique(length).tolist():
        row = np.flatnonzero(length == nbytes)
        if nbytes == 0:
            found[row] = table.setdefault(b"", len(table))
            continue
        windows = np.ndarray((text.size - nbytes + 1,), f"V{nbytes}", text, strides=(1,))
        strings = windows[start[row]]
        letters = strings.view(np.uint8).reshape(-1, nbytes)
        new = np.ones(row.size, np.bool_)
        new[1:] = (letters[1:] != letters[:-1]).any(axis=1)
        numbers = [table.setdefault(string, len(table)) for string in strings[new].tolist()]
        found[row] = np.array(numbers, np.uint32)[np.cumsum(new) - 1]
    return found
