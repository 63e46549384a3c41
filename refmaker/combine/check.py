"""Whether the pieces of one array have one meaning and one layout: metadata against metadata, nothing is read."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from refmaker.combine.cf import TIME_ATTRIBUTES, VALUE_ATTRIBUTES, packed_by
from refmaker.combine.conflicts import Conflicts
from refmaker.combine.decoders import decoding, unified
from refmaker.combine.times import Clock, clock_of
from refmaker.model.array import ArrayMetadata, Codec, VirtualArray

__all__ = ["Pieces", "compared", "same_fill"]


@dataclass(slots=True)
class Pieces:
    """What all inputs have at one path.

    Attributes:
        path: the array's.
        arrays: by input, ascending.
        dimension_names: those of the piece with most axes; others lack dimensions that are concatenated.
        codecs: a pipeline that decodes all pieces, or None: there is none.
        layout: property -> value as text -> inputs, where the layout differs: chunk shapes beside the concatenated
            dimensions, codecs, byte order. It only matters if the chunks are put side by side.
        recounted: the pieces count time from different epochs or in different units.
        broken: they do not have one meaning, which is a conflict: there is no use in comparing more.
        inherited: by input, how the coordinate counts time whose bounds these are, if that is recounted.
        bounded: the path of that coordinate, or empty.
        onto: how it counts time in the result.
    """

    path: str
    arrays: dict[int, VirtualArray]
    dimension_names: tuple[str, ...]
    codecs: tuple[Codec, ...] | None
    layout: dict[str, dict[str, list[int]]] = field(default_factory=dict)
    recounted: bool = False
    broken: bool = False
    inherited: dict[int, Clock] = field(default_factory=dict)
    bounded: str = ""
    onto: Clock | None = None

    @property
    def first(self) -> ArrayMetadata:
        """The metadata of the first input's piece."""
        return next(iter(self.arrays.values())).metadata


def compared(path: str, arrays: dict[int, VirtualArray], concat: frozenset[str], conflicts: Conflicts) -> Pieces:
    """Return the pieces of one array; differences in meaning become conflicts, those in layout are noted in it."""
    first = next(iter(arrays.values())).metadata
    longest = max((a.metadata.dimension_names for a in arrays.values()), key=len)
    pieces = Pieces(path, arrays, longest, first.codecs)
    odd: dict[str, dict[int, Any]] = {}
    for number, array in arrays.items():
        other = array.metadata
        if other is not first:
            for what, value in _differences(first, other, longest, concat):
                odd.setdefault(what, {})[number] = value
    if not odd:
        return pieces
    loaded = path.rpartition("/")[2] in concat and len(longest) <= 1
    _explain(pieces, odd, conflicts, LAYOUT | {"dtype"} if loaded and _numbers(arrays) else LAYOUT)
    return pieces


def _numbers(arrays: Mapping[int, VirtualArray]) -> bool:
    return all(array.metadata.data_type.kind in "iuf" for array in arrays.values())


def _differences(
    first: ArrayMetadata, other: ArrayMetadata, longest: tuple[str, ...], concat: frozenset[str]
) -> list[tuple[str, Any]]:
    """Return (property, value) of what ``other`` has unlike the first."""
    found: list[tuple[str, Any]] = []
    if other.dimension_names != first.dimension_names:
        fixed = tuple(name for name in other.dimension_names if name not in concat)
        subset = [name for name in longest if name in other.dimension_names]
        if fixed != tuple(n for n in first.dimension_names if n not in concat) or subset != list(other.dimension_names):
            return [("dimensions", other.dimension_names)]
    if other.shape != first.shape or other.chunk_shape != first.chunk_shape or len(other.shape) != len(first.shape):
        found += _beside(first, other, concat)
    if other.data_type != first.data_type:
        native = other.data_type.newbyteorder("=") == first.data_type.newbyteorder("=")
        found.append(("byte order" if native else "dtype", other.data_type))
    if other.codecs != first.codecs and decoding(other.codecs) != decoding(first.codecs):
        found.append(("codecs", other.codecs))
    if not same_fill(other.fill_value, first.fill_value):
        found.append(("fill value", other.fill_value))
    if other.attributes != first.attributes:
        for name in VALUE_ATTRIBUTES:
            mine, theirs = first.attributes.get(name), other.attributes.get(name)
            if mine != theirs and not _both_nan(mine, theirs):
                found.append((name, theirs))
    return found


def _beside(first: ArrayMetadata, other: ArrayMetadata, concat: frozenset[str]) -> list[tuple[str, Any]]:
    """Return differences in size and chunk length along dimensions that are not concatenated."""
    found: list[tuple[str, Any]] = []
    mine = dict(zip(first.dimension_names, zip(first.shape, first.chunk_shape, strict=True), strict=True))
    chunks = other.chunk_shape
    differ = False
    for name, length, chunk in zip(other.dimension_names, other.shape, chunks, strict=True):
        if name in concat:
            continue
        if mine[name][0] != length:
            found.append((f"size of dimension {name!r}", length))
        differ = differ or mine[name][1] != chunk
    if differ and not found:
        found.append(("chunk shape", chunks))
    return found


def _both_nan(one: object, other: object) -> bool:
    return isinstance(one, float) and isinstance(other, float) and math.isnan(one) and math.isnan(other)


def same_fill(one: Any, other: Any) -> bool:
    """Whether two fill values are the same value; NaN is like NaN, and None (absent reads zero) only like None."""
    if one is None or other is None:
        return one is other
    try:
        return bool(one == other) or bool(np.isnan(one) and np.isnan(other))
    except (TypeError, ValueError):  # text, bytes, structures
        return np.array_equal(np.asarray(one), np.asarray(other))


LAYOUT = frozenset({"chunk shape", "codecs", "byte order"})


def _explain(
    pieces: Pieces, odd: Mapping[str, Mapping[int, Any]], conflicts: Conflicts, layout: frozenset[str]
) -> None:
    """Turn differences into conflicts, or into what ``pieces`` says of layout and times."""
    odd = dict(odd)
    times = {name: odd[name] for name in TIME_ATTRIBUTES if name in odd}
    if times and _one_calendar(pieces):
        pieces.recounted = not _one_clock(pieces)
        if pieces.recounted and (packing := packed_by(pieces.first.attributes)):
            pieces.broken = True
            conflicts.add(pieces.path, "units", f"times are packed ({', '.join(packing)}) and counted differently, "
                          "which refmaker cannot put right", "--exclude it")  # fmt: skip
        for name in times:
            del odd[name]
    if "fill value" in odd:
        odd.pop("_FillValue", None)  # the same thing, said twice
    for what, others in odd.items():
        every = {n: others.get(n, _value(a.metadata, what)) for n, a in pieces.arrays.items()}
        holders: dict[str, list[int]] = {}
        for number, value in every.items():
            holders.setdefault(_text(what, value), []).append(number)
        if what in layout:
            pieces.layout[what] = holders
        else:
            pieces.broken = True
            conflicts.differing(pieces.path, what, holders, WAY_OUT.get(what.partition(" ")[0], ""))
    if "codecs" in odd:
        pieces.codecs = _one_pipeline(pieces)
        if pieces.codecs is not None:
            del pieces.layout["codecs"]


WAY_OUT = {
    "scale_factor": "one array has one scale: leave the odd inputs out, or --exclude the variable",
    "add_offset": "one array has one offset: leave the odd inputs out, or --exclude the variable",
    "size": "concatenate along that dimension too (--concat), or --exclude the variable",
}


def _value(metadata: ArrayMetadata, what: str) -> Any:
    """Return a property by the name that conflicts give it."""
    if what.startswith("size of dimension "):
        name = what.removeprefix("size of dimension ").strip("'")
        return dict(zip(metadata.dimension_names, metadata.shape, strict=True)).get(name)
    return {
        "dimensions": metadata.dimension_names,
        "dtype": metadata.data_type,
        "byte order": metadata.data_type,
        "codecs": metadata.codecs,
        "chunk shape": metadata.chunk_shape,
        "fill value": metadata.fill_value,
    }.get(what, metadata.attributes.get(what))


def _text(what: str, value: Any) -> str:
    if value is None:
        return "none"
    if what == "codecs":
        return " ".join(codec.id for codec in value) or "no codecs"
    if what == "dimensions":
        return f"({', '.join(value)})"
    if what == "chunk shape":
        return " x ".join(map(str, value)) or "scalar"
    return str(value) if isinstance(value, np.generic | np.dtype) else repr(value)


def _one_calendar(pieces: Pieces) -> bool:
    """Whether all pieces count time, in one calendar."""
    clocks = {number: clock_of(array.metadata.attributes) for number, array in pieces.arrays.items()}
    if None in clocks.values():
        return False
    holders: dict[str, list[int]] = {}
    for number, clock in clocks.items():
        holders.setdefault(clock.calendar if clock else "", []).append(number)
    return len(holders) == 1


def _one_clock(pieces: Pieces) -> bool:
    clocks = [clock_of(array.metadata.attributes) for array in pieces.arrays.values()]
    first = clocks[0]
    return first is not None and all(clock is not None and clock.counts_like(first) for clock in clocks)


def _one_pipeline(pieces: Pieces) -> tuple[Codec, ...] | None:
    found: tuple[Codec, ...] | None = None
    for array in pieces.arrays.values():
        found = array.metadata.codecs if found is None else unified(found, array.metadata.codecs)
        if found is None:
            return None
    return found
