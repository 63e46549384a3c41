"""Things that all inputs should have alike: attributes, and arrays that do not vary along what is concatenated."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from refmaker.combine.conflicts import Conflicts, listed
from refmaker.combine.decoders import decoding
from refmaker.combine.options import Attrs
from refmaker.combine.reading import Chunks, Reader
from refmaker.combine.values import same_values, values_of
from refmaker.errors import RefmakerError
from refmaker.model.array import VirtualArray
from refmaker.model.attributes import JSON
from refmaker.model.reference_set import Note

__all__ = ["Comparison", "differing", "merged_attributes"]

Attributes = Mapping[str, JSON]


def merged_attributes(
    path: str, by_input: Mapping[int, Attributes], policy: Attrs, conflicts: Conflicts, ignored: frozenset[str]
) -> tuple[dict[str, JSON], list[Note]]:
    """Return one node's attributes and a note of those that differ; with ``"identical"`` they become conflicts.

    Args:
        path: the node's.
        by_input: the attributes, by input.
        policy: ``"first"`` keeps those of the first input; ``"drop-conflicts"`` those that no two inputs have
            differently.
        conflicts: collects.
        ignored: names that are settled elsewhere; the first input's stay.
    """
    first = next(iter(by_input.values()))
    odd: dict[str, None] = {}
    union = dict(first)
    for attributes in by_input.values():
        if attributes is first or attributes == first:
            continue
        for name in (*attributes, *(name for name in first if name not in attributes)):
            mine, theirs = first.get(name), attributes.get(name)
            if name not in ignored and repr(mine) != repr(theirs):
                if policy != "drop-conflicts" or (name in union and name in attributes and union[name] != theirs):
                    odd[name] = None
                union.setdefault(name, theirs)
    if policy == "identical":
        for name in odd:
            holders: dict[str, list[int]] = {}
            for number, attributes in by_input.items():
                holders.setdefault(_brief(attributes.get(name)), []).append(number)
            conflicts.differing(path, f"attribute {name!r}", holders)
    if not odd:
        return dict(union if policy == "drop-conflicts" else first), []
    if policy == "drop-conflicts":
        note = Note(path, "attribute", f"dropped, because inputs differ: {listed(list(odd), 20)}")
        return {name: value for name, value in union.items() if name not in odd}, [note]
    note = Note(path, "attribute", f"inputs differ, the first one's are kept: {listed(list(odd), 20)}")
    return dict(first), [note]


def _brief(value: JSON) -> str:
    text = "none" if value is None else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two inputs' pieces that should hold the same values."""

    path: str
    one: int
    other: int
    first: VirtualArray
    second: VirtualArray


def differing(comparisons: Sequence[Comparison], reader: Reader, labels: Sequence[str]) -> Iterator[Comparison]:
    """Yield the comparisons whose values differ.

    Stored bytes are compared first, and decoded only where they differ. All files are read in few rounds.
    """
    used: dict[tuple[str, int], Any] = {}
    for c in comparisons:
        if (c.path, c.one) not in used:
            used[c.path, c.one] = _sources_of(c.first, reader.ids[c.one])
    pending = [c for c in comparisons if not _same_ranges(c, reader, used[c.path, c.one])]
    references = {(c.path, c.one): c.first for c in pending}
    names = list(references)
    kept = dict(zip(names, reader.chunks((references[name], name[1]) for name in names), strict=True))
    pending.sort(key=lambda c: c.other)
    found = reader.chunks((c.second, c.other) for c in pending)
    for comparison, chunks in zip(pending, found, strict=True):
        mine = kept[comparison.path, comparison.one]
        try:
            if not _same_chunks(comparison, mine, chunks):
                yield comparison
        except RefmakerError as error:
            error.location = error.location or labels[comparison.other]
            error.path = error.path or comparison.path
            raise


def _same_ranges(comparison: Comparison, reader: Reader, used: npt.NDArray[np.uint32]) -> bool:
    """Whether both are the same byte ranges of the same files, those ``used``: then nothing needs to be read."""
    if not used.size:  # inlined: there is nothing to read anyhow
        return False
    first, second = comparison.first.manifest, comparison.second.manifest
    one, other = reader.ids[comparison.one], reader.ids[comparison.other]
    if not np.array_equal(used, _sources_of(comparison.second, other)) or not _same_layout(comparison):
        return False
    return (first if one is None else first.with_locations(one)) == (
        second if other is None else second.with_locations(other)
    )


def _sources_of(array: VirtualArray, ids: npt.NDArray[np.uint32] | None) -> npt.NDArray[np.uint32]:
    """Return the files that an array lies in, by their place in the result's table."""
    found = array.manifest.location_ids()
    return found if ids is None else np.sort(ids[found])


def _same_layout(comparison: Comparison) -> bool:
    one, other = comparison.first.metadata, comparison.second.metadata
    same = one.shape == other.shape and one.chunk_shape == other.chunk_shape and one.data_type == other.data_type
    return same and (one.codecs == other.codecs or decoding(one.codecs) == decoding(other.codecs))


def _same_chunks(comparison: Comparison, mine: Chunks, theirs: Chunks) -> bool:
    if mine == theirs and _same_layout(comparison):
        return True
    return same_values(values_of(comparison.first, mine), values_of(comparison.second, theirs))
