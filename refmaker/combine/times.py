"""CF times: values counted in different units, brought to one unit exactly. cftime knows the calendars.

CF conventions, "Time Coordinate": ``<unit> since <epoch>``, and "Calendar". Values become whole microseconds since one
epoch, which is what cftime itself resolves, and then the coarsest unit that still counts them all in whole numbers.
"""

import math
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from refmaker.combine.values import Values
from refmaker.errors import ConflictError
from refmaker.model.array import ArrayMetadata
from refmaker.model.attributes import JSON

__all__ = ["Clock", "are_rounded", "clock_of", "clock_of_dates", "moment_text", "recounted"]

MICROSECONDS = {"days": 86_400_000_000, "hours": 3_600_000_000, "minutes": 60_000_000, "seconds": 1_000_000,
                "milliseconds": 1_000, "microseconds": 1}  # fmt: skip
"""The units that have a fixed length, coarse to fine, in microseconds."""
SPELLINGS = {
    "days": "day days d",
    "hours": "hour hours hr hrs h",
    "minutes": "minute minutes min mins",
    "seconds": "second seconds sec secs s",
    "milliseconds": "millisecond milliseconds millisec millisecs msec msecs ms",
    "microseconds": "microsecond microseconds microsec microsecs",
}
UNITS = {spelling: unit for unit, spellings in SPELLINGS.items() for spelling in spellings.split()}
CALENDARS = {"gregorian": "standard", "365_day": "noleap", "366_day": "all_leap"}
"""CF's second names for calendars."""
MOST_EXACT = 1 << 53
"""Whole numbers up to which float64 is exact."""
INT64 = np.iinfo(np.int64)
NOISE = 4
"""Units in the last place by which products of floats may be wrong."""
PROLEPTIC = "proleptic_gregorian"
GREGORIAN = datetime(1582, 10, 15, tzinfo=UTC)
"""From here on the standard calendar is the proleptic Gregorian one."""


@dataclass(frozen=True, slots=True)
class Clock:
    """How times are counted.

    Attributes:
        unit: one of ``MICROSECONDS``.
        since: the epoch as the units spell it.
        epoch: the epoch, a ``cftime.datetime``.
        calendar: CF's name of it.
    """

    unit: str
    since: str
    epoch: Any
    calendar: str

    @property
    def units(self) -> str:
        """The ``units`` attribute."""
        return f"{self.unit} since {self.since}"

    def counts_like(self, other: "Clock") -> bool:
        """Whether the same number means the same moment."""
        same = self.unit == other.unit and self.calendar == other.calendar
        return same and (self.since == other.since or _apart(self, other) == 0)


def clock_of(attributes: Mapping[str, JSON]) -> Clock | None:
    """Return how an array with these attributes counts time, or None if it does not, or in units of no fixed length."""
    units, calendar = attributes.get("units"), attributes.get("calendar", "standard")
    if not isinstance(units, str) or not isinstance(calendar, str) or " since " not in units:
        return None
    return _clock(units, calendar)


@lru_cache(maxsize=4096)
def _clock(units: str, calendar: str) -> Clock | None:
    found = re.fullmatch(r"\s*(\w+)\s+since\s+(.+?)\s*", units)
    unit = UNITS.get(found[1].lower()) if found else None
    if found is None or unit is None:
        return None
    calendar = CALENDARS.get(calendar.lower(), calendar.lower())
    try:
        epoch = _moment(0, f"{unit} since {found[2]}", calendar)
    except ValueError:
        return None
    return Clock(unit, found[2], epoch, calendar)


def _moment(count: float, units: str, calendar: str) -> Any:
    """Return a ``cftime.datetime``; years before 1, of which cftime warns, are the caller's to accept.

    Raises:
        ValueError: no such units or calendar.
    """
    import cftime

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", cftime.CFWarning)
        return cftime.num2date(count, units, calendar, only_use_cftime_datetimes=True)


def _apart(one: Clock, other: Clock) -> int:
    """Return the microseconds from ``other``'s epoch to ``one``'s."""
    apart: timedelta = one.epoch - other.epoch
    return apart // timedelta(microseconds=1)


def clock_of_dates(dates: Sequence[datetime], calendar: str = PROLEPTIC) -> tuple[Values, Clock]:
    """Return dates (UTC) as whole numbers in the coarsest unit that fits, and that clock.

    Raises:
        ConflictError: the calendar has other days than these dates.
    """
    first = min(dates)
    if calendar != PROLEPTIC and (calendar != "standard" or first < GREGORIAN):
        raise ConflictError(f"dates are of the Gregorian calendar, and its times of calendar {calendar!r}")
    day = first.replace(hour=0, minute=0, second=0, microsecond=0)
    clock = _clock(f"days since {day.year:04d}-{day.month:02d}-{day.day:02d}", calendar)
    if clock is None:
        raise ValueError(f"{first} is no date")
    micro = np.array([(date - day) // timedelta(microseconds=1) for date in dates], np.int64)
    unit = _coarsest(micro, list(MICROSECONDS))
    return micro // MICROSECONDS[unit], Clock(unit, clock.since, clock.epoch, clock.calendar)


def recounted(
    counts: Sequence[Values],
    clocks: Sequence[Clock],
    *,
    onto: Clock | None = None,
    metadata: Sequence[ArrayMetadata | None] = (),
) -> tuple[list[Values], Clock]:
    """Return times that different clocks of one calendar count, as one clock counts them; and that clock.

    It is ``onto``; else the first one, in its unit, or in a finer one if some time is not a whole number of it.
    Values that are no numbers (NaN), and the fill and missing values of ``metadata`` (one for each of ``counts``, or
    none), stay so. Whole counts of integers stay integers; those of floats are exact floats.

    Raises:
        ConflictError: there are two calendars, or times that cannot be counted so.
    """
    origin = onto or clocks[0]
    if odd := {clock.calendar for clock in clocks} - {origin.calendar}:
        raise ConflictError(f"times are of calendar {origin.calendar!r} and of {' and '.join(sorted(odd))!r}")
    markers = [_markers(one) for one in metadata] or [()] * len(counts)
    blanks = [_blank(count, marks) for count, marks in zip(counts, markers, strict=True)]
    micro = [_microseconds(*three, origin) for three in zip(counts, blanks, clocks, strict=True)]
    unit = origin.unit
    if onto is None:
        finer = list(MICROSECONDS)[list(MICROSECONDS).index(unit) :]
        unit = _coarsest(np.concatenate([m[~blank] for m, blank in zip(micro, blanks, strict=True)]), finer)
    floating = any(count.dtype.kind == "f" for count in counts)
    whole = [_counted(m, unit, floating) for m in micro]
    common = np.result_type(*whole)
    found = []
    for count, blank, marks, one in zip(counts, blanks, markers, whole, strict=True):
        if blank.any():
            one = _refilled(one.astype(common), count, blank)  # noqa: PLW2901
        if (_blank(one, marks) & ~blank).any():
            raise ConflictError("counted from another epoch, a time would be the same number as the fill value")
        found.append(one)
    return found, Clock(unit, origin.since, origin.epoch, origin.calendar)


def are_rounded(counts: Sequence[Values], clocks: Sequence[Clock], metadata: Sequence[ArrayMetadata | None]) -> bool:
    """Whether recounting loses parts of microseconds that are more than float noise."""
    for count, clock, one in zip(counts, clocks, metadata, strict=True):
        if count.dtype.kind == "f":
            exact = count[~_blank(count, _markers(one))].astype(np.float64) * MICROSECONDS[clock.unit]
            if (np.abs(exact - np.rint(exact)) > NOISE * np.spacing(np.abs(exact))).any():
                return True
    return False


def _markers(metadata: ArrayMetadata | None) -> tuple[Any, ...]:
    """Return the numbers that stand for no value."""
    if metadata is None:
        return ()
    found = [metadata.fill_value, *(metadata.attributes.get(name) for name in ("_FillValue", "missing_value"))]
    arrays = [np.asarray(value).ravel() for value in found if value is not None]
    return tuple(value for array in arrays if array.dtype.kind in "iuf" for value in array)


def _blank(count: Values, markers: Sequence[Any]) -> npt.NDArray[np.bool_]:
    """Return which elements are no numbers, or stand for no value."""
    blank = np.isnan(count) if count.dtype.kind == "f" else np.zeros(count.shape, np.bool_)
    for marker in markers:
        with np.errstate(over="ignore", invalid="ignore"):
            blank |= count == (np.asarray(marker).astype(count.dtype) if count.dtype.kind == "f" else marker)
    return blank


def _refilled(found: Values, count: Values, blank: npt.NDArray[np.bool_]) -> Values:
    """Return recounted times with the original numbers where these stand for no value."""
    kept = count[blank]
    if found.dtype.kind != "f" and kept.dtype.kind == "u" and int(kept.max()) > INT64.max:
        raise ConflictError(f"the fill value {kept.max()} is too large for recounted times")
    found = found.astype(np.float64) if kept.dtype.kind == "f" else found
    found[blank] = kept.astype(found.dtype)
    return found


def _microseconds(count: Values, blank: npt.NDArray[np.bool_], clock: Clock, origin: Clock) -> npt.NDArray[np.int64]:
    """Return times as microseconds since the origin's epoch; zero for those that are none.

    Raises:
        ConflictError: some are too many for 64 bits.
    """
    length, apart = MICROSECONDS[clock.unit], _apart(clock, origin)
    known = np.where(blank, np.zeros((), count.dtype), count)
    rough = np.abs(known.astype(np.float64)) * length + abs(apart)
    if not (rough < float(INT64.max // 2)).all():
        raise ConflictError(f"some times are too many {clock.unit} from {origin.since} to be counted in microseconds")
    whole = known.astype(np.int64) * length if count.dtype.kind in "iu" else np.rint(known.astype(np.float64) * length)
    micro: npt.NDArray[np.int64] = whole.astype(np.int64) + apart
    micro[blank] = 0
    return micro


def _coarsest(micro: npt.NDArray[np.int64], units: Sequence[str]) -> str:
    return next((unit for unit in units if not (micro % MICROSECONDS[unit]).any()), "microseconds")


def _counted(micro: npt.NDArray[np.int64], unit: str, floating: bool) -> Values:
    length = MICROSECONDS[unit]
    if (micro % length).any():
        return micro / length
    whole = micro // length
    exact = not whole.size or int(np.abs(whole).max()) <= MOST_EXACT
    return whole.astype(np.float64) if floating and exact else whole


def moment_text(value: Any, clock: Clock | None) -> str:
    """Return one coordinate value for people: a date if it is a time."""
    if clock is None or not isinstance(value, int | float) or not math.isfinite(value):
        return f"{value:.10g}" if isinstance(value, float) else str(value)
    try:
        moment = _moment(value, clock.units, clock.calendar)
    except (ValueError, OverflowError):
        return str(value)
    text: str = moment.isoformat()
    return text.removesuffix("T00:00:00")
