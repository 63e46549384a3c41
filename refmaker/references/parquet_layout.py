"""The kerchunk Parquet layout: which files a directory of references has, and what stands in those that are JSON.

::

    .zmetadata               {"metadata": {key: document}, "record_size": n, "refmaker": {...}}
    refmaker.json            sources, report, and for each array its partitions: our own, ignored by other readers
    <array>/refs.<k>.parq    chunks k * n ... (k + 1) * n - 1 in C order: path, offset, size, raw

``.zmetadata`` names the digest of ``refmaker.json``, which has the digest and the number of chunks of every partition:
a lost, truncated or replaced file is noticed. Relative URLs start at the directory that holds this one.
``schemas/parquet-metadata-v1.schema.json`` and ``schemas/parquet-index-v1.schema.json`` describe them. Kerchunk's own
directories have only the first and the last.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from refmaker.errors import BrokenReferencesError
from refmaker.references.folder import checked_name
from refmaker.references.zarr_v2 import parse_json

__all__ = ["INDEX", "METADATA", "Partition", "digest_of", "parse_metadata", "parse_partitions", "partition_name"]

METADATA = ".zmetadata"
INDEX = "refmaker.json"
MOST_PARTITIONS = 1 << 24


@dataclass(frozen=True, slots=True)
class Partition:
    """What the index knows of a partition.

    Attributes:
        chunks: present chunks.
        digest: of its file; None if it has no chunks and no file.
    """

    chunks: int
    digest: str | None


def partition_name(path: str, number: int) -> str:
    """Return the name of a partition's file below the directory."""
    return f"{checked_name(path)}/refs.{number}.parq"


def digest_of(data: bytes) -> str:
    """Return what a file's content is recognised by."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def parse_metadata(data: bytes, location: str) -> tuple[dict[str, Any], int, Mapping[str, Any] | None]:
    """Return the documents by key, the record size, and refmaker's own section if there is one.

    Raises:
        BrokenReferencesError: the file is not what this layout has.
    """
    try:
        content = parse_json(data.decode())
    except ValueError as error:
        raise BrokenReferencesError(f"is not JSON: {error}", location=location) from error
    if not isinstance(content, dict) or not isinstance(content.get("metadata"), dict):
        raise BrokenReferencesError("is not the metadata of Parquet references", location=location)
    record_size, own = content.get("record_size"), content.get("refmaker")
    if type(record_size) is not int or not 1 <= record_size < 1 << 40:
        raise BrokenReferencesError(f"record_size is {record_size!r:.60}", location=location)
    metadata: Any = content["metadata"]
    return metadata, record_size, own if isinstance(own, dict) else None


def parse_partitions(rows: Any, expected: int) -> tuple[Partition, ...]:
    """Return an array's partitions from its rows ``[chunks, digest]`` in the index.

    Raises:
        ValueError: they are not what the schema says, or not as many as the array has.
    """
    if not isinstance(rows, list) or len(rows) != expected:
        raise ValueError(f"there are {len(rows) if isinstance(rows, list) else 'no'} partitions of {expected}")
    found = []
    for row in rows:
        chunks, digest = row if isinstance(row, list) and len(row) == 2 else (None, None)
        if type(chunks) is not int or chunks < 0 or not (isinstance(digest, str) or (digest is None and not chunks)):
            raise ValueError(f"{row!r:.100} is not a partition: [chunks, digest]")
        found.append(Partition(chunks, digest))
    return tuple(found)
