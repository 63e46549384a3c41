"""Zarr's codec pipeline over references: all chunks of a selection looked up, read and decoded at once.

zarr calls ``read`` with every chunk of a selection, each as a key in its store. Where that store is over references
(``RefStore``, or an FsspecStore of ``ReferenceFileSystem``), the selection goes to the reading core in one call; all
else is the superclass's, zarr's own default pipeline. ``from_array_metadata_and_store`` stays its NotImplementedError
for the same reason: a pipeline is made for the metadata, and which store it reads shows in what it is asked for.
"""

import asyncio
from collections.abc import Iterable
from typing import Any

import numpy as np
from zarr.core.codec_pipeline import BatchedCodecPipeline
from zarr.registry import register_pipeline
from zarr.storage import FsspecStore

from refmaker.errors import BrokenReferencesError
from refmaker.model.keys import split_key
from refmaker.references.chunk_keys import chunk_positions
from refmaker.serve.array_reader import ArrayReader
from refmaker.serve.filesystem import ReferenceFileSystem
from refmaker.serve.opened import OpenedReferences
from refmaker.serve.selection import Selection
from refmaker.serve.store import RefStore

__all__ = ["PlannedCodecPipeline", "register"]


class PlannedCodecPipeline(BatchedCodecPipeline):
    """zarr's default pipeline, but for reading references."""

    async def read(self, batch_info: Iterable[Any], out: Any, drop_axes: tuple[int, ...] = ()) -> Any:
        """Fill ``out`` with all chunks of a selection; return a status for each, which zarr 3.1 ignores."""
        batch = list(batch_info)
        planned = _planned(batch, out)
        if planned is None:
            return await super().read(batch, out, drop_axes)
        reader, selection = planned
        absent = await asyncio.to_thread(reader.read_into, selection, out.as_ndarray_like(), drop_axes)
        return tuple({"status": "missing" if one else "present"} for one in absent.tolist())


def _planned(batch: list[Any], out: Any) -> tuple[ArrayReader, Selection] | None:
    """Return what to read of which array; None: this is not for us."""
    if not batch:
        return None
    getter = batch[0][0]
    opened = _references_behind(getattr(getter, "store", None))
    target = out.as_ndarray_like()
    if opened is None or not isinstance(target, np.ndarray) or target.dtype.kind in "OT":
        return None
    prefix = getattr(getter.store, "path", "") if isinstance(getter.store, FsspecStore) else ""
    keys = [split_key(one[0].path) for one in batch]
    reader = opened.array(f"{prefix}/{keys[0][0]}".strip("/"))
    if reader is None:
        return None
    try:
        position = chunk_positions([leaf for _, leaf in keys], reader.array.manifest.grid_shape)
    except BrokenReferencesError:
        return None
    chunk_windows, out_windows = [_window(one[2]) for one in batch], [_window(one[3]) for one in batch]
    sliced = all(
        type(part) is slice for windows in (chunk_windows, out_windows) for window in windows for part in window
    )
    return reader, Selection(target.shape, position, chunk_windows, out_windows, sliced=sliced)


def _window(selector: Any) -> tuple[Any, ...]:
    return selector if isinstance(selector, tuple) else (selector,)


def _references_behind(store: Any) -> OpenedReferences | None:
    if isinstance(store, RefStore):
        return store.opened
    if isinstance(store, FsspecStore) and isinstance(store.fs, ReferenceFileSystem):
        return store.fs.opened
    return None


def register() -> None:
    """Make the pipeline known to zarr, as the entry point does where refmaker is installed."""
    register_pipeline(PlannedCodecPipeline)
