"""Reading a remote TIFF ahead: its chain of directories, and the values these point to.

The chain is a linked list, so every directory is a wait unless it is foreseen. Where the last directories lie at equal
distances, as those of uncompressed stacks do, the next ones are asked for where they should be, many at a time, and
used only if the chain does lead there. Else each hop reads on beyond its directory, twice as far as the hop before.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from refmaker.scanners.tiff.tables import FIELD_TYPES, ITEM_SIZES, LAYOUTS, Layout, Tag
from refmaker.source.base import Bytes, Parser, Wish
from refmaker.source.rounds import FileAhead

__all__ = ["walk"]

MOST_ENTRIES = 4096
MOST_DIRECTORIES = 1_000_000
WINDOW = 64 << 10
"""Bytes the first hop reads; it ends on a multiple of this, as the blocks do that are fetched."""
LONGEST_WINDOW = 8 << 20
EQUAL_DISTANCES = 2
"""Equal distances in a row after which the next directories are predicted."""
FIRST_PREDICTION, LONGEST_PREDICTION = 64, 4096
"""Directories predicted at first and at most; four times as many each time."""
NEIGHBOURHOOD = 8 << 10
"""Bytes behind a directory that are fetched with predicted ones if the last one's values lie there."""
ORDINARY_VALUES = 1 << 20
"""Longer values are left to whoever wants them, but for those that every scan reads."""
ALWAYS_READ = frozenset({
    Tag.STRIP_OFFSETS, Tag.STRIP_BYTE_COUNTS, Tag.TILE_OFFSETS, Tag.TILE_BYTE_COUNTS, Tag.IMAGE_DESCRIPTION,
})  # fmt: skip
SHORT = 4096
"""Bytes up to which ranges of about one length are asked for together."""
SUB_DIRECTORY = 512
"""Bytes that hold most directories."""


class _Place(NamedTuple):
    """Where the values of a tag lie outside their directory, and whether they are offsets of further directories."""

    offset: int
    nbytes: int
    kind: str = ""


@dataclass(slots=True)
class _Chain:
    """The bytes at hand while a chain is followed.

    Attributes:
        start: file position of ``window``.
        window: bytes.
        predicted: bytes at places where directories should be.
        distances: between the last directories.
        prediction: how many directories the next prediction is about.
        ahead: how many bytes the next hop reads.
        reach: bytes from the start of the last directory to the end of its values, if these are near.
    """

    start: int = 0
    window: bytes = b""
    predicted: dict[int, bytes] = field(default_factory=dict)
    distances: list[int] = field(default_factory=list)
    prediction: int = FIRST_PREDICTION
    ahead: int = WINDOW
    reach: int = 0

    def at(self, offset: int) -> bytes:
        """Return the bytes at hand from ``offset`` on; empty if there are none."""
        if offset in self.predicted:
            return self.predicted[offset]
        return self.window[offset - self.start :] if self.start <= offset < self.start + len(self.window) else b""


def walk(file: FileAhead) -> Parser[None]:
    """Wish for all directories of the chain, their SubIFDs, and the values that they point to."""
    [block] = yield [Wish.one(0, min(16, file.size))]
    head = block.tobytes()
    layout = LAYOUTS.get(head[:4])
    if layout is None:
        return
    offset = _one(head[layout.first_offset_at :][: layout.offset_width], layout)
    chain, visited, last = _Chain(), set[int](), 0
    while 8 <= offset < file.size and offset not in visited and len(visited) < MOST_DIRECTORIES:
        visited.add(offset)
        data = chain.at(offset)
        if _length(data, layout) > len(data):
            data = yield from _fetched(file, chain, layout, offset)
        data = data[: _length(data, layout)]
        if not data:
            return
        places = list(_places(data, layout, file.size))
        file.start(_values(file, layout, places))
        near = [place.offset + place.nbytes - offset for place in places if place.offset >= offset]
        chain.reach = max((end for end in near if end <= NEIGHBOURHOOD), default=0)
        chain.distances = [*chain.distances[-EQUAL_DISTANCES:], offset - last]
        last, offset = offset, _one(data[-layout.offset_width :], layout)


def _fetched(file: FileAhead, chain: _Chain, layout: Layout, offset: int) -> Parser[bytes]:
    """Return the directory at ``offset`` after a hop; what comes with it is kept in ``chain``. Empty: there is none."""
    recent = chain.distances[-EQUAL_DISTANCES:]
    distance = recent[-1] if recent else 0
    if len(chain.distances) > EQUAL_DISTANCES and distance > 0 and set(recent) == {distance}:
        length = max(chain.reach, SUB_DIRECTORY)
        count = min(chain.prediction, (file.size - offset - length) // distance + 1)
        chain.prediction = min(4 * chain.prediction, LONGEST_PREDICTION)
        if count > 1:
            places = np.uint64(offset) + np.arange(count, dtype=np.uint64) * np.uint64(distance)
            [blocks] = yield [Wish(places, length)]
            chain.predicted = dict(zip(places.tolist(), map(bytes, blocks), strict=True))
    data = chain.at(offset)
    if _length(data, layout) > len(data):
        stop = min(-(-(offset + chain.ahead) // WINDOW) * WINDOW, file.size)
        stop = stop if chain.ahead > WINDOW else min(offset // WINDOW * WINDOW + WINDOW, file.size)
        chain.ahead = min(2 * chain.ahead, LONGEST_WINDOW)
        [block] = yield [Wish.one(offset, stop - offset)]
        chain.start, chain.window = offset, block.tobytes()
        data = chain.window
    if len(data) < layout.count_width:
        [block] = yield [Wish.one(offset, min(SUB_DIRECTORY, file.size - offset))]
        data = block.tobytes()
    length = _length(data, layout)
    if length > len(data):
        if offset + length > file.size:
            return b""
        [block] = yield [Wish.one(offset, length)]
        data = block.tobytes()
    return data[:length]


def _length(data: bytes, layout: Layout) -> int:
    """Return the bytes of the directory that starts with ``data``; more than there are if that cannot be told."""
    if len(data) < layout.count_width:
        return len(data) + 1
    count = min(_one(data[: layout.count_width], layout), MOST_ENTRIES)
    return layout.count_width + count * layout.entry.itemsize + layout.offset_width


def _one(data: bytes, layout: Layout) -> int:
    return int.from_bytes(data, "little" if layout.byte_order == "<" else "big")


def _places(data: bytes, layout: Layout, size: int) -> Iterator[_Place]:
    """Yield where the values of a directory's tags lie that are likely to be read."""
    count = min(_one(data[: layout.count_width], layout), MOST_ENTRIES)
    raw = np.frombuffer(data, layout.entry, count, layout.count_width)
    counts = np.minimum(raw["count"].astype(np.uint64), np.uint64(size + 1))
    nbytes = counts * ITEM_SIZES[raw["type"]]
    columns = raw["tag"], raw["type"], nbytes, raw["offset"]
    for tag, kind, length, offset in zip(*(column.tolist() for column in columns), strict=True):
        spelled = FIELD_TYPES.get(kind, "")
        sub = spelled if tag == Tag.SUB_IFDS and spelled in {"u4", "u8"} else ""
        if length <= layout.offset_width:
            if sub and length == int(sub[1]):
                yield _Place(offset, 0, sub)
        elif offset + length <= size and (length <= ORDINARY_VALUES or tag in ALWAYS_READ):
            yield _Place(offset, length, sub)


def _values(file: FileAhead, layout: Layout, places: list[_Place]) -> Parser[None]:
    """Wish for values, and for the directories that some of them are offsets of."""
    yield list(_wishes([place for place in places if place.nbytes], file.size))
    subs = [np.array([place.offset], np.uint64) for place in places if place.kind and not place.nbytes]
    listed = [place for place in places if place.kind and place.nbytes]
    blocks = (yield [Wish.one(place.offset, place.nbytes) for place in listed]) if listed else []
    for place, block in zip(listed, blocks, strict=True):
        subs.append(block[0].view(layout.byte_order + place.kind).astype(np.uint64))
    if subs:
        offsets = np.unique(np.concatenate(subs))
        yield from _sub_directories(file, layout, offsets[(offsets >= 8) & (offsets < file.size)])


def _sub_directories(file: FileAhead, layout: Layout, offsets: npt.NDArray[np.uint64]) -> Parser[None]:
    """Wish for directories outside the chain, all at once, and for their values."""
    starts = offsets.tolist()
    blocks: list[Bytes] = yield [Wish.one(at, min(SUB_DIRECTORY, file.size - at)) for at in starts]
    for at, block in zip(starts, blocks, strict=True):
        data = block[0].tobytes()
        length = _length(data, layout)
        if at + length > file.size:
            continue
        if length > len(data):
            [longer] = yield [Wish.one(at, length)]
            data = longer[0].tobytes()
        places = _places(data[:length], layout, file.size)
        yield list(_wishes([place for place in places if place.nbytes], file.size))


def _wishes(places: list[_Place], size: int) -> Iterator[Wish]:
    """Yield the wishes for ranges: short ones of about one length together, exactly; others widened to blocks."""
    together: dict[int, list[int]] = {}
    for place in places:
        rounded = 1 << max(place.nbytes - 1, 15).bit_length()
        if rounded <= SHORT and place.offset + rounded <= size:
            together.setdefault(rounded, []).append(place.offset)
        else:
            yield Wish.one(place.offset, place.nbytes)
    for length, offsets in together.items():
        yield Wish(np.array(offsets, np.uint64), length)
