"""Fetching chunks of many arrays of many files in few rounds."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy.typing as npt

from refmaker.combine.values import Values, values_of
from refmaker.errors import RefmakerError
from refmaker.model.array import VirtualArray
from refmaker.model.chunks import INLINE
from refmaker.model.reference_set import SourceFile
from refmaker.source.spans import Span, read_spans

__all__ = ["Chunks", "Reader"]

BATCH_BYTES = 64 << 20
"""Stored bytes that are held at once."""
BATCH_SPANS = 1 << 14

Chunks = list[tuple[int, bytes]]
"""Position in the grid and stored bytes of each present chunk."""
Wanted = tuple[VirtualArray, int]
"""An array and the number of the input it is of."""


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads chunks of arrays of the inputs.

    Attributes:
        sources: the files.
        ids: by input, from its location ids to places in ``sources``; None where they are the same.
        storage_options: for the files' filesystems.
    """

    sources: Sequence[SourceFile]
    ids: Sequence[npt.NDArray[Any] | None]
    storage_options: Mapping[str, Any] | None = None

    def chunks(self, wanted: Iterable[Wanted]) -> Iterator[Chunks]:
        """Yield the present chunks of each array, in the order asked for; batches of some megabytes are fetched."""
        batch = _Batch()
        for array, number in wanted:
            batch.add(array, self.ids[number])
            if batch.nbytes >= BATCH_BYTES or len(batch.spans) >= BATCH_SPANS:
                yield from self._fetched(batch)
                batch = _Batch()
        yield from self._fetched(batch)

    def values(self, wanted: Sequence[Wanted], labels: Sequence[str], path: str) -> Iterator[Values]:
        """Yield the decoded values of each array; errors name the input and ``path``.

        Raises:
            SourceError: a file cannot be read.
            BrokenFileError: a chunk does not decode.
            UnsupportedError: a codec is not known, or its package is missing.
        """
        for (array, number), chunks in zip(wanted, self.chunks(wanted), strict=True):
            try:
                yield values_of(array, chunks)
            except RefmakerError as error:
                error.location = error.location or labels[number]
                error.path = error.path or path
                raise

    def _fetched(self, batch: "_Batch") -> Iterator[Chunks]:
        data = read_spans(batch.spans, self.sources, self.storage_options) if batch.spans else []
        for chunks in batch.found:
            yield [(position, data[known] if isinstance(known, int) else known) for position, known in chunks]


@dataclass(slots=True)
class _Batch:
    """Arrays whose chunks are fetched together: what is inlined is there already, the rest are rows of ``spans``."""

    spans: list[Span] = field(default_factory=list)
    found: list[list[tuple[int, bytes | int]]] = field(default_factory=list)
    nbytes: int = 0

    def add(self, array: VirtualArray, ids: npt.NDArray[Any] | None) -> None:
        rows: list[tuple[int, bytes | int]] = []
        self.found.append(rows)
        for block in array.manifest.blocks():
            columns = (block.position, block.location_id, block.offset, block.length)
            for position, location_id, offset, length in zip(*(c.tolist() for c in columns), strict=True):
                if location_id == INLINE:
                    rows.append((position, array.manifest.inline[offset : offset + length]))
                    continue
                rows.append((position, len(self.spans)))
                self.spans.append((location_id if ids is None else int(ids[location_id]), offset, length))
                self.nbytes += length
