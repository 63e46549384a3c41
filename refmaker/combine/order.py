"""Placing the inputs along the dimensions that are to be concatenated."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np

from refmaker.combine.axes import Axis, Run, ordered
from refmaker.combine.cf import packed_by, search_path
from refmaker.combine.check import Pieces
from refmaker.combine.conflicts import Conflicts
from refmaker.combine.inputs import Gathered
from refmaker.combine.options import CombineOptions
from refmaker.combine.overlaps import check_distinct, check_order, find_gaps, trim
from refmaker.combine.placement import FromPosition, FromValues, Key, Placement
from refmaker.combine.reading import Reader
from refmaker.combine.times import GREGORIAN, PROLEPTIC, Clock, are_rounded, clock_of, clock_of_dates, recounted
from refmaker.combine.values import Values
from refmaker.errors import ConflictError
from refmaker.model.keys import child_path, parent_path

__all__ = ["Placing"]

Lengths = dict[int, int]
"""Input -> rows along a dimension."""


class Placing:
    """Finds the axes of a combination; what does not fit becomes conflicts.

    Attributes:
        complete: all axes that were asked for have been found.
    """

    def __init__(
        self,
        gathered: Gathered,
        pieces: Mapping[str, Pieces],
        options: CombineOptions,
        reader: Reader,
        conflicts: Conflicts,
    ) -> None:
        self._gathered = gathered
        self._pieces = pieces
        self._options = options
        self._reader = reader
        self._conflicts = conflicts
        self.complete = True

    def axes(self) -> list[Axis]:
        """Return all axes, in the order of the option; those by position are placed last, within all others."""
        found: dict[tuple[int, str], Axis] = {}
        last = [name for name in self._options.concat if isinstance(self._placement(name), FromPosition)]
        for name in (*(name for name in self._options.concat if name not in last), *last):
            scopes, new = self._scopes(name)
            if not scopes:
                self.complete = False
                self._conflicts.add(name, "dimension", "no input has it, nor a scalar variable of that name",
                                    f"say where inputs belong along it (--from {name}=name:REGEX, ...)")  # fmt: skip
            for scope, lengths in scopes.items():
                axis = self._axis(name, scope, lengths, new, list(found.values()))
                if axis is None:
                    self.complete = False
                else:
                    found[self._options.concat.index(name), scope] = axis
        return [found[key] for key in sorted(found)]

    def _placement(self, name: str) -> Placement:
        return self._options.place.get(name, FromValues())

    # -- who is on an axis -----------------------------------------------------------------------------------------
    def _scopes(self, name: str) -> tuple[dict[str, Lengths], bool]:
        """Return by group the inputs' lengths along a dimension, and whether it is a new one."""
        scopes: dict[str, Lengths] = {}
        for path, pieces in self._pieces.items():
            if name in pieces.dimension_names:
                lengths = scopes.setdefault(self._scope(name, parent_path(path)), {})
                for number, array in pieces.arrays.items():
                    metadata = array.metadata
                    if name in metadata.dimension_names:
                        length = metadata.shape[metadata.dimension_names.index(name)]
                        if lengths.setdefault(number, length) != length:
                            self._conflicts.add(path, "size", f"{length} along {name!r}, where another array of "
                                                f"{self._conflicts.name(number)} has {lengths[number]}")  # fmt: skip
        new = not scopes
        if new:
            scopes = {
                parent_path(path): {}
                for path, pieces in self._pieces.items()
                if path.rpartition("/")[2] == name and not pieces.dimension_names
            }
            if not scopes and not isinstance(self._placement(name), FromValues):
                scopes = {"": {}}
        for scope, lengths in scopes.items():
            self._add_scalars(name, scope, lengths, new)
        return scopes, new

    def _scope(self, name: str, group: str) -> str:
        """Return the nearest group that has the dimension's coordinate variable; else the array's own."""
        for path in search_path(name, group):
            if path in self._pieces and len(self._pieces[path].dimension_names) <= 1:
                return parent_path(path)
        return group

    def _add_scalars(self, name: str, scope: str, lengths: Lengths, new: bool) -> None:
        """Enter the inputs that have one row along a dimension because they are one."""
        coordinate = self._pieces.get(child_path(scope, name))
        placement = self._placement(name)
        keys = self._gathered.keys.get(name, {})
        for number in range(len(self._gathered.labels)):
            scalar = coordinate is not None and number in coordinate.arrays
            keyed = keys.get(number) is not None or (new and not isinstance(placement, FromValues))
            keyed = keyed or (isinstance(placement, FromPosition) and self._lacks(name, scope, number))
            if number not in lengths and (scalar or keyed):
                lengths[number] = 1

    def _lacks(self, name: str, scope: str, number: int) -> bool:
        """Whether an input has an array without a dimension that others of the same path have."""
        return any(
            number in pieces.arrays
            and name not in pieces.arrays[number].metadata.dimension_names
            and self._scope(name, parent_path(path)) == scope
            for path, pieces in self._pieces.items()
            if name in pieces.dimension_names
        )

    # -- one axis ----------------------------------------------------------------------------------------------------
    def _axis(self, name: str, scope: str, lengths: Lengths, new: bool, others: Sequence[Axis]) -> Axis | None:
        axis = Axis(name, scope, new, [], {})
        placement = self._placement(name)
        by_values = isinstance(placement, FromValues)
        values = self._values(axis, lengths)
        if values is None:
            return None
        if isinstance(placement, FromPosition):
            keys: dict[int, Any] = _positions(lengths, others)
            runs = [Run(n, length, values.get(n), keys[n]) for n, length in sorted(lengths.items())]
        elif by_values:
            if missing := [number for number in lengths if number not in values]:
                self._conflicts.add(axis.path, "coordinate", f"no such variable in {self._conflicts.inputs(missing)}",
                                    f"say where they belong (--from {name}=position, ...)")  # fmt: skip
                return None
            empty = [number for number, length in lengths.items() if not length]
            axis.dropped.update(empty)
            runs = [
                Run(n, length, values[n], values[n][0].item() if isinstance(values[n][0], np.generic) else values[n][0])
                for n, length in sorted(lengths.items())
                if length
            ]
        else:
            keyed = self._keyed(axis, placement, lengths, values)
            if keyed is None:
                return None
            runs = keyed
        axis.blocks = ordered(runs, by_values=by_values)
        axis.number()
        if axis.values is not None and not isinstance(placement, FromPosition):
            self._settle_overlaps(axis)
        find_gaps(axis)
        if axis.gaps and self._options.on_gap == "raise":
            self._conflicts.add(axis.path, "gap", "; ".join(axis.gaps))
        return axis

    def _settle_overlaps(self, axis: Axis) -> None:
        values = axis.values
        if values is not None and values.dtype.kind in "OUS":  # text has no order of its own: only twice is wrong
            check_distinct(axis, self._conflicts)
            return
        if self._options.on_overlap != "raise":
            trim(axis, self._options.on_overlap, self._conflicts)
            axis.number()
        check_order(axis, self._conflicts)

    # -- values ------------------------------------------------------------------------------------------------------
    def _values(self, axis: Axis, lengths: Lengths) -> dict[int, Values] | None:
        """Return the coordinate values of the inputs on an axis, counted alike; None after a conflict."""
        coordinate = self._pieces.get(axis.path)
        if coordinate is None or len(coordinate.dimension_names) > 1:
            return {}
        wanted = [(array, number) for number, array in coordinate.arrays.items() if number in lengths]
        loaded = self._reader.values(wanted, self._gathered.labels, axis.path)
        found = {n: np.atleast_1d(values) for (_, n), values in zip(wanted, loaded, strict=True)}
        wrong = [number for number, values in found.items() if len(values) != lengths[number]]
        if wrong:
            self._conflicts.add(
                axis.path, "size", f"is not as long as the dimension in {self._conflicts.inputs(wrong)}"
            )
            return None
        clocks = {n: clock_of(coordinate.arrays[n].metadata.attributes) for n in found}
        first = next(iter(clocks.values()), None)
        if any((clock and clock.calendar) != (first and first.calendar) for clock in clocks.values()):
            return None  # the comparison of metadata has told already
        if first is None:
            return _one_type(found)
        axis.clock = first
        if coordinate.recounted:
            known = [clock for clock in clocks.values() if clock is not None]
            metadata = [coordinate.arrays[n].metadata for n in found]
            try:
                counts, axis.clock = recounted(list(found.values()), known, metadata=metadata)
            except ConflictError as error:
                self._conflicts.add(axis.path, "units", error.message)
                return None
            axis.recounted = True
            axis.rounded = are_rounded(list(found.values()), known, metadata)
            return _one_type(dict(zip(found, counts, strict=True)))
        return _one_type(found)

    def _keyed(self, axis: Axis, placement: Placement, lengths: Lengths, values: dict[int, Values]) -> list[Run] | None:
        """Return the runs of inputs that say themselves where they belong; None after a conflict."""
        known = self._gathered.keys[axis.name]
        silent = [n for n in lengths if n not in self._gathered.settled and known.get(n) is None]
        if silent:
            self._conflicts.add(
                axis.path, "place", f"{placement.described()} does not say, for {self._conflicts.inputs(silent)}"
            )
            return None
        keys: dict[int, Key] = {n: known[n] for n in lengths if n not in self._gathered.settled}
        settled = {n: values[n] for n in lengths if n in self._gathered.settled and n in values}
        kinds = {_kind(key) for key in keys.values()}
        if len(kinds) > 1:
            self._conflicts.add(axis.path, "place", f"{placement.described()} gives {' and '.join(sorted(kinds))}")
            return None
        single = all(lengths[n] == 1 for n in keys)
        try:
            counted, clock, alike = self._counted(axis, keys, settled)
        except ConflictError as error:
            self._conflicts.add(axis.path, "place", error.message)
            return None
        if single:
            axis.recounted = axis.recounted or (axis.clock is not None and bool(settled))
            axis.clock, settled = clock, alike
        runs = [Run(n, lengths[n], v, k[0] if k.dtype.hasobject else k[0].item())
                for (n, v), k in zip(settled.items(), alike.values(), strict=True)]  # fmt: skip
        for number, key in counted.items():
            own = _vector([key]) if single else values.get(number)
            runs.append(Run(number, lengths[number], own, key))
        axis.replaced = single
        return sorted(runs, key=lambda run: run.number)

    def _counted(
        self, axis: Axis, keys: Mapping[int, Key], settled: dict[int, Values]
    ) -> tuple[dict[int, Any], Clock | None, dict[int, Values]]:
        """Return keys, dates as counts of a clock; that clock; and the values of settled inputs as it counts them.

        Raises:
            ConflictError: settled inputs have values that cannot be compared with the keys.
        """
        dates = {number: key for number, key in keys.items() if isinstance(key, datetime)}
        if settled and axis.path in self._pieces and (packing := packed_by(self._pieces[axis.path].first.attributes)):
            raise ConflictError(f"the coordinate that is appended to is packed ({', '.join(packing)})")
        if settled and keys and bool(dates) != (axis.clock is not None):
            kinds = ("dates", "no times") if dates else ("no dates", "times")
            raise ConflictError(f"places are {kinds[0]}, but the coordinate that is appended to holds {kinds[1]}")
        if not dates:
            return dict(keys), axis.clock if settled else None, settled
        own = axis.clock.calendar if axis.clock is not None else PROLEPTIC
        if not settled and (own != "standard" or min(dates.values()) < GREGORIAN):
            own = PROLEPTIC
        counts, clock = clock_of_dates(list(dates.values()), own)
        if not settled or axis.clock is None:
            return dict(zip(dates, counts.tolist(), strict=True)), clock, settled
        arrays = [*settled.values(), *(np.array([count]) for count in counts)]
        clocks = [*[axis.clock] * len(settled), *[clock] * len(dates)]
        known = [self._pieces[axis.path].arrays[n].metadata for n in settled]
        alike, clock = recounted(arrays, clocks, metadata=[*known, *[None] * len(dates)])
        behind = alike[len(settled) :]
        return (
            {n: count[0].item() for n, count in zip(dates, behind, strict=True)},
            clock,
            dict(zip(settled, alike, strict=False)),
        )


def _positions(lengths: Lengths, others: Sequence[Axis]) -> dict[int, int]:
    """Return each input's rank among those that are at the same place along all other axes."""
    counts: dict[tuple[int | None, ...], int] = {}
    found = {}
    for number in sorted(lengths):
        place = tuple(axis.block_of.get(number) for axis in others)
        found[number] = counts[place] = counts.get(place, -1) + 1
    return found


def _kind(key: Key) -> str:
    return "dates" if isinstance(key, datetime) else "text" if isinstance(key, str) else "numbers"


def _vector(values: Sequence[Any]) -> Values:
    """Return coordinate values as an array; text as objects."""
    return np.array(values, object if any(isinstance(value, str) for value in values) else None)


def _one_type(found: dict[int, Values]) -> dict[int, Values]:
    """Return values in one data type, where they are numbers; byte orders and widths may have differed."""
    types = {values.dtype for values in found.values()}
    if len(types) < 2 or any(data_type.kind not in "iuf" for data_type in types):
        return found
    common = np.result_type(*types)
    return {number: values.astype(common) for number, values in found.items()}
