"""Inlining: the bytes of small chunks move into the references, so that opening a data set needs no requests."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from refmaker.errors import OptionError
from refmaker.model.array import VirtualArray
from refmaker.model.chunks import INLINE, ChunkBlock, ChunkManifest
from refmaker.model.group import VirtualGroup, walk, walk_arrays
from refmaker.model.reference_set import DatasetState, ReferenceSet, ScanReport
from refmaker.references.hierarchy import build_tree
from refmaker.source.spans import read_spans

__all__ = ["inline_below"]


def inline_below(
    references: ReferenceSet, nbytes: int, storage_options: Mapping[str, Any] | None = None
) -> ReferenceSet:
    """Return the references with every chunk of fewer than ``nbytes`` stored bytes inlined.

    Neighbouring chunks are read together, and sources must be what they were when they were scanned.

    Raises:
        OptionError: ``nbytes`` is no number.
        StaleSourceError: a source is no longer what it was when it was scanned, as far as that shows.
        SourceError: a source cannot be opened or read.
        TruncatedFileError: a chunk reaches past the end of its file.

    >>> import refmaker
    >>> references = refmaker.scan("sample_data/ocean.nc")
    >>> inlined = refmaker.inline_below(references, 100)
    >>> [one.report.count(refmaker.DatasetState.INLINED) for one in (references, inlined)]
    [5, 16]
    """
    if not isinstance(nbytes, int):
        raise OptionError(f"inline_below is {nbytes!r:.60}, not a number of bytes")
    small = {path: _small(array.manifest, nbytes) for path, array in walk_arrays(references.root)}
    small = {path: block for path, block in small.items() if block.position.size}
    if not small:
        return references
    every = _stacked(list(small.values()))
    spans = zip(every.location_id.tolist(), every.offset.tolist(), every.length.tolist(), strict=True)
    data = iter(read_spans(list(spans), references.sources, storage_options))
    manifests = {
        path: _with_inlined(array.manifest, small[path], [next(data) for _ in range(small[path].position.size)])
        for path, array in walk_arrays(references.root)
        if path in small
    }
    root = _replaced(references.root, manifests)
    return replace(references, root=root, report=_updated(references.report, root))


def _stacked(blocks: Sequence[ChunkBlock]) -> ChunkBlock:
    """Return blocks one after the other (their positions may then be of different grids)."""
    if not blocks:
        none = np.empty(0, np.uint64)
        return ChunkBlock(none, none, none, none)
    columns = ("position", "location_id", "offset", "length")
    return ChunkBlock(*(np.concatenate([getattr(block, name) for block in blocks]) for name in columns))


def _small(manifest: ChunkManifest, nbytes: int) -> ChunkBlock:
    """Return the chunks to be inlined."""
    found = []
    for block in manifest.blocks():
        chosen = (block.length < nbytes) & (block.location_id != INLINE)
        found.append(
            ChunkBlock(block.position[chosen], block.location_id[chosen], block.offset[chosen], block.length[chosen])
        )
    return _stacked(found)


def _with_inlined(manifest: ChunkManifest, block: ChunkBlock, parts: Sequence[bytes]) -> ChunkManifest:
    """Return the manifest with the block's chunks inlined as ``parts``."""
    manifest = manifest.whole()
    every = _stacked(list(manifest.blocks()))
    rows = np.searchsorted(every.position, block.position)
    location_id, offset = every.location_id.astype(np.uint32), every.offset.astype(np.uint64)
    location_id[rows] = INLINE
    offset[rows] = len(manifest.inline) + np.cumsum(block.length, dtype=np.uint64) - block.length
    return ChunkManifest.from_positions(
        manifest.grid_shape,
        every.position,
        location_id=location_id,
        offset=offset,
        length=every.length,
        inline=b"".join([manifest.inline, *parts]),
    )


def _replaced(root: VirtualGroup, manifests: Mapping[str, ChunkManifest]) -> VirtualGroup:
    """Return the tree with new manifests for the arrays at some paths."""
    groups = {path: node.attributes for path, node in walk(root) if isinstance(node, VirtualGroup)}
    arrays = {path: VirtualArray(a.metadata, manifests.get(path, a.manifest)) for path, a in walk_arrays(root)}
    return build_tree(groups, arrays)


def _updated(report: ScanReport, root: VirtualGroup) -> ScanReport:
    """Return the report with arrays that lie in no file any more as ``inlined``."""
    inlined = {
        path for path, array in walk_arrays(root) if array.manifest.present and not array.manifest.location_ids().size
    }
    kept = (DatasetState.REFERENCED, DatasetState.LINKED)
    return replace(
        report,
        datasets=tuple(
            replace(dataset, state=DatasetState.INLINED)
            if dataset.state in kept and dataset.path.strip("/") in inlined
            else dataset
            for dataset in report.datasets
        ),
    )
