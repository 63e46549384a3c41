"""Rows along a dimension that are there twice, out of order, or not at all."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from refmaker.combine.axes import Axis, Block, descending
from refmaker.combine.conflicts import Conflicts
from refmaker.combine.options import OnOverlap
from refmaker.combine.values import Values

__all__ = ["check_distinct", "check_order", "find_gaps", "trim"]

MOST_TOLD = 4
GAP = 1.5
"""A step that many times longer than usual is a gap."""
REGULAR = 0.2
"""How far steps may be from the usual one (months are from 28 to 31 days)."""
MOSTLY = 0.5
"""The share of steps that must be regular, for gaps to mean anything."""


def check_order(axis: Axis, conflicts: Conflicts) -> None:
    """Add a conflict for each input that runs to and fro, and for blocks that overlap."""
    way_out = f"to keep the order given, place it by position ({axis.name}=position)"
    down = descending(axis.blocks)
    odd = [n for block in axis.blocks if not _monotonic(block.values, down) for n in block.inputs]
    if odd:
        conflicts.add(
            axis.path, "order", f"values do not run one way, or are missing, in {conflicts.inputs(odd)}", way_out
        )
        return
    pairs = [(a, b) for a, b in zip(axis.blocks, axis.blocks[1:], strict=False) if _touch(a, b, down)]
    if not pairs:
        return
    shared = any(_shared(a, b) for a, b in pairs)
    told = [_overlap_text(axis, a, b, conflicts) for a, b in pairs[:MOST_TOLD]]
    if len(pairs) > MOST_TOLD:
        told.append(f"and {len(pairs) - MOST_TOLD} more overlaps")
    conflicts.add(
        axis.path,
        "overlap",
        "; ".join(told),
        "--on-overlap (first, last) keeps one of two rows with the same value" if shared else way_out,
    )


def check_distinct(axis: Axis, conflicts: Conflicts) -> None:
    """Add a conflict if a value is there twice: all that can be wrong with names."""
    holders: dict[object, list[int]] = {}
    for block in axis.blocks:
        for value in [] if block.values is None else block.values[block.start : block.stop].tolist():
            holders.setdefault(value, []).append(block.inputs[0])
    twice = [(value, numbers) for value, numbers in holders.items() if len(numbers) > 1]
    told = [f"{value} is in {conflicts.inputs(numbers)}, {len(numbers)} times" for value, numbers in twice[:MOST_TOLD]]
    if len(twice) > MOST_TOLD:
        told.append(f"and {len(twice) - MOST_TOLD} more")
    if told:
        conflicts.add(axis.path, "overlap", "; ".join(told))


def _monotonic(values: Values | None, down: bool) -> bool:
    if values is None or len(values) < 2:
        return values is None or not (values.dtype.kind == "f" and bool(np.isnan(values).any()))
    steps = values[1:] < values[:-1] if down else values[1:] > values[:-1]
    return bool(np.all(steps))


def _touch(one: Block, other: Block, down: bool) -> bool:
    """Whether the end of a block reaches the start of the next one."""
    if one.values is None or other.values is None:
        return False
    last, first = one.values[one.stop - 1], other.values[other.start]
    return bool(last <= first) if down else bool(last >= first)


def _overlap_text(axis: Axis, one: Block, other: Block, conflicts: Conflicts) -> str:
    shared = _shared(one, other)
    names = f"{conflicts.inputs(one.inputs)} and {conflicts.inputs(other.inputs)}"
    if not shared:
        return f"{names} interleave: {_range_text(axis, one)}, {_range_text(axis, other)}"
    first, last = axis.text(shared[0]), axis.text(shared[-1])
    which = first if len(shared) == 1 else f"{len(shared)} values from {first} to {last}"
    return f"{which} both in {names}"


def _shared(one: Block, other: Block) -> list[Any]:
    """Return the values that two blocks both have."""
    if one.values is None or other.values is None:
        return []
    return sorted(set(one.values.tolist()) & set(other.values.tolist()))


def _range_text(axis: Axis, block: Block) -> str:
    values: Sequence[object] = [] if block.values is None else block.values.tolist()
    return f"{axis.text(values[0])} to {axis.text(values[-1])}" if values else "nothing"


def trim(axis: Axis, policy: OnOverlap, conflicts: Conflicts) -> None:
    """Cut off rows whose value another block has too, so that the one of the first or last input stays."""
    taken: set[object] = set()
    rank = max if policy == "last" else min
    for block in sorted(axis.blocks, key=lambda block: rank(block.inputs), reverse=policy == "last"):
        if block.values is None:
            continue
        listed = block.values.tolist()
        kept = [row for row, value in enumerate(listed) if value not in taken]
        taken.update(listed)
        block.start, block.stop = (kept[0], kept[-1] + 1) if kept else (0, 0)
        if len(kept) != block.rows:
            conflicts.add(
                axis.path, "overlap", f"other inputs hold rows from the middle of {conflicts.inputs(block.inputs)}"
            )
            return
    axis.blocks = [block for block in axis.blocks if block.rows] + [b for b in axis.blocks if not b.rows]
    live = [block for block in axis.blocks if block.rows]
    down = descending(live)
    live.sort(key=lambda block: block.values[block.start] if block.values is not None else 0, reverse=down)
    axis.blocks = live + [block for block in axis.blocks if not block.rows]


def find_gaps(axis: Axis) -> None:
    """Note steps along the axis that are longer than usual, where most are of one length."""
    values = axis.values
    if values is None or values.dtype.kind not in "iuf" or values.size < 4:
        return
    steps = np.abs(np.diff(values.astype(np.float64)))
    usual = float(np.median(steps))
    if usual <= 0 or np.mean(np.abs(steps - usual) <= REGULAR * usual) < MOSTLY:
        return
    found = np.flatnonzero(steps > GAP * usual)
    for row in found[:MOST_TOLD].tolist():
        missing = max(round(float(steps[row]) / usual) - 1, 1)
        what = "1 step" if missing == 1 else f"{missing} steps"
        axis.gaps.append(f"about {what} missing between {axis.text(values[row])} and {axis.text(values[row + 1])}")
    if found.size > MOST_TOLD:
        axis.gaps.append(f"and {found.size - MOST_TOLD} more gaps")
