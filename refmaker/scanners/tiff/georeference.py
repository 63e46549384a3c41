"""Where a raster lies on the earth: its affine transform or control points, and its reference system.

Source: OGC GeoTIFF 1.1, section 7.3 and annex B; where writers leave doubt, GDAL's reading of it (GTiff driver).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from refmaker.errors import UnsupportedError
from refmaker.model.attributes import JSON
from refmaker.model.reference_set import Note
from refmaker.scanners.tiff.crs import GEOCENTRIC_AXES, describe_crs, epsg_of, is_geocentric, is_geographic
from refmaker.scanners.tiff.geokeys import GeoKeys, Key, numbers_of, read_geokeys
from refmaker.scanners.tiff.series import Series
from refmaker.scanners.tiff.tables import Tag

__all__ = ["GEO_TAGS", "Affine", "Georeference", "georeference_of"]

POINT = 2
"""RasterPixelIsPoint of GTRasterTypeGeoKey: model coordinates are those of pixel centres."""
LARGEST = 1e100
"""A coordinate of no map, in any unit."""
GEO_TAGS = (Tag.GEO_KEY_DIRECTORY, Tag.MODEL_PIXEL_SCALE, Tag.MODEL_TIEPOINT, Tag.MODEL_TRANSFORMATION)
BESIDE = frozenset({"mask", "reduced"})
"""Roles of series that lie where another one does."""
LATITUDE: Mapping[str, JSON] = {
    "standard_name": "latitude",
    "long_name": "latitude",
    "units": "degrees_north",
    "axis": "Y",
}
LONGITUDE: Mapping[str, JSON] = {
    "standard_name": "longitude", "long_name": "longitude", "units": "degrees_east", "axis": "X"
}  # fmt: skip
NORTHING: Mapping[str, JSON] = {"standard_name": "projection_y_coordinate", "axis": "Y"}
EASTING: Mapping[str, JSON] = {"standard_name": "projection_x_coordinate", "axis": "X"}


@dataclass(frozen=True, slots=True)
class Affine:
    """``x = a * column + b * row + c`` and ``y = d * column + e * row + f``, from the corners of pixels."""

    a: float
    b: float
    c: float
    d: float
    e: float
    f: float

    @property
    def is_rectilinear(self) -> bool:
        """Whether rows and columns are along the axes."""
        return self.b == 0 and self.d == 0

    def moved(self, columns: float, rows: float) -> "Affine":
        """Return the transform with its origin at another pixel."""
        c, f = self.a * columns + self.b * rows + self.c, self.d * columns + self.e * rows + self.f
        return Affine(self.a, self.b, c, self.d, self.e, f)

    def scaled(self, width: float, height: float) -> "Affine":
        """Return the transform of pixels that many times as wide and high."""
        return Affine(self.a * width, self.b * height, self.c, self.d * width, self.e * height, self.f)

    def gdal(self) -> str:
        """Return GDAL's spelling: six numbers, the origin's x first."""
        return " ".join(map(repr, (self.c, self.a, self.b, self.f, self.d, self.e)))


@dataclass(frozen=True, slots=True)
class Georeference:
    """What GeoTIFF tags say of a raster of ``shape`` (rows, columns).

    Attributes:
        shape: rows and columns that the transform is for; those of smaller copies are in proportion.
        affine: the transform, or None.
        attributes: of the grid mapping variable: the reference system, control points.
        x: attributes of the x coordinate.
        y: attributes of the y coordinate.
        is_point: whether pixels are points rather than areas.
    """

    shape: tuple[int, int]
    affine: Affine | None
    attributes: Mapping[str, JSON]
    x: Mapping[str, JSON]
    y: Mapping[str, JSON]
    is_point: bool


def georeference_of(series: Series, every: Sequence[Series], notes: list[Note], path: str) -> Georeference | None:
    """Return the georeference of one of a file's series: by its own tags.

    A mask or a smaller copy without such tags lies where the image before it does. Other images without them lie
    nowhere: GDAL gives each directory its own georeference.

    Args:
        series: with all its levels.
        every: all series of the file.
        notes: to which remarks are added.
        path: the series' group, for these.
    """
    own = series
    if not _has_tags(series) and series.role in BESIDE:
        own = _image_before(series, every) or series
    level = own.levels[0]
    if not _has_tags(own):
        return None
    return _read(level.keyframe.tags, (level.length("Y"), level.length("X")), notes, path)


def _has_tags(series: Series) -> bool:
    return any(int(tag) in series.levels[0].keyframe.tags for tag in GEO_TAGS)


def _image_before(series: Series, every: Sequence[Series]) -> Series | None:
    """Return the image of which the last page stands before a series, or the first one, or None without any."""
    start = series.levels[0].keyframe.index
    images = [one for one in every if one.role == "image"]
    last = {one: max((n for n in _numbers(one) if n < start), default=-1) for one in images}
    return max(images, key=lambda one: last[one], default=None)


def _numbers(series: Series) -> list[int]:
    level = series.levels[0]
    return [page.index for page in (level.keyframe, *level.pages) if page is not None]


def _read(tags: Any, shape: tuple[int, int], notes: list[Note], path: str) -> Georeference | None:
    keys = read_geokeys(tags)
    is_point = keys.get(Key.RASTER_TYPE) == POINT
    affine, points = _affine(tags, is_point=is_point), _points(tags, is_point=is_point)
    attributes, x, y = _reference_system(keys, notes, path)
    if affine is None and points.size:
        attributes["gcps"] = _geojson(points)
    if affine is None and not points.size and not attributes:
        return None
    if affine is not None and not affine.is_rectilinear:
        notes.append(Note(path, "geo", "the raster is rotated: it has a GeoTransform, but no x and y coordinates"))
    return Georeference(shape, affine, attributes, x, y, is_point)


def _affine(tags: Any, *, is_point: bool) -> Affine | None:
    """Return the transform that pixel scale and tie point, or a matrix, give."""
    scale, points = numbers_of(tags, Tag.MODEL_PIXEL_SCALE), numbers_of(tags, Tag.MODEL_TIEPOINT)
    matrix = numbers_of(tags, Tag.MODEL_TRANSFORMATION)
    if scale.size >= 2 and scale[0] and scale[1] and points.size >= 6:
        column, row, _, x, y, _ = points[:6].tolist()
        width, height = float(scale[0]), -abs(float(scale[1]))
        affine = Affine(width, 0.0, x - column * width, 0.0, height, y - row * height)
    elif matrix.size == 16:
        a, b, _, c, d, e, _, f = matrix[:8].tolist()
        affine = Affine(a, b, c, d, e, f)
    else:
        return None
    if not all(abs(value) < LARGEST for value in (affine.a, affine.b, affine.c, affine.d, affine.e, affine.f)):
        return None  # not finite, or soon not finite
    return affine.moved(-0.5, -0.5) if is_point else affine


def _points(tags: Any, *, is_point: bool) -> npt.NDArray[np.float64]:
    """Return ground control points, rows of (column, row, level, x, y, z), where tie points are that."""
    points = numbers_of(tags, Tag.MODEL_TIEPOINT)
    points = points[: points.size // 6 * 6].reshape(-1, 6)
    if is_point:
        points = points + np.array([0.5, 0.5, 0, 0, 0, 0])
    return points


def _geojson(points: npt.NDArray[np.float64]) -> str:
    """Return control points as GeoJSON text, as rioxarray writes and reads them."""
    features = [
        {
            "type": "Feature",
            "properties": {"id": str(number), "info": "", "row": row, "col": column},
            "geometry": {"type": "Point", "coordinates": [x, y, z]},
        }
        for number, (column, row, _, x, y, z) in enumerate(points.tolist(), 1)
    ]
    return json.dumps({"type": "FeatureCollection", "features": features})


def _reference_system(
    keys: GeoKeys, notes: list[Note], path: str
) -> tuple[dict[str, JSON], Mapping[str, JSON], Mapping[str, JSON]]:
    """Return the attributes of the grid mapping, of x and of y."""
    x, y = (LONGITUDE, LATITUDE) if is_geographic(keys) else (EASTING, NORTHING)
    if is_geocentric(keys):
        x, y = GEOCENTRIC_AXES
    try:
        described = describe_crs(keys)
    except ImportError:
        code = epsg_of(keys)
        notes.append(Note(path, "crs", "the reference system is an EPSG code at most: pip install 'refmaker[geo]'"))
        return ({} if code is None else {"spatial_ref": f"EPSG:{code}"}), x, y
    except UnsupportedError as error:
        notes.append(Note(path, "crs", error.message))
        return {}, x, y
    if described is None:
        return {}, x, y
    attributes, axes = described
    for axis in axes:
        if axis.get("axis") == "X":
            x = axis
        elif axis.get("axis") == "Y":
            y = axis
    return attributes, x, y
