"""The coordinates of an image: map coordinates of pixel centres, or a microscope's sizes, steps and channels."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from refmaker.model.array import ArrayMetadata, VirtualArray
from refmaker.model.attributes import JSON
from refmaker.model.chunks import ChunkManifest
from refmaker.model.reference_set import Note
from refmaker.scanners.tiff.georeference import Georeference
from refmaker.scanners.tiff.microscopy import Scale, scale_of
from refmaker.scanners.tiff.series import Level, Series

__all__ = ["Coordinates", "coordinates_of"]

GRID_MAPPING = "spatial_ref"
RASTER_KINDS = frozenset({"generic", "geotiff", "page", "shaped", "uniform"})
"""tifffile's kinds of series that may be maps (``geotiff`` since 2026.11, before that ``uniform`` or ``generic``)."""
MOST_ELEMENTS = 1 << 22
"""Elements of a coordinate beyond which it is left out: no raster is that wide, but a broken file may say so."""


@dataclass(frozen=True, slots=True)
class Coordinates:
    """What the axes of a series mean.

    Attributes:
        first: the largest level, which sizes are given for.
        georeference: of the file, or None.
        scale: of a microscope's image.
        bands: whether samples are bands of a raster.
    """

    first: Level
    georeference: Georeference | None = None
    scale: Scale = field(default_factory=Scale)
    bands: bool = False

    def dimensions(self, level: Level, outer: Mapping[str, int], suffix: str) -> tuple[str, ...]:
        """Return the names of dimensions: tifffile's letters in lower case, ``band`` for the samples of a raster.

        Args:
            level: whose dimensions.
            outer: lengths of the dimensions of groups around it. xarray wants a dimension of one name to be the same
                along a branch of the tree, so one of another length gets a name of its own.
            suffix: which makes it.
        """
        names: list[str] = []
        for position, (letter, length) in enumerate(zip(level.axes, level.shape, strict=True)):
            name = "band" if letter == "S" and self.bands else letter.lower()
            name = f"{name}_{suffix}" if outer.get(name, length) != length else name
            names.append(f"{name}_{position}" if name in names else name)
        return tuple(names)

    @property
    def sizes(self) -> dict[str, float]:
        """The size of an element of the largest level, by dimension."""
        affine = self.georeference.affine if self.georeference else None
        if affine is not None and affine.is_rectilinear:
            return {"x": abs(affine.a), "y": abs(affine.e)}
        return dict(self.scale.sizes)

    @property
    def units(self) -> dict[str, str]:
        """The units of sizes in OME-NGFF's words, by dimension."""
        return {} if self.georeference else {name: unit for name, (_, unit) in self.scale.units.items()}

    @property
    def attributes(self) -> dict[str, JSON]:
        """The attributes that an image has because of its coordinates."""
        if self.georeference is None:
            return {}
        return {"grid_mapping": GRID_MAPPING, "AREA_OR_POINT": "Point" if self.georeference.is_point else "Area"}

    def arrays(self, level: Level, names: Sequence[str]) -> Iterator[tuple[str, VirtualArray]]:
        """Yield the coordinates of a level whose dimensions have these names; none where it has no pixels."""
        if 0 in level.shape:
            return
        if self.georeference is not None:
            yield from self._map(level, names, self.georeference)
        else:
            yield from self._scaled(level, names)

    def _map(
        self, level: Level, names: Sequence[str], georeference: Georeference
    ) -> Iterator[tuple[str, VirtualArray]]:
        attributes = dict(georeference.attributes)
        if georeference.affine is not None:
            rows, columns = level.length("Y"), level.length("X")
            affine = georeference.affine.scaled(georeference.shape[1] / columns, georeference.shape[0] / rows)
            attributes["GeoTransform"] = affine.gdal()
            if affine.is_rectilinear and max(rows, columns) <= MOST_ELEMENTS and {"X", "Y"} <= set(level.axes):
                centre = affine.moved(0.5, 0.5)
                x, y = (names[level.axes.index(letter)] for letter in "XY")
                yield x, _inlined(centre.a * np.arange(columns) + centre.c, x, georeference.x)
                yield y, _inlined(centre.e * np.arange(rows) + centre.f, y, georeference.y)
        yield GRID_MAPPING, _inlined(np.array(0, "<i8"), None, attributes)

    def _scaled(self, level: Level, names: Sequence[str]) -> Iterator[tuple[str, VirtualArray]]:
        for name, letter, length in zip(names, level.axes, level.shape, strict=True):
            axis = letter.lower()
            if len(self.scale.labels.get(axis, ())) == length:
                yield name, _inlined(np.array(self.scale.labels[axis], np.str_), name, {})
            elif axis in self.scale.sizes and length <= MOST_ELEMENTS:
                size = self.scale.sizes[axis] * self.first.length(letter) / length
                unit = {"units": self.scale.units[axis][0]} if axis in self.scale.units else {}
                yield name, _inlined(np.arange(length) * size, name, unit)


def _inlined(values: npt.NDArray[Any], dimension: str | None, attributes: Mapping[str, JSON]) -> VirtualArray:
    """Return an array of one chunk, stored in the references; of one axis, or a scalar."""
    stored = values.astype(values.dtype.newbyteorder("<"))
    metadata = ArrayMetadata(
        shape=stored.shape,
        chunk_shape=stored.shape,
        data_type=stored.dtype,
        dimension_names=() if dimension is None else (dimension,),
        attributes=attributes,
    )
    return VirtualArray(metadata, ChunkManifest.inlined((1,) * stored.ndim, [stored.tobytes()]))


def coordinates_of(series: Series, georeference: Georeference | None, notes: list[Note], path: str) -> Coordinates:
    """Return what the axes of a series mean."""
    first = series.levels[0]
    is_raster = series.kind in RASTER_KINDS
    if georeference is not None and is_raster:
        return Coordinates(first, georeference, bands=True)
    tags = first.keyframe.tags
    bands = is_raster and any(code in tags for code in (42112, 42113))
    if max(first.shape, default=0) > MOST_ELEMENTS:
        notes.append(Note(path, "coordinates", f"an axis of {max(first.shape)} elements has no coordinates"))
    return Coordinates(first, scale=scale_of(series), bands=bands)
