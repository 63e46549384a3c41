"""Writing kerchunk Parquet: a directory with one small table for each stretch of an array; see ``parquet_layout``.

Tables are made one after the other from the manifests' columns, so memory does not grow with their number. A stretch
without any chunk has a table too, because fsspec's reader looks for the first URL of a directory in tables that it
expects; only arrays with more than ``MOST_EMPTY`` such stretches go without (that reader then needs
``remote_protocol``). Documents are those of Zarr 2: no reader of this layout knows those of Zarr 3.
"""

from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow as pa

from refmaker import __version__
from refmaker.errors import OptionError, UnsupportedError
from refmaker.model.array import VirtualArray
from refmaker.model.chunks import INLINE, ChunkBlock, ChunkManifest
from refmaker.model.group import walk_arrays
from refmaker.model.reference_set import ReferenceSet
from refmaker.references.arrow_columns import bytes_array
from refmaker.references.documents import spelled_documents
from refmaker.references.extension import FORMAT, KEY, extension_json
from refmaker.references.options import WriteOptions
from refmaker.references.parquet_layout import INDEX, METADATA, Partition, digest_of, partition_name
from refmaker.references.parquet_partition import partition_bytes
from refmaker.references.publish_folder import FolderWriter, publish_folder
from refmaker.references.relocate import prepared
from refmaker.references.zarr_v2 import dumps
from refmaker.source.location import absolute_url

__all__ = ["write_parquet"]

MOST_EMPTY = 1_000
"""Stretches without chunks up to which an array has tables for them."""


def write_parquet(references: ReferenceSet, path: str, options: WriteOptions) -> None:
    """Write references as a directory of Parquet files, whole or not at all.

    Args:
        references: what to write.
        path: local path or fsspec URL of the directory.
        options: how.

    Raises:
        UnsupportedError: something has no spelling in this format: Zarr v3 documents, URLs that are no text.
        OptionError: a source's URL holds credentials, the path has braces, or something else is in the way.
        SourceError: it cannot be written.
    """
    if options.zarr_format != 2:
        raise UnsupportedError(
            "Parquet references have Zarr 2 metadata only: no reader knows others; write JSON for Zarr 3",
            code="zarr-format",
            location=path,
        )
    _check_place(path)
    references = prepared(references, options)
    documents = {
        key: text for key, text in spelled_documents(references.root, 2) if key != METADATA
    }  # fails before anything is written
    urls = bytes_array([source.url.encode() for source in references.sources], pa.large_utf8())
    with publish_folder(path.rstrip("/"), options.storage_options) as folder:
        partitions = {
            name: [[part.chunks, part.digest] for part in _written(name, array, urls, options.record_size, folder)]
            for name, array in walk_arrays(references.root)
        }
        index = dumps({**extension_json(references), "partitions": partitions}).encode()
        folder.write(INDEX, index)
        folder.write(METADATA, _metadata(documents, options.record_size, digest_of(index)).encode())


def _check_place(path: str) -> None:
    """Refuse a directory of which fsspec would make a template: not finding the chunks, it reads fill values."""
    if not {"{", "}"}.isdisjoint(place := absolute_url(path)):
        raise OptionError(
            "fsspec's reader of Parquet references takes '{' and '}' in their path for a template, and would find "
            "no chunks: write to a path without them, or write JSON",
            location=place,
        )


def _metadata(documents: Mapping[str, str], record_size: int, digest: str) -> str:
    members = ",".join(f"{dumps(key)}:{text}" for key, text in documents.items())
    own = dumps({"format": FORMAT, "version": __version__, "index": digest})
    return f'{{"metadata":{{{members}}},"record_size":{record_size},"zarr_consolidated_format":1,{dumps(KEY)}:{own}}}'


def _written(
    path: str, array: VirtualArray, urls: pa.Array, record_size: int, folder: FolderWriter
) -> Iterator[Partition]:
    """Write an array's partitions, and yield what the index is to know of each."""
    manifest = array.manifest
    total = len(manifest)
    count = -(-total // record_size)
    filled = None if manifest.present == total else _filled(manifest, record_size)
    every = filled is None or count - len(filled) <= MOST_EMPTY
    for number in range(count):
        if not every and filled is not None and number not in filled:
            yield Partition(0, None)
            continue
        start = number * record_size
        rows = min(record_size, total - start)
        block = manifest.between(start, start + rows)
        inline = block.location_id == INLINE
        data = manifest.inlined_data(_chosen(block, inline)) if inline.any() else []
        table = partition_bytes(block, start, rows, data, urls)
        folder.write(partition_name(path, number), table)
        yield Partition(block.position.size, digest_of(table))


def _filled(manifest: ChunkManifest, record_size: int) -> set[int]:
    """Return the partitions that have chunks."""
    found: set[int] = set()
    for block in manifest.blocks():
        found.update(np.unique(block.position // np.uint64(record_size)).tolist())
    return found


def _chosen(block: ChunkBlock, rows: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> ChunkBlock:
    return ChunkBlock(block.position[rows], block.location_id[rows], block.offset[rows], block.length[rows])
