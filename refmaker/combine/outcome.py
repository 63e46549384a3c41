"""What a combination gives: one tree, one report, and what there is to say of each concatenated dimension."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from refmaker.combine.axes import Axis
from refmaker.combine.inputs import Gathered
from refmaker.model.array import VirtualArray
from refmaker.model.attributes import JSON
from refmaker.model.group import VirtualGroup, walk_arrays
from refmaker.model.keys import child_path, parent_path
from refmaker.model.reference_set import DatasetReport, DatasetState, Note, ReferenceSet, ScanReport

__all__ = ["AxisSummary", "Combination", "report_of", "summary_of", "tree_of"]


@dataclass(frozen=True, slots=True)
class AxisSummary:
    """A concatenated dimension.

    Attributes:
        path: of its coordinate variable, whether there is one or not.
        length: rows.
        blocks: runs of rows that came from different inputs.
        first: the first coordinate value for people, or None.
        last: the last one, or None.
        gaps: sentences about missing steps.
        dropped: inputs of which no row was taken.
    """

    path: str
    length: int
    blocks: int
    first: str | None
    last: str | None
    gaps: tuple[str, ...]
    dropped: int


@dataclass(frozen=True, slots=True)
class Combination:
    """Many inputs as one.

    Attributes:
        references: the data set.
        inputs: how many there were.
        axes: the concatenated dimensions.
    """

    references: ReferenceSet
    inputs: int
    axes: tuple[AxisSummary, ...]


def summary_of(axis: Axis) -> AxisSummary:
    """Return what there is to say of an axis."""
    values = axis.values
    known = values is not None and values.size
    return AxisSummary(
        path=axis.path,
        length=axis.length,
        blocks=len(axis.blocks),
        first=axis.text(values[0]) if values is not None and known else None,
        last=axis.text(values[-1]) if values is not None and known else None,
        gaps=tuple(axis.gaps),
        dropped=len(axis.dropped),
    )


def tree_of(groups: Mapping[str, Mapping[str, JSON]], arrays: Mapping[str, VirtualArray]) -> VirtualGroup:
    """Return the tree of groups (path to attributes; the root is ``""``) and arrays by path."""
    inside: dict[str, dict[str, VirtualArray]] = {}
    for path, array in arrays.items():
        inside.setdefault(parent_path(path), {})[path.rpartition("/")[2]] = array
    below: dict[str, dict[str, VirtualGroup]] = {}
    root = VirtualGroup()
    for path in sorted(groups, key=lambda path: -path.count("/") - bool(path)):
        found = below.get(path, {})
        ordered = {name: found[name] for name in _names(groups, path) if name in found}
        group = VirtualGroup(inside.get(path, {}), ordered, groups[path])
        if path:
            below.setdefault(parent_path(path), {})[path.rpartition("/")[2]] = group
        else:
            root = group
    return root


def _names(groups: Iterable[str], parent: str) -> Iterable[str]:
    """Return the names of the groups right below one, in the order in which they were met."""
    return (path.rpartition("/")[2] for path in groups if path and parent_path(path) == parent)


def report_of(gathered: Gathered, root: VirtualGroup, notes: Sequence[Note], dropped: set[str]) -> ScanReport:
    """Return the state of every array of the result and of what was skipped, and all notes, those of inputs counted."""
    datasets = []
    there = set()
    for path, array in walk_arrays(root):
        there.add(path)
        before = gathered.datasets.get(path)
        referenced = bool(array.manifest.location_ids().size) or not array.manifest.present
        state = DatasetState.REFERENCED if referenced else DatasetState.INLINED
        if referenced and before is not None and before.state is DatasetState.LINKED:
            state = DatasetState.LINKED
        own = tuple(codec.id for codec in array.metadata.codecs if not codec.stock)
        datasets.append(DatasetReport(path, state, codecs=own))
    for path, count in gathered.skipped.items():
        before = gathered.datasets[path]
        name = child_path("", path)
        if path not in there and path not in dropped:
            reason = before.reason if count == len(gathered.labels) == 1 else f"{before.reason} (in {count} inputs)"
            datasets.append(replace(before, path=name, reason=reason))
    told = [
        note if count == 1 else replace(note, sentence=f"{note.sentence} (in {count} inputs)")
        for note, count in gathered.notes.items()
    ]
    return ScanReport(tuple(datasets), (*told, *notes))
