"""CF times: values counted in different units, brought to one unit exactly. cftime knows the calendars.

CF conventions, "Time Coordinate": ``<unit> since <epoch>``, and "Calendar". Values become whole microseconds since one
epoch, which is what cftime itself resolves, and then the coarsest unit that still counts them all in whole numbers.
"""

import math
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from refmaker.combine.values import Values
from refmaker.model.attributes import JSON

__all__ = ["Clock", "clock_of", "clock_of_dates", "moment_text", "recounted"]

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


def clock_of_dates(dates: Sequence[datetime]) -> tuple[Values, Clock]:
    """Return dates (UTC) as whole numbers in the coarsest unit that fits, and that clock."""
    first = min(dates)
    day = first.replace(hour=0, minute=0, second=0, microsecond=0)
    clock = _clock(f"days since {day.year:04d}-{day.month:02d}-{day.day:02d}", "proleptic_gregorian")
    if clock is None:
        raise ValueError(f"{first} is no date")
    micro = np.array([(date - day) // timedelta(microseconds=1) for date in dates], np.int64)
    unit = _coarsest(micro, list(MICROSECONDS))
    return micro // MICROSECONDS[unit], Clock(unit, clock.since, clock.epoch, clock.calendar)


def recounted(
    counts: Sequence[Values], clocks: Sequence[Clock], *, onto: Clock | None = None
) -> tuple[list[Values], Clock]:
    """Return times that different clocks of one calendar count, as one clock counts them; and that clock.

    It is ``onto``; else the first one, in its unit, or in a finer one if some time is not a whole number of it.
    Values that are no numbers (NaN) stay so. Whole counts of integers stay integers; those of floats are exact floats.
    """
    origin = onto or clocks[0]
    micro = [_microseconds(count, clock, origin) for count, clock in zip(counts, clocks, strict=True)]
    unit = origin.unit
    if onto is None:
        known = [m[~np.isnan(m)] if m.dtype.kind == "f" else m.ravel() for m in micro]
        finer = list(MICROSECONDS)[list(MICROSECONDS).index(unit) :]
        unit = _coarsest(np.concatenate([m.astype(np.int64) for m in known]), finer)
    floating = any(np.asarray(count).dtype.kind == "f" for count in counts)
    return [_counted(m, unit, floating) for m in micro], Clock(unit, origin.since, origin.epoch, origin.calendar)


def _microseconds(count: Values, clock: Clock, origin: Clock) -> Values:
    """Return times as microseconds since the origin's epoch: int64, or float64 with NaN where some are no numbers."""
    length, apart = MICROSECONDS[clock.unit], _apart(clock, origin)
    if count.dtype.kind in "iu":
        micro: Values = count.astype(np.int64) * length + apart
        return micro
    whole = np.rint(count.astype(np.float64) * length) + apart
    return whole if np.isnan(whole).any() else whole.astype(np.int64)


def _coarsest(micro: npt.NDArray[np.int64], units: Sequence[str]) -> str:
    return next((unit for unit in units if not (micro % MICROSECONDS[unit]).any()), "microseconds")


def _counted(micro: Values, unit: str, floating: bool) -> Values:
    length = MICROSECONDS[unit]
    if micro.dtype.kind == "f":
        return micro / length
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
