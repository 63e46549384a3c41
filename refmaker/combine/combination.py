"""The combination: gathered, checked, placed, compared, and only then built."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from refmaker.combine.axes import Axis, along
from refmaker.combine.building import ROUNDED, coordinate_array, from_chunks, from_values, kept
from refmaker.combine.cf import (
    BOUNDS,
    TIME_ATTRIBUTES,
    VALUE_RANGES,
    bounds_of,
    coordinate_paths,
    packed_by,
    search_path,
)
from refmaker.combine.check import Pieces, compared
from refmaker.combine.conflicts import Conflicts, listed
from refmaker.combine.inputs import Gathered, Input, gather, matches
from refmaker.combine.merge import Comparison, differing, merged_attributes
from refmaker.combine.mosaic import Mosaic
from refmaker.combine.options import CombineOptions
from refmaker.combine.order import Placing
from refmaker.combine.outcome import AxisSummary, Combination, report_of, summary_of, tree_of
from refmaker.combine.reading import Reader
from refmaker.combine.times import clock_of
from refmaker.errors import OptionError
from refmaker.model.array import VirtualArray
from refmaker.model.keys import parent_path
from refmaker.model.reference_set import Note, ReferenceSet

__all__ = ["combination"]


def combination(inputs: Iterable[Input], options: CombineOptions) -> Combination:
    """Return many inputs as one.

    Args:
        inputs: consumed one by one; only their columns are kept.
        options: what is asked; ``refmaker.combine`` says what each means.

    Raises:
        ConflictError: they do not fit; the message lists every reason.
        SourceError: a file cannot be read.
        OptionError: there are no inputs.
    """
    gathered = gather(inputs, options)
    if not gathered.labels:
        raise OptionError("there is nothing to combine")
    return _Work(gathered, options).done()


TWICE = "do they differ along another dimension, to be named by --concat, or is one of them superfluous?"


@dataclass(slots=True)
class _Plan:
    """What becomes of one path: taken from one input (``mosaic`` None), or put together."""

    pieces: Pieces
    mosaic: Mosaic | None = None
    loaded: bool = False
    fill_value: Any = None


class _Work:
    """One combination in progress."""

    def __init__(self, gathered: Gathered, options: CombineOptions) -> None:
        self.gathered = gathered
        self.options = options
        self.conflicts = Conflicts(gathered.labels)
        self.reader = Reader(gathered.sources, gathered.ids, options.storage_options)
        self.notes: list[Note] = []
        self.dropped: set[str] = set()
        self.axes: list[Axis] = []
        self.pieces: dict[str, Pieces] = {}

    def done(self) -> Combination:
        """Return the combination; nothing is built before everything is checked."""
        self._check_sources()
        concat = frozenset(self.options.concat)
        self.pieces = {
            path: compared(path, arrays, concat, self.conflicts) for path, arrays in self.gathered.arrays.items()
        }
        kinds = self.gathered.groups.keys() & self.pieces.keys()
        for path in kinds:
            self.conflicts.add(path, "node", "is a group in some inputs and an array in others")
        if self.gathered.restamped:
            self.conflicts.check()
        before = len(self.conflicts.found)
        placing = Placing(self.gathered, self.pieces, self.options, self.reader, self.conflicts)
        self.axes = placing.axes()
        if not placing.complete or len(self.conflicts.found) > before:
            self.conflicts.check()  # where things belong is not known: what is missing or twice cannot be told
        self.coordinates = self._coordinates()
        self._note_strays()
        self._inherit_clocks()
        plans = self._plans()
        attributes = self._attributes()
        self.conflicts.check()
        arrays = {path: self._built(plan, attributes[path]) for path, plan in plans.items() if path not in self.dropped}
        self._add_coordinates(arrays, attributes)
        groups = {path: attributes[path] for path in self.gathered.groups}
        root = tree_of(groups, arrays)
        report = report_of(self.gathered, root, self.notes, self.dropped)
        references = ReferenceSet(root, tuple(self.gathered.sources), report)
        return Combination(references, len(self.gathered.labels), tuple(self._summaries()))

    # -- what there is -----------------------------------------------------------------------------------------------
    def _check_sources(self) -> None:
        for url, numbers in self.gathered.restamped.items():
            self.conflicts.add(url, "source", f"changed between the scans of "
                               f"{self.conflicts.inputs(numbers)}", "scan it again")  # fmt: skip

    def _note_strays(self) -> None:
        """Note inputs that have no part in what is concatenated: a stray file among others looks like that."""
        on_axes = {number for axis in self.axes for number in (*axis.block_of, *axis.dropped)}
        strays = [number for number in range(len(self.gathered.labels)) if self.axes and number not in on_axes]
        if strays:
            sentence = f"has no dimension that is concatenated, and is only merged: {self.conflicts.inputs(strays)}"
            self.notes.append(Note("", "merged", sentence))

    def _coordinates(self) -> set[str]:
        """Return the paths of arrays that the first input's attributes, or their own names, make coordinates."""
        nodes = [(parent_path(path), pieces.first.attributes) for path, pieces in self.pieces.items()]
        nodes += [(path, next(iter(found.values()))) for path, found in self.gathered.groups.items()]
        named = {path for path, pieces in self.pieces.items() if pieces.dimension_names == (path.rpartition("/")[2],)}
        return named | coordinate_paths(nodes, self.pieces) | {axis.path for axis in self.axes}

    def _inherit_clocks(self) -> None:
        """Tell the bounds of recounted coordinates how these counted."""
        for axis in self.axes:
            coordinate = self.pieces.get(axis.path)
            if coordinate is not None and axis.clock is not None and (axis.recounted or axis.replaced):
                for bounds in self._bounds(coordinate):
                    clocks = {n: clock_of(array.metadata.attributes) for n, array in coordinate.arrays.items()}
                    bounds.inherited = {n: clock for n, clock in clocks.items() if clock is not None}
                    bounds.onto, bounds.bounded = axis.clock, axis.path
                    if None in clocks.values() or not bounds.arrays.keys() <= clocks.keys():
                        self.conflicts.add(bounds.path, "units", f"bound {axis.path!r}, which does not say in all "
                                           "inputs how it counts time", "--exclude it")  # fmt: skip
                    elif packing := packed_by(bounds.first.attributes):
                        self.conflicts.add(bounds.path, "units", f"times are packed ({', '.join(packing)}) and counted "
                                           "differently, which refmaker cannot put right", "--exclude it")  # fmt: skip
            if axis.rounded:
                self.notes.append(Note(axis.path, "rounded", ROUNDED))
        on_axes = {axis.path for axis in self.axes}
        for path, pieces in self.pieces.items():
            if pieces.recounted and path not in on_axes:
                for bounds in self._bounds(pieces):
                    self.conflicts.add(bounds.path, "units", f"bound {path!r}, which counts time differently in some "
                                       "inputs, and have no units of their own", "--exclude it")  # fmt: skip

    def _bounds(self, coordinate: Pieces) -> list[Pieces]:
        """Return the bounds of a coordinate that have no units of their own."""
        paths = {p for a in coordinate.arrays.values() for p in bounds_of(coordinate.path, a.metadata.attributes)}
        known = [self.pieces[path] for path in sorted(paths) if path in self.pieces]
        return [bounds for bounds in known if "units" not in bounds.first.attributes]

    # -- plans -------------------------------------------------------------------------------------------------------
    def _plans(self) -> dict[str, _Plan]:
        """Return what becomes of each path; whatever prevents it becomes a conflict."""
        plans: dict[str, _Plan] = {}
        known = {axis.path: axis for axis in self.axes if axis.values is not None}
        for path, pieces in self.pieces.items():
            if path in known:
                continue
            if pieces.broken:
                continue
            axes = self._axes_of(path, pieces)
            plans[path] = _Plan(pieces, Mosaic(pieces, axes) if axes else None)
        for path, numbers in self._differing(plans).items():
            self._settle(path, sorted(numbers), plans)
        for path, plan in plans.items():
            if plan.mosaic is not None and path not in self.dropped:
                self._check_cells(plan, plan.mosaic)
                self._choose(plan, plan.mosaic)
            elif plan.mosaic is None and (plan.pieces.recounted or plan.pieces.inherited):
                self.conflicts.add(path, "units", "inputs count time differently: --exclude it, or --same keeps the "
                                   "first input's")  # fmt: skip
        for path, axis in known.items():
            if path in self.pieces and (mosaic := self._large(axis)) is not None:
                plans[path] = _Plan(self.pieces[path], mosaic, fill_value=self.pieces[path].first.fill_value)
        return plans

    def _large(self, axis: Axis) -> Mosaic | None:
        """Return how an axis' coordinate variable stays in the files; None: its values are inlined, as is usual."""
        values = axis.values
        if values is None or values.nbytes <= self.options.load_below or axis.replaced or axis.recounted:
            return None
        mosaic = Mosaic(self.pieces[axis.path], (axis,))
        return mosaic if mosaic.misfit(self.conflicts) is None else None

    def _axes_of(self, path: str, pieces: Pieces) -> tuple[Axis, ...]:
        """Return the concatenated dimensions that an array has, or is to get."""
        found = []
        same = matches(path, self.options.same)
        for name in self.options.concat:
            axis = along(self.axes, name, self._groups(path))
            if axis is None:
                continue
            stacked = axis.new and (path not in self.coordinates or axis.path == pieces.bounded)
            stacked = stacked and any(n in axis.block_of or n in axis.dropped for n in pieces.arrays)
            if name in pieces.dimension_names or ((stacked or axis.path == path) and not same):
                found.append(axis)
        return tuple(found)

    def _groups(self, path: str) -> list[str]:
        """Return the groups around an array, from the inside out."""
        return [parent_path(child) for child in search_path("x", parent_path(path))]

    def _differing(self, plans: dict[str, _Plan]) -> dict[str, set[int]]:
        """Return by path the inputs whose piece should be like the first one's of the same cell, and is not."""
        comparisons: list[Comparison] = []
        for path, plan in plans.items():
            if matches(path, self.options.same):
                continue
            arrays = plan.pieces.arrays
            cells = plan.mosaic.cells.values() if plan.mosaic is not None else [list(arrays)]
            small = plan.mosaic is None or plan.mosaic.nbytes <= self.options.load_below or path in self.coordinates
            everywhere = self._everywhere(plan)
            for numbers in cells:
                if len(numbers) > 1 and everywhere and not small:
                    self.conflicts.add(path, "twice", f"the same piece is in {self.conflicts.inputs(numbers)}", TWICE)
                    continue
                comparisons += [Comparison(path, numbers[0], n, arrays[numbers[0]], arrays[n]) for n in numbers[1:]]
        found: dict[str, set[int]] = {}
        for comparison in differing(comparisons, self.reader, self.gathered.labels):
            found.setdefault(comparison.path, set()).add(comparison.other)
        return found

    def _near(self, path: str) -> list[Axis]:
        """Return all axes that an array at ``path`` could have."""
        near = (along(self.axes, name, self._groups(path)) for name in self.options.concat)
        return [axis for axis in near if axis is not None]

    def _settle(self, path: str, numbers: Sequence[int], plans: dict[str, _Plan]) -> None:
        """Do what is asked with an array that inputs hold differently."""
        plan = plans[path]
        policy = self.options.on_differing
        fixed = plan.pieces.dimension_names == (path.rpartition("/")[2],)
        free = [a for a in self._near(path) if plan.mosaic is None or a not in plan.mosaic.axes]
        free = [a for a in free if all(block.length == 1 for block in a.blocks)]
        new = [axis for axis in free if axis.new]
        if free and not fixed and (policy == "stack" or (new and policy == "raise")):
            axes = (*(plan.mosaic.axes if plan.mosaic is not None else ()), *(free if policy == "stack" else new))
            plan.mosaic = Mosaic(plan.pieces, axes)
            return
        who = self.conflicts.inputs(numbers)
        if policy == "first":
            self.notes.append(Note(path, "differing", f"the first input's values are kept; they differ in {who}"))
        elif policy == "drop":
            self.notes.append(Note(path, "differing", f"left out, because values differ in {who}"))
            self.dropped.add(path)
        else:
            what = "coordinate values" if path in self.coordinates else "values"
            name = path.rpartition("/")[2]
            way_out = "--on-differing (first, drop, stack) or --exclude settles it"
            if fixed:
                way_out = f"concatenate along {name!r} too (--concat {name}), or keep the first's: --on-differing first"
            elif self._everywhere(plan):
                way_out = TWICE
            self.conflicts.add(path, what, f"differ from the first input's in {who}", way_out)

    def _everywhere(self, plan: _Plan) -> bool:
        """Whether an array has all axes that it could have, so that two inputs with the same piece are one too many."""
        return plan.mosaic is not None and len(plan.mosaic.axes) == len(self._near(plan.pieces.path))

    def _check_cells(self, plan: _Plan, mosaic: Mosaic) -> None:
        """Check that every cell is filled, or may be absent."""
        plan.fill_value = mosaic.pieces.first.fill_value
        for name, numbers in mosaic.unplaced.items():
            self.conflicts.add(mosaic.path, "place", f"has no place along {name!r} in {self.conflicts.inputs(numbers)}",
                               f"say where inputs belong (--from {name}=...), or leave these out")  # fmt: skip
        missing = list(mosaic.missing_cells())
        if not missing:
            return
        placed: dict[tuple[int, ...], list[int]] = {}
        for number in range(len(self.gathered.labels)):
            cell = tuple(axis.block_of.get(number, -1) for axis in mosaic.axes)
            placed.setdefault(cell, []).append(number)
        lacking = [n for cell in missing for n in placed.get(cell, [])]
        empty = [cell for cell in missing if cell not in placed]
        if lacking and self.options.on_missing_variable == "raise":
            self.conflicts.add(mosaic.path, "missing variable", f"not in {self.conflicts.inputs(lacking)}",
                               "--on-missing-variable fill leaves its chunks absent")  # fmt: skip
            return
        if empty and self.options.join == "exact":
            told = listed([self._cell_text(mosaic, cell) for cell in empty])
            self.conflicts.add(
                mosaic.path, "missing", f"no input for {told}", "--join outer leaves their chunks absent"
            )
            return
        if plan.fill_value is None:
            if mosaic.pieces.first.data_type.kind != "f":
                self.conflicts.add(mosaic.path, "fill value", "has none, so that absent pieces would read as zeros")
                return
            manifests = (tile.array.manifest for tile in mosaic.tiles())
            if any(manifest.present < len(manifest) for manifest in manifests):
                self.conflicts.add(mosaic.path, "fill value", "has none, and some inputs have absent chunks, which are "
                                   "zeros: beside absent pieces they would read as missing")  # fmt: skip
                return
            plan.fill_value = np.array(np.nan, mosaic.pieces.first.data_type.newbyteorder("="))[()]
        pieces = "1 piece is" if len(missing) == 1 else f"{len(missing)} pieces are"
        self.notes.append(Note(mosaic.path, "absent", f"{pieces} in no input and read as fill value"))

    @staticmethod
    def _cell_text(mosaic: Mosaic, cell: tuple[int, ...]) -> str:
        parts = []
        for axis, place in zip(mosaic.axes, cell, strict=True):
            block = axis.blocks[place]
            value = f"block {place}" if block.values is None else axis.text(block.values[block.start])
            parts.append(f"{axis.name} {value}")
        return f"({', '.join(parts)})"

    def _choose(self, plan: _Plan, mosaic: Mosaic) -> None:
        """Decide whether an array is laid out from chunks, or loaded and inlined."""
        if not mosaic.cells:
            self.dropped.add(mosaic.path)
            return
        small = mosaic.nbytes <= self.options.load_below
        if mosaic.pieces.recounted or mosaic.pieces.inherited:
            plan.loaded = True
            if not small:
                self.conflicts.add(mosaic.path, "units", "times are counted differently, and are too many to be loaded",
                                   "--load-below raises the limit")  # fmt: skip
            return
        plan.loaded = small and mosaic.path in self.coordinates
        problem = None if plan.loaded else mosaic.misfit(self.conflicts)
        if small and (problem is not None or mosaic.recut_axis is not None):
            plan.loaded = True
            self.notes.append(Note(mosaic.path, "loaded", "its values are inlined, because its chunks do not line up"))
        elif problem is not None:
            self.conflicts.add(mosaic.path, *problem, "such chunks cannot lie side by side in one Zarr array, and "
                               "refmaker cannot stitch them yet: rewrite the files with equal chunks")  # fmt: skip

    # -- the result --------------------------------------------------------------------------------------------------
    def _attributes(self) -> dict[str, dict[str, Any]]:
        found = {}
        for path, by_group in self.gathered.groups.items():
            found[path], notes = merged_attributes(path, by_group, self.options.attrs, self.conflicts, frozenset())
            self.notes += notes
        for path, pieces in self.pieces.items():
            by_input = {n: array.metadata.attributes for n, array in pieces.arrays.items()}
            ignored = TIME_ATTRIBUTES if clock_of(pieces.first.attributes) is not None else frozenset()
            found[path], notes = merged_attributes(path, by_input, self.options.attrs, self.conflicts, ignored)
            self.notes += notes
            self._drop_stale(pieces, found[path])
        return found

    def _drop_stale(self, pieces: Pieces, attributes: dict[str, Any]) -> None:
        """Drop attributes that hold values as they were counted before, and the bounds of what was replaced."""
        axis = next((axis for axis in self.axes if axis.path == pieces.path), None)
        counted = pieces.recounted or pieces.inherited or (axis is not None and (axis.recounted or axis.replaced))
        stale = [name for name in attributes if counted and name in VALUE_RANGES]
        if axis is not None and axis.replaced and axis.clock is None:
            stale += [name for name in BOUNDS if name in attributes]
        for name in stale:
            del attributes[name]
        if stale:
            self.notes.append(Note(pieces.path, "attribute", f"dropped, because values changed: {listed(stale, 20)}"))

    def _built(self, plan: _Plan, attributes: dict[str, Any]) -> VirtualArray:
        if plan.mosaic is None:
            number, array = next(iter(plan.pieces.arrays.items()))
            return kept(array, self.gathered.ids[number], attributes)
        if not plan.loaded:
            if plan.mosaic.recut_axis is not None:
                length = plan.mosaic.chunk_lengths[plan.mosaic.recut_axis]
                name = plan.mosaic.axes[plan.mosaic.recut_axis].name
                sentence = f"uncompressed chunks of unequal lengths are cut to {length} along {name!r}"
                self.notes.append(Note(plan.pieces.path, "recut", sentence))
            return from_chunks(plan.mosaic, self.gathered.ids, attributes, plan.fill_value)
        return from_values(
            plan.mosaic, self.reader, self.gathered.labels, attributes, plan.fill_value, plan.pieces.onto, self.notes
        )

    def _add_coordinates(self, arrays: dict[str, VirtualArray], attributes: dict[str, dict[str, Any]]) -> None:
        """Add the coordinate variables of the axes."""
        for axis in self.axes:
            values = axis.values
            if values is None or axis.path in arrays:
                continue
            metadata = self.pieces[axis.path].first if axis.path in self.pieces else None
            arrays[axis.path] = coordinate_array(axis, values, metadata, attributes.get(axis.path, {}))

    def _summaries(self) -> Iterable[AxisSummary]:
        return (summary_of(axis) for axis in self.axes)
