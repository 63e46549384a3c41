"""Regular references by array: from what a document says to the columns of manifests."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from refmaker.errors import BrokenReferencesError
from refmaker.model.keys import key_of, split_key
from refmaker.references.chunk_keys import chunk_positions
from refmaker.references.documents import ArrayLayout
from refmaker.references.kerchunk_values import Rows
from refmaker.references.regular_references import RegularReferences, decoded
from refmaker.references.source_table import SourceTable

__all__ = ["RegularValues"]


class RegularValues:
    """The regular references of a document, each with the array it belongs to.

    Args:
        references: what was found, or None.
        owner: from a key's path and leaf to the array's path.

    Raises:
        BrokenReferencesError: one belongs to no array.
    """

    def __init__(self, references: RegularReferences | None, owner: Callable[[str, str], str]) -> None:
        self._references = references
        self._rows: dict[str, list[int]] = {}
        if references is None:
            return
        for number, raw in enumerate(references.prefixes):
            leaf = "" if number else split_key(references.key(0))[1]
            self._rows.setdefault(owner(decoded(raw), leaf), []).append(number)

    def of(self, path: str, layout: ArrayLayout, table: SourceTable) -> Rows | None:
        """Return the rows of the array at ``path``, or None if it has none.

        Raises:
            BrokenReferencesError: a key or a range is wrong; it names the key.
        """
        found, numbers = self._references, self._rows.get(path)
        if found is None or not numbers:
            return None
        if len(found.prefixes) == 1:
            row = np.arange(found.prefix.size)
        else:
            mine = np.zeros(len(found.prefixes), np.bool_)
            mine[numbers] = True
            row = np.flatnonzero(mine[found.prefix])
        grid = layout.metadata.grid_shape
        prefix = key_of(path, layout.prefix) if layout.prefix else path
        position = found.positions(row, layout.separator, prefix, grid) if grid else None
        if position is None:
            position = self._exact(found, row, path, layout)
        location_id = _ids(found, found.url[row], table)
        rows = Rows(position, location_id, found.offset[row], found.length[row], lambda n: found.key(int(row[n])))
        rows.check(table)
        return rows

    def _exact(
        self, found: RegularReferences, row: npt.NDArray[np.int64], path: str, layout: ArrayLayout
    ) -> npt.NDArray[np.uint64]:
        """Return the positions of keys that are odd, or raise what is wrong with them."""
        start = key_of(path, layout.prefix + layout.separator if layout.prefix else "")
        indices = []
        for key in map(found.key, row.tolist()):
            scalar = layout.prefix and not layout.metadata.shape and key == key_of(path, layout.prefix)
            if not scalar and not key.startswith(start):
                raise BrokenReferencesError("is not the key of a chunk", path=key[:200])
            indices.append("0" if scalar else key.removeprefix(start))
        try:
            return chunk_positions(indices, layout.metadata.grid_shape, layout.separator)
        except BrokenReferencesError as error:
            error.path = path
            raise


def _ids(found: RegularReferences, url: npt.NDArray[np.uint32], table: SourceTable) -> int | npt.NDArray[np.uint32]:
    """Return location ids of URLs by their numbers, in the order in which the document has them."""
    changes = np.append(0, np.flatnonzero(url[1:] != url[:-1]) + 1)
    numbers = list(dict.fromkeys(url[changes].tolist()))
    ids = np.zeros(len(found.urls), np.uint32)
    for number in numbers:
        ids[number] = table.id(decoded(found.urls[number]))
    return int(ids[numbers[0]]) if len(numbers) == 1 else ids[url]
