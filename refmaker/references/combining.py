"""``refmaker.combine``: from paths, URLs and ReferenceSets to one ReferenceSet."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby, tee
from typing import Any, Literal

from refmaker.combine.combination import combination
from refmaker.combine.inputs import Input
from refmaker.combine.options import (
    LOAD_BELOW,
    Attrs,
    CombineOptions,
    Join,
    OnDiffering,
    OnGap,
    OnMissingVariable,
    OnOverlap,
)
from refmaker.combine.placement import PlacementLike, placement_of
from refmaker.errors import OptionError, RefmakerError
from refmaker.model.reference_set import ReferenceSet
from refmaker.references import ENCODINGS, open_references
from refmaker.scanners.many import scan_many

__all__ = ["combine", "opened"]

InputLike = ReferenceSet | str | os.PathLike[str]


def combine(
    inputs: Iterable[InputLike],
    *,
    concat: str | Sequence[str] = (),
    place: Mapping[str, PlacementLike] | None = None,
    append_to: InputLike | None = None,
    on_missing_variable: OnMissingVariable = "raise",
    attrs: Attrs = "first",
    join: Join = "exact",
    on_overlap: OnOverlap = "raise",
    on_gap: OnGap = "note",
    on_differing: OnDiffering = "raise",
    same: Sequence[str] = (),
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    load_below: int = LOAD_BELOW,
    on_unsupported: Literal["raise", "skip"] = "raise",
    storage_options: Mapping[str, Any] | None = None,
) -> ReferenceSet:
    r"""Return many inputs as one data set: concatenated along dimensions, and their variables merged.

    Everything is checked before anything is built. What numbers mean (data types, units, scales, fill values) must
    be the same in all inputs; times counted from different epochs are brought to one. Arrays without a concatenated
    dimension must hold the same values everywhere; where their bytes differ, they are decoded and compared.

    Args:
        inputs: ReferenceSets, paths or URLs of reference files, or of files to scan; taken one by one.
        concat: the dimensions to concatenate along. One that no input has yet becomes a new first dimension of all
            arrays that are not coordinates.
        place: for each dimension, where an input belongs: ``FromValues()`` (the default: the values of its
            coordinate variable), ``FromName(regex)``, ``FromAttribute(name)``, ``FromPosition()``, or a callable
            ``(label, references) -> value``.
        append_to: a combination to which the others are added; it comes first.
        on_missing_variable: an array that some inputs lack: ``"raise"``, or ``"fill"``: its chunks are absent there.
        attrs: other attributes that differ: the ``"first"`` input's, ``"identical"`` ones or it is a conflict,
            ``"drop-conflicts"``. The report names them.
        join: with several dimensions, cells of the grid that no input fills: ``"exact"``: a conflict, ``"outer"``:
            absent chunks.
        on_overlap: rows of two inputs with the same coordinate value: ``"raise"``, or keep those of the ``"first"``
            or ``"last"`` input.
        on_gap: steps that seem to be missing along a dimension: ``"note"`` in the report, or ``"raise"``.
        on_differing: an array without a concatenated dimension whose values differ: ``"raise"``, keep the ``"first"``
            input's, ``"drop"`` it, or ``"stack"`` it along dimensions of which each input has one row.
        same: globs of arrays that are taken from the first input that has them, neither compared nor stacked.
        include: globs of array paths to keep; all if empty.
        exclude: globs of array paths to leave out.
        load_below: coordinates, and arrays whose chunks do not line up, of up to that many bytes are loaded and
            inlined.
        on_unsupported: while files are scanned: ``"skip"`` leaves out what cannot be expressed.
        storage_options: for the fsspec filesystems of inputs and sources.

    Returns:
        The data set; its ``report`` notes everything that was decided.

    Raises:
        ConflictError: the inputs do not fit together; the message lists every reason.
        SourceError: something cannot be read.
        OptionError: options that make no sense.

    >>> import refmaker
    >>> days = refmaker.combine(["sample_data/ocean_1.nc", "sample_data/ocean_2.nc"], concat="time")
    >>> days.root.arrays["temp"].metadata.shape
    (4, 6, 8)
    >>> runs = ["sample_data/run_r1.nc", "sample_data/run_r2.nc"]
    >>> ensemble = refmaker.combine(runs, concat="member", place={"member": refmaker.FromName(r"_r(\d+)")})
    >>> ensemble.root.arrays["temp"].metadata.dimension_names
    ('member', 'time', 'lat', 'lon')
    >>> refmaker.combine(["sample_data/ocean_1.nc", "sample_data/ocean.nc"], concat="time")
    Traceback (most recent call last):
        ...
    refmaker.errors.ConflictError: ...
    """
    options = CombineOptions(
        concat=(concat,) if isinstance(concat, str) else tuple(concat),
        place={name: placement_of(value) for name, value in (place or {}).items()},
        on_missing_variable=on_missing_variable,
        attrs=attrs,
        join=join,
        on_overlap=on_overlap,
        on_gap=on_gap,
        on_differing=on_differing,
        same=_globs("same", same),
        include=_globs("include", include),
        exclude=_globs("exclude", exclude),
        load_below=load_below,
        storage_options=storage_options,
    )
    items = opened(inputs, append_to=append_to, on_unsupported=on_unsupported, storage_options=storage_options)
    return combination(items, options).references


def _globs(name: str, globs: Sequence[str]) -> tuple[str, ...]:
    if isinstance(globs, str):
        raise OptionError(f"{name} is one string; give a tuple of globs")
    return tuple(globs)


def opened(
    inputs: Iterable[InputLike],
    *,
    append_to: InputLike | None = None,
    on_unsupported: Literal["raise", "skip"] = "raise",
    storage_options: Mapping[str, Any] | None = None,
) -> Iterator[Input]:
    """Yield the inputs, each opened when its turn comes: reference files are read, other files are scanned.

    Remote files to scan that follow each other are read ahead together.
    """
    if append_to is not None:
        for existing in opened([append_to], on_unsupported=on_unsupported, storage_options=storage_options):
            yield replace(existing, settled=True)
    number = 0
    for to_scan, group in groupby(inputs, key=_is_to_scan):
        if to_scan:
            urls, labels = tee(os.fspath(item) for item in group if not isinstance(item, ReferenceSet))
            with scan_many(urls, on_unsupported=on_unsupported, storage_options=storage_options) as results:
                for label, result in zip(labels, results, strict=False):
                    number += 1
                    if isinstance(result, RefmakerError):
                        raise result
                    yield Input(label, result)
            continue
        for item in group:
            number += 1
            if isinstance(item, ReferenceSet):
                yield Input(item.sources[0].url if item.sources else f"input {number}", item)
            else:
                yield Input(os.fspath(item), open_references(item, storage_options=storage_options))


def _is_to_scan(item: InputLike) -> bool:
    """Whether an input is a file of data, not references."""
    if isinstance(item, ReferenceSet):
        return False
    return not os.fspath(item).rstrip("/").endswith(tuple(encoding.suffix for encoding in ENCODINGS))
