"""What the inputs hold, node by node: they are consumed one at a time, and only their columns are kept."""

import fnmatch
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from refmaker.combine.options import CombineOptions
from refmaker.combine.placement import Key
from refmaker.model.array import VirtualArray
from refmaker.model.attributes import JSON
from refmaker.model.group import VirtualGroup, walk
from refmaker.model.reference_set import DatasetReport, Note, ReferenceSet, SourceFile

__all__ = ["Gathered", "Input", "gather", "matches"]


@dataclass(frozen=True, slots=True)
class Input:
    """One of the things to combine.

    Attributes:
        label: what messages call it: a path or URL.
        references: what it holds.
        settled: it is a combination already, to which others are appended: its own coordinates say where it belongs.
    """

    label: str
    references: ReferenceSet
    settled: bool = False


@dataclass(slots=True)
class Gathered:
    """All inputs, turned round: for each node, what every input has there. Inputs are numbered from 0.

    Attributes:
        labels: by input.
        settled: the inputs whose own coordinates count.
        keys: for each dimension placed otherwise than by values, where each input belongs.
        ids: by input, from its location ids to those of ``sources``; None where they are the same.
        sources: every file, once.
        restamped: URLs that two inputs recorded as different files (size, entity tag, time), with the inputs.
        groups: path -> input -> attributes.
        arrays: path -> input -> array.
        datasets: path -> what the first input's report says of it; skipped ones win.
        skipped: path -> how many inputs skipped it.
        notes: each distinct note with the number of inputs that had it.
    """

    labels: list[str] = field(default_factory=list)
    settled: set[int] = field(default_factory=set)
    keys: dict[str, dict[int, Key]] = field(default_factory=dict)
    ids: list[npt.NDArray[np.uint32] | None] = field(default_factory=list)
    sources: list[SourceFile] = field(default_factory=list)
    restamped: dict[str, set[int]] = field(default_factory=dict)
    groups: dict[str, dict[int, Mapping[str, JSON]]] = field(default_factory=dict)
    arrays: dict[str, dict[int, VirtualArray]] = field(default_factory=dict)
    datasets: dict[str, DatasetReport] = field(default_factory=dict)
    skipped: dict[str, int] = field(default_factory=dict)
    notes: dict[Note, int] = field(default_factory=dict)


def matches(path: str, globs: Iterable[str]) -> bool:
    """Whether a path, or its last name, matches one of the globs."""
    name = path.rpartition("/")[2]
    return any(fnmatch.fnmatchcase(path, glob) or fnmatch.fnmatchcase(name, glob) for glob in globs)


def gather(inputs: Iterable[Input], options: CombineOptions) -> Gathered:
    """Return what the inputs hold; they are taken one by one and not kept."""
    found = Gathered(keys={name: {} for name in options.placements})
    known: dict[str, tuple[int, int]] = {}
    for number, item in enumerate(inputs):
        found.labels.append(item.label)
        if item.settled:
            found.settled.add(number)
        for name, placement in options.placements.items():
            if not item.settled:
                found.keys[name][number] = placement.key_of(item.label, item.references, name)
        _add_sources(found, known, number, item.references)
        for path, node in walk(item.references.root):
            if isinstance(node, VirtualGroup):
                found.groups.setdefault(path, {})[number] = node.attributes
            elif _wanted(path, options):
                whole = node.manifest.whole()
                found.arrays.setdefault(path, {})[number] = (
                    node if whole is node.manifest else VirtualArray(node.metadata, whole)
                )
        for dataset in item.references.report.datasets:
            path = dataset.path.strip("/")
            if dataset.reason:
                found.skipped[path] = found.skipped.get(path, 0) + 1
                found.datasets[path] = dataset
            else:
                found.datasets.setdefault(path, dataset)
        for note in item.references.report.notes:
            found.notes[note] = found.notes.get(note, 0) + 1
    return found


def _wanted(path: str, options: CombineOptions) -> bool:
    if options.include and not matches(path, options.include):
        return False
    return not matches(path, options.exclude)


def _add_sources(found: Gathered, known: dict[str, tuple[int, int]], number: int, references: ReferenceSet) -> None:
    """Enter an input's files into the one table; ``known`` is URL -> (id, the input that first had it)."""
    ids = np.empty(len(references.sources), np.uint32)
    for place, source in enumerate(references.sources):
        entry = known.get(source.url)
        if entry is None:
            known[source.url] = len(found.sources), number
            ids[place] = len(found.sources)
            found.sources.append(source)
            continue
        ids[place] = entry[0]
        before = found.sources[entry[0]]
        if any(None not in pair and pair[0] != pair[1] for pair in _stamps(before, source)):
            found.restamped.setdefault(source.url, {entry[1]}).add(number)
        elif before.size is None:
            found.sources[entry[0]] = replace(source)
    found.ids.append(None if np.array_equal(ids, np.arange(ids.size)) else ids)


def _stamps(one: SourceFile, other: SourceFile) -> tuple[tuple[object, object], ...]:
    return (one.size, other.size), (one.etag, other.etag), (one.last_modified, other.last_modified)
