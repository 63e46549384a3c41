"""Arrays that come of several sources: what they say of themselves, and values that the document itself holds.

What combining makes of its inputs is not wrong: attributes are those of one source or of all, times are counted
anew, new dimensions stand in front, and a coordinate may come from names.
"""

import base64
import binascii
import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from refmaker.combine.cf import BOUNDS, TIME_ATTRIBUTES, VALUE_ATTRIBUTES, VALUE_RANGES, bounds_of
from refmaker.combine.times import GREGORIAN, MICROSECONDS, PROLEPTIC, Clock, clock_of, recounted
from refmaker.errors import ConflictError
from refmaker.model.array import VirtualArray
from refmaker.model.attributes import JSON
from refmaker.model.keys import parent_path
from refmaker.verify.arrangement import Arrangement, Part
from refmaker.verify.comparing import differing, same_dtype, same_json, same_names, same_scalar, value_text
from refmaker.verify.findings import Check, Findings
from refmaker.verify.native import NativeError
from refmaker.verify.origins import COMPUTED, Natives

__all__ = ["BY_NAME", "attributes_of_several", "inlined_values", "metadata_of_several"]

FILL = "_FillValue"
RELATIVE = 1e-12
"""By how much times may differ for being counted from another epoch, beside a microsecond."""
BY_NAME = "its values are none of its files', each of which may have been given its place by name"
"""Why a coordinate, of which files have one value each, is not compared."""
DERIVED = VALUE_RANGES | set(BOUNDS)
"""Attributes that combining drops where values are replaced."""


def metadata_of_several(
    path: str,
    array: VirtualArray,
    parts: Sequence[Part],
    *,
    foreign: bool,
    complete: bool,
    mismatches: Findings,
    doubtful: Findings,
    natives: Natives,
) -> None:
    """Hold an array's type, dimensions, fill value and attributes against its parts, in the order of sources.

    Args:
        path: of the array.
        array: what the references say.
        parts: what sources give.
        foreign: whether the references are not refmaker's.
        complete: whether these are all sources of the document.
        mismatches: collects.
        doubtful: collects names and attributes that differ; not ``mismatches`` where the scan's options decide them.
        natives: say what fill values other tools may have found.
    """
    if not parts:
        return
    metadata, first = array.metadata, parts[0].array.metadata
    inlined = not array.manifest.location_ids().size
    every = [part.array.metadata for part in parts]
    own = metadata.data_type
    if not any(same_dtype(own, one.data_type) for one in every) and not (inlined and (foreign or own.kind in "iuf")):
        mismatches.add(Check.DTYPE, path, f"is {own}, and {first.data_type} in its files")
    names = metadata.dimension_names[len(metadata.shape) - len(first.shape) :]
    if not same_names(names, first.dimension_names, foreign=foreign):
        doubtful.add(Check.DIMENSIONS, path, f"are {names}, and {first.dimension_names} in its files")
    known = _is_fill(metadata.fill_value, [one.fill_value for one in every], inlined=inlined)
    if not known and not (foreign and _is_native_fill(metadata.fill_value, parts[0], natives)):
        sentence = (
            f"the fill value is {value_text(metadata.fill_value)}, and {value_text(first.fill_value)} in its files"
        )
        mismatches.add(Check.FILL, path, sentence)
    attributes_of_several(
        path,
        metadata.attributes,
        [one.attributes for one in every],
        foreign=foreign,
        complete=complete,
        mismatches=doubtful,
    )


def attributes_of_several(
    path: str,
    ours: Mapping[str, JSON],
    every: Sequence[Mapping[str, JSON]],
    *,
    foreign: bool,
    complete: bool,
    mismatches: Findings,
) -> None:
    """Hold attributes against those of the sources: each is some source's, and what all have alike is there.

    Other tools (``foreign``) add some, leave some out, and spell ``_FillValue`` in base64.
    """
    settled: set[str] = set()
    if clock_of(ours) is not None:  # counted anew, or from names
        settled |= TIME_ATTRIBUTES if any(clock_of(one) for one in every) or "units" not in every[0] else set()
        settled |= DERIVED
    for name, value in ours.items():
        if name in settled:
            continue
        told = [one[name] for one in every if name in one]
        if any(same_json(value, one) for one in told):
            continue
        if foreign and name == FILL and any(same_scalar(_decoded(value), _decoded(one)) for one in told):
            continue
        if told:
            sentence = f"{name!r} is {value_text(value)}, and {value_text(told[0])} in its files"
            mismatches.add(Check.ATTRIBUTES, path, sentence)
        elif complete and not foreign:
            mismatches.add(
                Check.ATTRIBUTES, path, f"{name!r} is {value_text(value)}, and no file has such an attribute"
            )
    for name, value in () if foreign else every[0].items():
        alike = all(name in one and same_json(one[name], value) for one in every)
        if alike and complete and name not in ours and name not in settled:
            sentence = f"{name!r} is missing; it is {value_text(value)} in its files"
            mismatches.add(Check.ATTRIBUTES, path, sentence)


def _decoded(value: JSON) -> JSON:
    """Return the number that a ``_FillValue`` in base64 is, as xarray spells floats, or what it is otherwise."""
    try:
        return (
            float(struct.unpack("<d", base64.b64decode(value, validate=True))[0]) if isinstance(value, str) else value
        )
    except (struct.error, binascii.Error, ValueError):
        return value


def _is_fill(ours: Any, theirs: Iterable[Any], *, inlined: bool) -> bool:
    """Whether a fill value may be: some source's, or NaN where these have none; inlined arrays need none."""
    for one in theirs:
        if ours is None or one is None:
            same = ours is one or (one is None and bool(ours != ours))  # noqa: PLR0124  NaN
        else:
            same = same_scalar(ours, one)
        if same:
            return True
    return ours is None and inlined


def _is_native_fill(ours: Any, part: Part, natives: Natives) -> bool:
    """Whether a part's library tells such a fill value, or does not tell."""
    native = natives.get(part.source)
    try:
        found = native.find(part.path, part.array) if native is not None else None
    except NativeError:
        return True
    return found is None or found.fill_values is None or any(same_scalar(ours, one) for one in found.fill_values)


def inlined_values(
    path: str,
    arrays: Mapping[str, VirtualArray],
    values: npt.NDArray[Any],
    arrangement: Arrangement,
    natives: Natives,
    mismatches: Findings,
    unchecked: Findings,
    *,
    foreign: bool,
) -> str:
    """Hold the values of an inlined array against its parts; where several sources overlap, one must have them.

    Times that cannot be counted alike, and values that other tools (``foreign``) give another type, are not compared.

    Returns:
        Why nothing could be compared, or "".
    """
    metadata, parts = arrays[path].metadata, arrangement.parts[path]
    bounded = [one for one, array in arrays.items() if path in bounds_of(one, array.metadata.attributes)]
    own = {name: clock_of(arrays[name].metadata.attributes) for name in (path, *bounded)}
    computed = False
    covered, agreed = (np.zeros(metadata.shape, np.bool_) for _ in range(2))
    shown: npt.NDArray[Any] | None = None
    placed_by_name = metadata.dimension_names == (path.rpartition("/")[2],) and bool(parts)
    for part in parts:
        placed_by_name &= part.array.metadata.shape in {(), (1,)} and _is_replaced(arrays[path], part.array)
        box = part.box(metadata.shape)
        where: Any = (*box, ...)
        mine: npt.NDArray[Any] = values[where]
        try:
            theirs = natives.read(part.source, part.path, part.window(box))
        except NativeError as error:
            computed |= error.message == COMPUTED
            if error.message != COMPUTED:
                unchecked.add(Check.VALUES, path, error.message)
            continue
        if theirs is None:
            continue
        if theirs.size != mine.size:
            mismatches.add(Check.SHAPE, path, f"{mine.shape} of it, and {theirs.shape} in {part.path!r} of the file")
            continue
        theirs = theirs.reshape(mine.shape)
        same = _equal(mine, theirs, _clocks(own, part, arrangement), part)
        known = np.ones(mine.shape, np.bool_)
        if same is None or (foreign and not same_dtype(mine.dtype, theirs.dtype)):
            same = known = _equal_plainly(mine, theirs) if same is None else same
        covered[where] |= known
        agreed[where] |= same
        if shown is None and (known & ~same).any():
            shown = theirs[known & ~same]
    wrong = covered & ~agreed
    if wrong.any() and placed_by_name:
        return BY_NAME
    if wrong.any():
        at = tuple(int(n) for n in np.argwhere(wrong)[0])
        theirs_text = "" if shown is None else f", and {value_text(shown.flat[0])} in its files"
        sentence = f"{int(wrong.sum())} of {wrong.size} values differ, the first at {at}: {value_text(values[at])}"
        mismatches.add(Check.VALUES, path, sentence + theirs_text)
    if computed and not covered.any():
        return COMPUTED
    if covered.size and not covered.any():
        return "its values are in the references themselves, and none of its files is known to have them"
    if not covered.all():
        sentence = (
            f"{int((~covered).sum())} of {covered.size} values are in the references themselves, and not compared"
        )
        unchecked.add(Check.VALUES, path, sentence)
    return ""


def _is_replaced(ours: VirtualArray, theirs: VirtualArray) -> bool:
    """Whether a coordinate does not say what the file's says its numbers mean."""
    one, other = ours.metadata, theirs.metadata
    same = (same_json(one.attributes.get(name), other.attributes.get(name)) for name in VALUE_ATTRIBUTES)
    return not same_dtype(one.data_type, other.data_type) or not all(same)


def _clocks(own: Mapping[str, Clock | None], part: Part, arrangement: Arrangement) -> tuple[Clock, Clock] | None:
    """Return how the document and a source count an array's times: by its units, or by those of what it bounds."""
    for name, ours in own.items():
        for one in arrangement.parts_of(name, part.source) if ours is not None else ():
            theirs = clock_of(one.array.metadata.attributes)
            if ours is not None and theirs is not None and parent_path(one.path) == parent_path(part.path):
                return ours, _in_calendar(theirs, ours.calendar)
    return None


def _in_calendar(clock: Clock, calendar: str) -> Clock:
    """Return a clock in another calendar if that is the same from its epoch on, as the Gregorian two are."""
    since = (clock.epoch.year, clock.epoch.month, clock.epoch.day)
    if {clock.calendar, calendar} != {"standard", PROLEPTIC} or since < GREGORIAN.timetuple()[:3]:
        return clock
    return clock_of({"units": clock.units, "calendar": calendar}) or clock


def _equal(
    ours: npt.NDArray[Any], theirs: npt.NDArray[Any], clocks: tuple[Clock, Clock] | None, part: Part
) -> npt.NDArray[np.bool_] | None:
    """Return which values are the same, or count the same times; None: the times cannot be counted alike."""
    if clocks is not None and {ours.dtype.kind, theirs.dtype.kind} <= set("iuf"):
        try:
            if not clocks[0].counts_like(clocks[1]):
                (theirs,), _ = recounted([theirs], [clocks[1]], onto=clocks[0], metadata=[part.array.metadata])
        except ConflictError:
            return None
        rounded = 1 / MICROSECONDS[clocks[0].unit]
        return np.asarray(np.isclose(ours, theirs, rtol=RELATIVE, atol=rounded, equal_nan=True), np.bool_)
    return _equal_plainly(ours, theirs)


def _equal_plainly(ours: npt.NDArray[Any], theirs: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Return which values are the same; numbers may be of different types."""
    if not same_dtype(ours.dtype, theirs.dtype) and {ours.dtype.kind, theirs.dtype.kind} - set("iuf"):
        return np.zeros(ours.shape, np.bool_)
    return ~differing(ours, theirs)
