"""Writing kerchunk JSON, version 1: one JSON object whose ``refs`` map Zarr keys to text or to byte ranges.

Metadata documents are text; a chunk is ``[url, offset, length]``, or ``"base64:..."`` if its bytes are inlined. Inlined
bytes are never written as text: readers would decode what happens to start with ``base64:``. A chunk of no bytes is
inlined too, because some stores cannot answer an empty range. The file is ASCII, one reference a line, and written
block by block from the manifests' columns.

Specification: kerchunk, "References specification", version 1. Other readers ignore the extra key ``refmaker``.
"""

import base64
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from refmaker.errors import UnsupportedError
from refmaker.model.array import VirtualArray
from refmaker.model.chunks import INLINE, ChunkBlock
from refmaker.model.group import walk_arrays
from refmaker.model.keys import chunk_index, chunk_key, key_of
from refmaker.model.reference_set import ReferenceSet, SourceFile
from refmaker.references.extension import KEY, extension_json
from refmaker.references.publish import publish
from refmaker.references.relocate import relative_to as relative_url
from refmaker.references.relocate import relocate
from refmaker.references.text import Part, lines_text
from refmaker.references.zarr_v2 import consolidated_document, documents, dumps
from refmaker.source.location import check_credentials

__all__ = ["json_text", "write_json"]

BLOCK_BYTES = 8 << 20
"""Bytes of text to hold at once: beyond it, larger blocks are no faster."""
LINE_OVERHEAD = 64
"""Bytes of a line beside its path and URL: index, offset, length, punctuation."""


def write_json(
    references: ReferenceSet,
    path: str,
    *,
    relative_to: str | os.PathLike[str] | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> None:
    """Write references as one JSON file, whole or not at all.

    Args:
        references: what to write.
        path: local path or fsspec URL of the file.
        relative_to: a directory; URLs below it are written relative to it. Readers resolve them against the place of
            the reference file, so it is to be kept in that directory.
        storage_options: for the filesystem of ``path``.

    Raises:
        UnsupportedError: something has no spelling in this format.
        OptionError: a source's URL holds credentials.
        SourceError: the file cannot be written.
    """
    if relative_to is not None:
        references = relocate(references, relative_url(os.fspath(relative_to)))
    with publish(path, storage_options) as file:
        for part in json_text(references):
            file.write(part)


def json_text(references: ReferenceSet) -> Iterator[bytes]:
    """Yield the document's text in parts of some megabytes.

    Raises:
        UnsupportedError: something has no spelling in this format.
        OptionError: a source's URL holds credentials.
    """
    urls = [_url_text(source) for source in references.sources]
    spelled = dict(documents(references.root))
    yield f'{{"version":1,\n"{KEY}":{dumps(extension_json(references))},\n"refs":{{\n'.encode()
    yield f'".zmetadata":{dumps(consolidated_document(spelled))}'.encode()
    for key, text in spelled.items():
        yield f",\n{dumps(key)}:{dumps(text)}".encode()
    column = _url_column(urls)
    for path, array in walk_arrays(references.root):
        yield from _chunk_lines(path, array, urls, column)
    yield b"\n}}\n"


def _url_text(source: SourceFile) -> bytes:
    """Return a URL as the inside of a JSON string."""
    check_credentials(source.url)
    if "{{" in source.url:
        raise UnsupportedError(
            "readers of kerchunk JSON take '{{' in a URL for a template: rename or link the file, "
            "or relocate the references to a URL without it",
            code="url",
            location=source.url,
        )
    return dumps(source.url)[1:-1].encode()


def _url_column(urls: Sequence[bytes]) -> npt.NDArray[np.bytes_]:
    """Return the URLs as fixed-width strings, to be taken by location id."""
    return np.array(urls or [b""], np.bytes_)


def _chunk_lines(
    path: str, array: VirtualArray, urls: Sequence[bytes], column: npt.NDArray[np.bytes_]
) -> Iterator[bytes]:
    """Yield the lines of one array's chunks, each with the comma before it."""
    ids = array.manifest.location_ids()
    url = urls[int(ids[0])] if ids.size == 1 else None
    prefix = dumps(key_of(path, ""))[:-1].encode()
    width = len(prefix) + LINE_OVERHEAD + (column.dtype.itemsize if url is None else len(url))
    for block in array.manifest.blocks(max(BLOCK_BYTES // width, 1)):
        special = (block.location_id == INLINE) | (block.length == 0)
        if not special.any():
            yield _range_lines(prefix, array, block, url, column)
            continue
        if not special.all():
            yield _range_lines(prefix, array, _rows(block, ~special), url, column)
        yield b"".join(_inline_lines(path, array, _rows(block, special)))


def _rows(block: ChunkBlock, chosen: npt.NDArray[np.bool_]) -> ChunkBlock:
    return ChunkBlock(block.position[chosen], block.location_id[chosen], block.offset[chosen], block.length[chosen])


def _range_lines(
    prefix: bytes, array: VirtualArray, block: ChunkBlock, url: bytes | None, column: npt.NDArray[np.bytes_]
) -> bytes:
    """Return lines ``,"path/0.3":["url",offset,length]``; the path's node is the root array if ``path`` is empty."""
    where: Part = column[block.location_id] if url is None else url
    index = _index_text(block.position, array.manifest.grid_shape)
    return lines_text([b",\n", prefix, *index, b'":["', where, b'",', block.offset, b",", block.length, b"]"])


def _index_text(position: npt.NDArray[np.uint64], grid_shape: tuple[int, ...]) -> list[Part]:
    """Return the parts of chunk keys such as ``3.0.12``."""
    if not grid_shape:
        return [b"0"]
    parts: list[Part] = []
    for n in grid_shape[:0:-1]:
        outer = position // np.uint64(n)
        parts[:0] = [b".", position - outer * np.uint64(n)]
        position = outer
    return [position, *parts]


def _inline_lines(path: str, array: VirtualArray, block: ChunkBlock) -> Iterator[bytes]:
    grid = array.manifest.grid_shape
    for position, offset, length in zip(
        block.position.tolist(), block.offset.tolist(), block.length.tolist(), strict=True
    ):
        key = dumps(key_of(path, chunk_key(chunk_index(position, grid))))
        data = array.manifest.inline[offset : offset + length]
        yield b"," + f"\n{key}".encode() + b':"base64:' + base64.b64encode(data) + b'"'
