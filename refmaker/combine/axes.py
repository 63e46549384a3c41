"""Concatenated dimensions: which inputs have one, and in which order its pieces follow each other.

A *block* is a run of rows along a dimension that one or more inputs share (all tiles of one time step). Blocks are told
apart by content and sorted by their first value, in the direction in which the inputs themselves run.
"""

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from refmaker.combine.times import Clock, moment_text
from refmaker.combine.values import Values
from refmaker.model.keys import child_path

__all__ = ["Axis", "Block", "Run", "ordered"]


@dataclass(slots=True)
class Run:
    """One input's rows along a dimension.

    Attributes:
        number: the input.
        length: rows.
        values: their coordinate values, 1-D, or None: there are none, or they do not count.
        key: what it is sorted by: a number or text.
    """

    number: int
    length: int
    values: Values | None
    key: Any

    @property
    def identity(self) -> object:
        """What runs of the same rows have in common."""
        if self.values is None:
            return self.key, self.length
        same = self.values.tobytes() if not self.values.dtype.hasobject else tuple(self.values.tolist())
        return self.key, same


@dataclass(slots=True)
class Block:
    """Rows that some inputs share.

    Attributes:
        inputs: ascending.
        length: rows that the inputs have.
        start: the first row that is kept.
        stop: the row behind the last one that is kept.
        values: of all rows, or None.
    """

    inputs: list[int]
    length: int
    start: int
    stop: int
    values: Values | None

    @property
    def rows(self) -> int:
        """Rows that are kept."""
        return self.stop - self.start

    @property
    def whole(self) -> bool:
        """Whether all rows are kept."""
        return self.rows == self.length


@dataclass(slots=True)
class Axis:
    """A concatenated dimension as seen from one group and those below it.

    Attributes:
        name: the dimension.
        scope: path of the group.
        new: no input has it as a dimension.
        blocks: in their order.
        block_of: input -> place in ``blocks``.
        dropped: inputs of which no row is kept.
        clock: how ``values`` count time, or None.
        replaced: ``values`` are not those of the inputs' coordinate variable, or there is none.
        recounted: times of the inputs are counted differently from ``clock``.
        rounded: that lost parts of microseconds.
        gaps: sentences about missing steps.
    """

    name: str
    scope: str
    new: bool
    blocks: list[Block]
    block_of: dict[int, int]
    dropped: set[int] = field(default_factory=set)
    clock: Clock | None = None
    replaced: bool = False
    recounted: bool = False
    rounded: bool = False
    gaps: list[str] = field(default_factory=list)

    @property
    def path(self) -> str:
        """The path of its coordinate variable."""
        return child_path(self.scope, self.name)

    @property
    def length(self) -> int:
        """Rows of the result."""
        return sum(block.rows for block in self.blocks)

    @property
    def values(self) -> Values | None:
        """The result's coordinate values, or None if some block has none."""
        parts = [None if block.values is None else block.values[block.start : block.stop] for block in self.blocks]
        known = [part for part in parts if part is not None]
        return np.concatenate(known) if known and len(known) == len(parts) else None

    @property
    def starts(self) -> list[int]:
        """The result's first row of each block."""
        return list(itertools.accumulate((block.rows for block in self.blocks[:-1]), initial=0))

    def number(self) -> None:
        """Set ``block_of`` and ``dropped`` from ``blocks``, leaving out those of which nothing is kept."""
        self.dropped |= {number for block in self.blocks if not block.rows for number in block.inputs}
        self.blocks = [block for block in self.blocks if block.rows]
        self.block_of = {number: place for place, block in enumerate(self.blocks) for number in block.inputs}

    def text(self, value: Any) -> str:
        """Return one of its values for people."""
        return moment_text(value.item() if isinstance(value, np.generic) else value, self.clock)


def ordered(runs: Sequence[Run], *, by_values: bool) -> list[Block]:
    """Return the blocks of runs, sorted."""
    found: dict[object, Block] = {}
    keys: dict[int, Any] = {}
    for run in runs:
        block = found.get(run.identity)
        if block is None:
            block = found[run.identity] = Block([], run.length, 0, run.length, run.values)
            keys[id(block)] = _sortable(run.key)
        block.inputs.append(run.number)
    down = by_values and descending(found.values())
    return sorted(found.values(), key=lambda block: keys[id(block)], reverse=down)


def descending(blocks: Iterable[Block]) -> bool:
    """Whether all blocks of several rows fall, and there is one."""
    longer = [block.values for block in blocks if block.length > 1 and block.values is not None]
    return bool(longer) and all(bool(values[0] > values[-1]) for values in longer)


def _sortable(key: Any) -> Any:
    """Return a key such that text is sorted as people number things: r2 before r10."""
    if not isinstance(key, str):
        return key
    parts = re.split(r"(\d+)", key)
    return [(int(part), "") if place % 2 else (-1, part) for place, part in enumerate(parts)]


def along(axes: Sequence[Axis], name: str, groups: Iterable[str]) -> Axis | None:
    """Return the axis ``name`` of the first of some groups (nearest first) that has one."""
    by_scope: Mapping[str, Axis] = {axis.scope: axis for axis in axes if axis.name == name}
    return next((by_scope[group] for group in groups if group in by_scope), None)
