"""Writing kerchunk JSON, version 1: one JSON object whose ``refs`` map Zarr keys to text or to byte ranges.

Metadata documents are text; a chunk is ``[url, offset, length]``, or ``"base64:..."`` if its bytes are inlined. Inlined
bytes are never written as text: readers would decode what happens to start with ``base64:``. A chunk of no bytes is
inlined too, because some stores cannot answer an empty range. The file is ASCII, one reference a line, and written
block by block from the manifests' columns.

Specification: kerchunk, "References specification", version 1. Other readers ignore the extra key ``refmaker``.
"""

import base64
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from refmaker.errors import UnsupportedError
from refmaker.model.array import VirtualArray
from refmaker.model.chunks import INLINE, ChunkBlock
from refmaker.model.group import walk_arrays
from refmaker.model.keys import chunk_index, chunk_key, key_of
from refmaker.model.reference_set import ReferenceSet
from refmaker.references.compression import compressed
from refmaker.references.documents import spelled_documents
from refmaker.references.extension import KEY, extension_json
from refmaker.references.options import WriteOptions
from refmaker.references.publish import publish
from refmaker.references.relocate import prepared
from refmaker.references.templates import shared_prefixes
from refmaker.references.text import Part, lines_text
from refmaker.references.zarr_v2 import dumps
from refmaker.references.zarr_v3 import PREFIX

__all__ = ["json_text", "write_json"]

BLOCK_BYTES = 8 << 20
"""Bytes of text to hold at once: beyond it, larger blocks are no faster."""
FEW_LINES = 16
"""Lines that are spelled one by one faster than by columns."""
LINE_OVERHEAD = 64
"""Bytes of a line beside its path and URL: index, offset, length, punctuation."""
DEFAULTS = WriteOptions()


def write_json(references: ReferenceSet, path: str, options: WriteOptions = DEFAULTS) -> None:
    """Write references as one JSON file, compressed if its suffix says so, whole or not at all.

    Args:
        references: what to write.
        path: local path or fsspec URL of the file: ``.json``, ``.json.gz`` or ``.json.zst``.
        options: how.

    Raises:
        UnsupportedError: something has no spelling in this format.
        OptionError: a source's URL holds credentials.
        SourceError: the file cannot be written.
    """
    with publish(path, options.storage_options) as file, compressed(file, path) as text:
        for part in json_text(references, options):
            text.write(part)


def json_text(references: ReferenceSet, options: WriteOptions = DEFAULTS) -> Iterator[bytes]:
    """Yield the document's text in parts of some megabytes.

    Raises:
        UnsupportedError: something has no spelling in this format.
        OptionError: a source's URL holds credentials.
    """
    references = prepared(references, options)
    urls = [_checked(source.url) for source in references.sources]
    templates, short = shared_prefixes(urls) if options.templates else ({}, urls)
    texts = [dumps(url)[1:-1].encode() for url in short]
    yield f'{{"version":1,\n"{KEY}":{dumps(extension_json(references))},\n'.encode()
    if templates:
        yield f'"templates":{dumps(templates)},\n'.encode()
    yield b'"refs":{\n'
    comma = ""
    for key, text in spelled_documents(references.root, options.zarr_format):
        yield f"{comma}{dumps(key)}:{dumps(text)}".encode()
        comma = ",\n"
    column = _url_column(texts)
    for path, array in walk_arrays(references.root):
        yield from _ChunkText(path, array, options.zarr_format).lines(texts, column)
    yield b"\n}}\n"


def unspellable(url: str) -> str | None:
    """Return why this format has no way to say a URL, or None."""
    if "{{" not in url:
        return None
    return (
        "readers of kerchunk JSON take '{{' in a URL for a template: rename or link the file, or relocate the "
        "references to a URL without it"
    )


def _checked(url: str) -> str:
    if why := unspellable(url):
        raise UnsupportedError(why, code="url", location=url)
    return url


def _url_column(urls: Sequence[bytes]) -> npt.NDArray[np.bytes_]:
    """Return the URLs as fixed-width strings, to be taken by location id."""
    return np.array(urls or [b""], np.bytes_)


def _rows(block: ChunkBlock, chosen: npt.NDArray[np.bool_]) -> ChunkBlock:
    return ChunkBlock(block.position[chosen], block.location_id[chosen], block.offset[chosen], block.length[chosen])


class _ChunkText:
    """The lines of one array's chunks, with keys as a Zarr version spells them."""

    def __init__(self, path: str, array: VirtualArray, zarr_format: int) -> None:
        self.manifest = array.manifest
        self.separator = "." if zarr_format == 2 else "/"
        self.scalar = "0" if zarr_format == 2 else PREFIX
        inside = key_of(path, "") if zarr_format == 2 or not self.manifest.grid_shape else key_of(path, PREFIX + "/")
        self.start = inside

    def lines(self, urls: Sequence[bytes], column: npt.NDArray[np.bytes_]) -> Iterator[bytes]:
        """Yield the lines, each with the comma before it."""
        prefix = dumps(self.start)[:-1].encode()
        if len(self.manifest.location_id) <= FEW_LINES and not self.manifest.inline:
            yield b"".join(self._few(urls, prefix))
            return
        ids = self.manifest.known_location_ids()
        url = urls[int(ids[0])] if ids.size == 1 else None
        width = len(prefix) + LINE_OVERHEAD + (column.dtype.itemsize if url is None else len(url))
        for block in self.manifest.blocks(max(BLOCK_BYTES // width, 1)):
            special = (block.location_id == INLINE) | (block.length == 0)
            if not special.all():
                ranges = _rows(block, ~special) if special.any() else block
                where: Part = column[ranges.location_id] if url is None else url
                columns: list[Part] = [ranges.offset, b",", ranges.length, b"]"]
                yield lines_text([b",\n", prefix, *self._index(ranges.position), b'":["', where, b'",', *columns])
            if special.any():
                yield b"".join(self._inlined(_rows(block, special)))

    def _few(self, urls: Sequence[bytes], prefix: bytes) -> Iterator[bytes]:
        """Yield the lines of a few chunks: so many are spelled before numpy has begun."""
        grid = self.manifest.grid_shape
        for position, location_id, offset, length in self.manifest.few():
            leaf = chunk_key(chunk_index(position, grid), self.separator) if grid else self.scalar
            key = b",\n%s%s" % (prefix, leaf.encode())
            yield b'%s":["%s",%d,%d]' % (key, urls[location_id], offset, length) if length else key + b'":"base64:"'

    def _index(self, position: npt.NDArray[np.uint64]) -> list[Part]:
        """Return the parts of chunk keys such as ``3.0.12``."""
        grid_shape = self.manifest.grid_shape
        if not grid_shape:
            return [self.scalar.encode()]
        parts: list[Part] = []
        for n in grid_shape[:0:-1]:
            outer = position // np.uint64(n)
            parts[:0] = [self.separator.encode(), position - outer * np.uint64(n)]
            position = outer
        return [position, *parts]

    def _inlined(self, block: ChunkBlock) -> Iterator[bytes]:
        grid = self.manifest.grid_shape
        inline = block.location_id == INLINE
        data = iter(self.manifest.inlined_data(_rows(block, inline)))
        for position, there in zip(block.position.tolist(), inline.tolist(), strict=True):
            leaf = chunk_key(chunk_index(position, grid), self.separator) if grid else self.scalar
            key = dumps(self.start + leaf)
            yield b"," + f"\n{key}".encode() + b':"base64:' + base64.b64encode(next(data) if there else b"") + b'"'
