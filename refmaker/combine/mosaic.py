"""One array of the result as a mosaic: which input's piece fills which cell, and whether chunks fit side by side."""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from refmaker.combine.axes import Axis
from refmaker.combine.check import Pieces
from refmaker.combine.conflicts import Conflicts
from refmaker.combine.recut import Rows, rows_of
from refmaker.combine.values import decoded_nbytes
from refmaker.model.array import VirtualArray

__all__ = ["Mosaic", "Tile"]

Cell = tuple[int, ...]
"""Places of blocks, one for each axis of a mosaic."""


@dataclass(slots=True)
class Mosaic:
    """An array that is concatenated.

    Attributes:
        pieces: what the inputs have.
        axes: the concatenated dimensions that it has in the result, in the result's order.
        dimension_names: of the result.
        cells: by cell, the inputs that have a piece for it.
        unplaced: by dimension, the inputs that have a piece but no place along it, although nobody dropped them.
        chunk_lengths: of the result along each of ``axes``, once ``fit`` has found them.
        recut_axis: the place in ``axes`` of the one along which pieces are cut anew, or None.
    """

    pieces: Pieces
    axes: tuple[Axis, ...]
    dimension_names: tuple[str, ...] = ()
    cells: dict[Cell, list[int]] = field(default_factory=dict)
    unplaced: dict[str, list[int]] = field(default_factory=dict)
    chunk_lengths: list[int] = field(default_factory=list)
    recut_axis: int | None = None

    def __post_init__(self) -> None:
        own = self.pieces.dimension_names
        self.dimension_names = (*(axis.name for axis in self.axes if axis.name not in own), *own)
        self.axes = tuple(sorted(self.axes, key=lambda axis: self.dimension_names.index(axis.name)))
        for number in self.pieces.arrays:
            if any(number in axis.dropped for axis in self.axes):
                continue
            cell = tuple(axis.block_of.get(number, -1) for axis in self.axes)
            if -1 not in cell:
                self.cells.setdefault(cell, []).append(number)
            else:
                lost = self.axes[cell.index(-1)].name
                self.unplaced.setdefault(lost, []).append(number)

    @property
    def path(self) -> str:
        """The array's."""
        return self.pieces.path

    @property
    def shape(self) -> tuple[int, ...]:
        """The result's."""
        first = self.pieces.first
        sizes = dict(zip(first.dimension_names, first.shape, strict=True))
        sizes.update((axis.name, axis.length) for axis in self.axes)
        return tuple(sizes[name] for name in self.dimension_names)

    @property
    def places(self) -> list[int]:
        """The place of each of ``axes`` among the result's dimensions."""
        return [self.dimension_names.index(axis.name) for axis in self.axes]

    @property
    def nbytes(self) -> int:
        """Decoded bytes of the pieces that are not wholly inlined already."""
        arrays = (self.pieces.arrays[numbers[0]] for numbers in self.cells.values())
        return sum(decoded_nbytes(array.metadata) for array in arrays if array.manifest.location_ids().size)

    def missing_cells(self) -> Iterator[Cell]:
        """Yield the cells that no input fills."""
        every = itertools.product(*(range(len(axis.blocks)) for axis in self.axes))
        if len(self.cells) < math.prod(len(axis.blocks) for axis in self.axes):
            yield from (cell for cell in every if cell not in self.cells)

    def tiles(self) -> Iterator["Tile"]:
        """Yield the first input's piece of every cell that is filled, in the order of cells."""
        for cell in sorted(self.cells):
            number = self.cells[cell][0]
            yield Tile(self, cell, number, self.pieces.arrays[number])

    # -- whether chunks fit ----------------------------------------------------------------------------------------
    def misfit(self, conflicts: Conflicts) -> tuple[str, str] | None:
        """Return why chunks cannot lie side by side, as (what, sentence), or None; then ``chunk_lengths`` are set."""
        if self.pieces.layout:
            what, holders = next(iter(self.pieces.layout.items()))
            return what, "; ".join(f"{value} in {conflicts.inputs(numbers)}" for value, numbers in holders.items())
        tiles = list(self.tiles())
        problems: list[tuple[int, str]] = []
        self.chunk_lengths = []
        for k, axis in enumerate(self.axes):
            lengths = {tile.rows(k).chunk_length for tile in tiles}
            self.chunk_lengths.append(min(lengths))
            if problem := self._problem_along(k, axis, tiles, lengths, conflicts):
                problems.append((k, problem))
        if not problems:
            return None
        if len(problems) == 1:
            k = problems[0][0]
            inserted = any(self.axes[k].name not in tile.array.metadata.dimension_names for tile in tiles)
            trimmed = any(not b.whole for place, axis in enumerate(self.axes) if place != k for b in axis.blocks)
            length = None if inserted or trimmed else rows_of([tile.rows(k) for tile in tiles])
            if length is not None:
                self.chunk_lengths[k], self.recut_axis = length, k
                return None
        return "chunks", "; ".join(problem for _, problem in problems)

    def _problem_along(
        self, k: int, axis: Axis, tiles: Sequence["Tile"], lengths: set[int], conflicts: Conflicts
    ) -> str:
        """Return why chunks do not fit along one axis, or an empty text."""
        if len(lengths) > 1:
            holders: dict[int, list[int]] = {}
            for tile in tiles:
                holders.setdefault(tile.rows(k).chunk_length, []).append(tile.number)
            told = "; ".join(f"{length} in {conflicts.inputs(n)}" for length, n in list(holders.items())[:4])
            return f"they have different lengths along {axis.name!r}: {told}"
        chunk = next(iter(lengths), 1)
        last = len(axis.blocks) - 1
        odd = {
            place
            for place, block in enumerate(axis.blocks)
            if block.start % chunk or (place != last and block.rows % chunk)
        }
        if not odd:
            return ""
        wrong = [tile for tile in tiles if tile.cell[k] in odd]
        cut = next((tile for tile in wrong if not axis.blocks[tile.cell[k]].whole), None)
        if cut is not None:
            block = axis.blocks[cut.cell[k]]
            return (
                f"rows {block.start} to {block.stop} of {conflicts.name(cut.number)} are wanted, which is not where "
                f"its chunks of {chunk} along {axis.name!r} begin and end"
            )
        rows = sorted({axis.blocks[tile.cell[k]].rows for tile in wrong})
        return (
            f"a chunk is {chunk} long along {axis.name!r}, and that does not divide the length {rows[0]} of "
            f"{conflicts.inputs(tile.number for tile in wrong if axis.blocks[tile.cell[k]].rows == rows[0])}"
            + (f" (and {len(rows) - 1} other lengths)" if len(rows) > 1 else "")
        )


@dataclass(frozen=True, slots=True)
class Tile:
    """One input's piece of a mosaic."""

    mosaic: Mosaic
    cell: Cell
    number: int
    array: VirtualArray

    def rows(self, k: int) -> Rows:
        """Return the rows it contributes along one of the mosaic's axes; one row of length 1 if it lacks the axis."""
        axis = self.mosaic.axes[k]
        metadata = self.array.metadata
        block = axis.blocks[self.cell[k]]
        if axis.name not in metadata.dimension_names:
            return _OneRow(self.array, 0, 0, 1)
        return Rows(self.array, metadata.dimension_names.index(axis.name), block.start, block.stop)


class _OneRow(Rows):
    """A piece that becomes one row of a dimension which it lacks."""

    __slots__ = ()

    @property
    def chunk_length(self) -> int:
        """One."""
        return 1
