"""Combining on a cluster: neighbours first, then what came of them, then the few that are left here.

A combination of combinations is not always the combination of all: notes count inputs, units are chosen among those
there are, small coordinates are loaded, larger ones stay where they are. So a part gives up (returns None) as soon as
there was anything to decide, and then everything is combined in one go, as without a cluster. What this returns is
what that would have been, byte for byte; archives of files that are alike, the usual ones, are of this kind.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError, Executor, Future
from dataclasses import replace

from refmaker.batch.job import Job
from refmaker.batch.ledger import FileState, Ledger
from refmaker.batch.packing import KnownMetadata, pack, unpack
from refmaker.batch.reduction import stored
from refmaker.batch.results import Results
from refmaker.batch.scanning import Progress, ProgressCallback
from refmaker.combine.combination import combination
from refmaker.combine.inputs import Input
from refmaker.combine.options import CombineOptions
from refmaker.combine.outcome import Combination
from refmaker.combine.placement import FromValues
from refmaker.errors import RefmakerError
from refmaker.model.array import VirtualArray
from refmaker.model.chunks import INLINE
from refmaker.model.group import walk_arrays
from refmaker.model.reference_set import DatasetState, ReferenceSet

__all__ = ["combined_by_tree"]

FAN_IN = 128
"""Inputs of one part: enough work for a task to be worth while, few enough for many to run at once."""
Part = tuple[str, bytes]
"""A label and packed references."""


def combined_by_tree(
    job: Job, ledger: Ledger, results: Results, executor: Executor, progress: ProgressCallback
) -> Combination | None:
    """Return all scanned files as one data set, or None: they have to be combined in one go."""
    total = ledger.count()[FileState.DONE]
    if total <= FAN_IN or not _is_plain(job.combine):
        return None
    known: KnownMetadata = {}
    parts: Iterator[Part] = (
        (row.url, pack(stored(results, row, known))) for row in ledger.rows(FileState.DONE)
    )  # without what differs from scan to scan
    blocks = 0
    count = total
    while count > FAN_IN:
        found = _level(parts, job.combine, executor, progress, total)
        if found is None:
            return None
        blocks = blocks or sum(part_blocks for part_blocks, _ in found)
        count = len(found)
        parts = iter([part for _, part in found])
    top = _together(list(parts), job.combine)
    if top is None:
        return None
    axes = tuple(replace(axis, blocks=blocks) for axis in top.axes)
    return replace(top, inputs=total, axes=axes)


def _is_plain(options: CombineOptions) -> bool:
    """Whether parts can be combined on their own at all: along one dimension, by values, with nothing to fill in."""
    return (
        len(options.concat) == 1
        and all(isinstance(place, FromValues) for place in options.place.values())
        and (options.on_missing_variable, options.on_overlap, options.on_differing) == ("raise",) * 3
        and (options.join, options.on_gap) == ("exact", "note")
    )


def _level(
    parts: Iterator[Part], options: CombineOptions, executor: Executor, progress: ProgressCallback, total: int
) -> list[tuple[int, Part]] | None:
    """Return each group of parts combined, with the pieces it is made of; None if one gave up."""
    futures: list[Future[tuple[int, Part] | None]] = []
    try:
        for group in _groups(parts):
            futures.append(executor.submit(_combined_part, group, options))
            progress(Progress("combining", min(len(futures) * FAN_IN, total), total))
        found = [None if future.exception() else future.result() for future in futures]
    except (CancelledError, RuntimeError):  # the executor is of no use any more
        found = [None]
    finally:
        for future in futures:
            future.cancel()
    done = [part for part in found if part is not None]
    return done if len(done) == len(found) else None


def _groups(parts: Iterator[Part]) -> Iterator[list[Part]]:
    group: list[Part] = []
    for part in parts:
        group.append(part)
        if len(group) == FAN_IN:
            yield group
            group = []
    if group:
        yield group


def _combined_part(parts: Sequence[Part], options: CombineOptions) -> tuple[int, Part] | None:
    """Return parts combined, or None; runs on the cluster."""
    found = _together(parts, options)
    if found is None:
        return None
    return sum(axis.blocks for axis in found.axes), (parts[0][0], pack(found.references))


def _together(parts: Sequence[Part], options: CombineOptions) -> Combination | None:
    """Return parts combined, or None if anything had to be decided or does not fit."""
    known: KnownMetadata = {}
    inputs = [Input(label, unpack(packed, known)) for label, packed in parts]
    if any(item.references.report.notes or item.references.report.skipped for item in inputs):
        return None
    try:
        found = combination(inputs, options)
    except RefmakerError:
        return None
    report = found.references.report
    if report.notes or report.count(DatasetState.SKIPPED) or len(found.axes) != 1 or found.axes[0].dropped:
        return None
    plain = all(_keeps_units(item.references, found.references) for item in inputs)
    return found if plain and not _holds_too_much(found.references, options.load_below) else None


def _keeps_units(before: ReferenceSet, after: ReferenceSet) -> bool:
    """Whether all arrays count as they did."""
    units = {path: array.metadata.attributes.get("units") for path, array in walk_arrays(after.root)}
    return all(units.get(path) == array.metadata.attributes.get("units") for path, array in walk_arrays(before.root))


def _holds_too_much(references: ReferenceSet, load_below: int) -> bool:
    """Whether an array is inlined that would not be if there were no parts."""
    return any(_is_inlined(array) and _nbytes(array) > load_below for _, array in walk_arrays(references.root))


def _is_inlined(array: VirtualArray) -> bool:
    return any(bool((block.location_id == INLINE).any()) for block in array.manifest.blocks())


def _nbytes(array: VirtualArray) -> int:
    size = array.metadata.data_type.itemsize
    for n in array.metadata.shape:
        size *= n
    return size
