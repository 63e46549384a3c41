"""One Parquet partition: the chunks of a stretch of an array as a table of path, offset, size and raw.

A row is a position. ``raw`` not null: inlined bytes. ``path`` null: no chunk. Otherwise a range of the file ``path``,
or all of it if offset and size are 0. As fsspec's reader decodes ``raw`` that starts with ``base64:``, such bytes are
written so. Columns are what that reader needs to see "no chunk" as such: paths dictionary-encoded in pages of version 1
(plain ones it gives as NaN with pandas 3, and fails), numbers whose statistics say that none is null (else they become
floats).
"""

import base64
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from refmaker.errors import BrokenReferencesError
from refmaker.model.chunks import INLINE, MISSING, ChunkBlock, ChunkManifest
from refmaker.references.arrow_columns import bytes_array, numbers, numbers_array, valid
from refmaker.references.inlined_text import BASE64, inlined_bytes

__all__ = ["partition_bytes", "partition_manifest", "partition_paths", "read_table"]

SCHEMA = pa.schema(
    [
        pa.field("path", pa.dictionary(pa.int32(), pa.large_utf8())),
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("size", pa.int64(), nullable=False),
        pa.field("raw", pa.large_binary()),
    ]
)
DICTIONARY_BYTES = 1 << 30
"""Bytes of paths until pyarrow would fall back to plain pages."""
MOST_ROWS = 1 << 26
"""Rows of a partition beyond which a file is hostile: the columns alone would take gigabytes."""


def partition_bytes(block: ChunkBlock, start: int, rows: int, inlined: list[bytes], urls: pa.Array) -> bytes:
    """Return a partition's file.

    Args:
        block: its present chunks.
        start: position of the first row.
        rows: how many rows.
        inlined: the bytes of those chunks that are inlined, in order.
        urls: the sources' URLs by location id.
    """
    row = (block.position - np.uint64(start)).astype(np.int64)
    empty = (block.length == 0) & (block.location_id != INLINE)
    inline = (block.location_id == INLINE) | empty  # no bytes: some stores cannot answer that
    index = np.zeros(rows, np.int32)
    offset, size = np.zeros(rows, np.int64), np.zeros(rows, np.int64)
    null = np.ones(rows, np.bool_)
    ranges = row[~inline]
    used, index[ranges] = _compact(block.location_id[~inline])
    offset[ranges], size[ranges], null[ranges] = block.offset[~inline], block.length[~inline], False
    path = pa.DictionaryArray.from_arrays(numbers_array(index, null), urls.take(numbers_array(used)))
    if inline.any():
        data = iter(inlined)
        raw: list[bytes | None] = [None] * rows
        for position, nothing in zip(row[inline].tolist(), empty[inline].tolist(), strict=True):
            raw[position] = b"" if nothing else _shielded(next(data))
        raws = bytes_array(raw, pa.large_binary())
    else:
        raws = pa.nulls(rows, pa.large_binary())
    table = pa.Table.from_arrays([path, numbers_array(offset), numbers_array(size), raws], schema=SCHEMA)
    sink = pa.BufferOutputStream()
    pq.write_table(
        table,
        sink,
        row_group_size=max(rows, 1),
        compression="zstd",
        use_dictionary=["path"],
        dictionary_pagesize_limit=DICTIONARY_BYTES,
        data_page_version="1.0",
        write_statistics=["offset", "size"],
        store_schema=False,
    )
    return bytes(sink.getvalue())


def _compact(ids: npt.NDArray[np.unsignedinteger]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]:
    """Return the sorted distinct ids and each row's place among them; no sorting where the ids lie close together."""
    if not ids.size:
        return np.empty(0, np.int64), np.empty(0, np.int32)
    first, last = int(ids.min()), int(ids.max())
    if last - first > 4 * ids.size:
        used, place = np.unique(ids, return_inverse=True)
        return used.astype(np.int64), place.astype(np.int32)
    there = np.zeros(last - first + 1, np.bool_)
    there[ids - first] = True
    place = np.cumsum(there, dtype=np.int32) - np.int32(1)
    return np.flatnonzero(there) + first, place[ids - first]


def _shielded(data: bytes) -> bytes:
    """Return inlined bytes such that readers do not decode them by mistake."""
    return BASE64.encode() + base64.b64encode(data) if data.startswith(BASE64.encode()) else data


def read_table(data: bytes, columns: list[str] | None = None) -> pa.Table:
    """Return a partition's table, the path as a dictionary; columns that are not there are left out.

    Raises:
        BrokenReferencesError: the file is not such a table.
    """
    try:
        file = pq.ParquetFile(pa.BufferReader(data), read_dictionary=["path"])
        if file.metadata.num_rows > MOST_ROWS:
            raise BrokenReferencesError(f"has {file.metadata.num_rows} rows")
        names = [name for name in columns or SCHEMA.names if name in file.schema_arrow.names]
        table = file.read(columns=names, use_threads=False).combine_chunks()
        if len(set(table.column_names)) < table.num_columns:
            raise BrokenReferencesError(f"has two columns of one name: {', '.join(table.column_names)}")
        return table  # noqa: TRY300  one place for what pyarrow raises
    except (pa.ArrowException, OSError, ValueError, OverflowError, KeyError) as error:
        raise BrokenReferencesError(f"is not a Parquet file of references: {error}") from error


def partition_paths(table: pa.Table) -> list[str]:
    """Return the distinct paths of a partition."""
    _, names, _ = _paths(table)
    return names


def _paths(table: pa.Table) -> tuple[npt.NDArray[np.int64], list[str], npt.NDArray[np.bool_]]:
    """Return each row's number of a path, the paths, and which rows have one."""
    rows = table.num_rows
    if "path" not in table.column_names:
        return np.zeros(rows, np.int64), [], np.zeros(rows, np.bool_)
    column = table.column("path")
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    if not pa.types.is_dictionary(column.type) or not (
        pa.types.is_string(column.type.value_type)
        or pa.types.is_large_string(column.type.value_type)
        or pa.types.is_null(column.type.value_type)
        or pa.types.is_binary(column.type.value_type)
    ):
        raise BrokenReferencesError(f"has paths of type {column.type}")
    encoded = _one(column.unify_dictionaries())
    there, index = valid(encoded), numbers(encoded.indices).astype(np.int64)
    try:
        names = encoded.dictionary.to_pylist()
    except UnicodeDecodeError as error:
        raise BrokenReferencesError(f"a path is not UTF-8: {error}") from error
    return index, ["" if name is None else _text(name) for name in names], there


def _one(column: Any) -> Any:
    """Return a column as one array."""
    chunks = column.chunks
    if len(chunks) == 1:
        return chunks[0]
    return pa.concat_arrays(chunks) if chunks else pa.nulls(0, column.type)


def _text(name: str | bytes) -> str:
    if isinstance(name, str):
        return name
    try:
        return name.decode()
    except UnicodeDecodeError as error:
        raise BrokenReferencesError(f"has a path that is no text: {name[:60]!r}") from error


def _numbers(table: pa.Table, name: str) -> npt.NDArray[np.uint64]:
    """Return a column of offsets or sizes; what is null or missing is 0."""
    if name not in table.column_names:
        return np.zeros(table.num_rows, np.uint64)
    column = table.column(name)
    try:
        found = numbers(_one(column))
    except ValueError as error:
        raise BrokenReferencesError(f"has {name} of type {column.type}") from error
    if found.dtype.kind == "f":  # fastparquet gives those that may be null so
        found = np.nan_to_num(found)
    if found.size and (found.min() < 0 or found.max() >= 1 << 62):
        raise BrokenReferencesError(f"has {name} from {found.min()} to {found.max()}")
    wide: npt.NDArray[np.uint64] = found.astype(np.uint64)
    return wide


def partition_manifest(
    table: pa.Table, rows: int, ids_of: Callable[[list[str]], list[int]], size_of: Callable[[int], int]
) -> ChunkManifest:
    """Return a partition as the manifest of a one-dimensional grid of ``rows`` positions.

    Args:
        table: as ``read_table`` gives it; it may have more rows than positions, but not chunks in them.
        rows: positions.
        ids_of: from paths to location ids.
        size_of: from a location id to the file's size, for whole files.

    Raises:
        BrokenReferencesError: the table has not these columns, or too few rows.
    """
    if table.num_rows < rows:
        raise BrokenReferencesError(f"has {table.num_rows} rows where {rows} chunks should be")
    index, names, there = _paths(table)
    offset, size = _numbers(table, "offset"), _numbers(table, "size")
    raw, is_raw = _raws(table)
    if (there | is_raw)[rows:].any():
        raise BrokenReferencesError(f"has chunks after its {rows} positions")
    index, there, offset, size, is_raw = (
        index[:rows],
        there[:rows] & ~is_raw[:rows],
        offset[:rows],
        size[:rows],
        is_raw[:rows],
    )
    location_id = np.full(rows, MISSING, np.uint32)
    if there.any():
        used = np.unique(index[there])
        if int(used[0]) < 0 or int(used[-1]) >= len(names):
            raise BrokenReferencesError(f"names path {int(used[-1])} where it has {len(names)}")
        ids = np.zeros(len(names), np.uint32)
        ids[used] = ids_of([names[n] for n in used.tolist()])
        location_id[there] = ids[index[there]]
        for row in np.flatnonzero(there & (offset == 0) & (size == 0)).tolist():
            size[row] = size_of(int(location_id[row]))
    parts = [inlined_bytes(data) for data in raw]
    inside = np.flatnonzero(is_raw)
    length = np.array([len(part) for part in parts], np.uint64)
    location_id[inside] = INLINE
    size[inside], offset[inside] = length, np.cumsum(length, dtype=np.uint64) - length
    position = np.flatnonzero(location_id != MISSING).astype(np.uint64)
    return ChunkManifest.from_positions(
        (rows,),
        position,
        location_id=location_id[position],
        offset=offset[position],
        length=size[position],
        inline=b"".join(parts),
    )


def _raws(table: pa.Table) -> tuple[list[bytes], npt.NDArray[np.bool_]]:
    """Return the inlined bytes, and which rows have them."""
    none = np.zeros(table.num_rows, np.bool_)
    if "raw" not in table.column_names or table.column("raw").null_count == table.num_rows:
        return [], none
    column = _one(table.column("raw"))
    if pa.types.is_string(column.type):
        column = column.cast(pa.binary())
    if not (pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type)):
        raise BrokenReferencesError(f"has raw data of type {column.type}")
    there = valid(column)
    return column.drop_null().to_pylist(), there
