"""The GeoKey directory of a GeoTIFF: numbers, doubles and texts by key.

Source: OGC GeoTIFF 1.1 (19-008r4), section 7: a directory of 16-bit rows (key, where the value is, how many, value or
index) whose doubles and texts stand in two more tags.
"""

from collections.abc import Mapping
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from refmaker.scanners.tiff.tables import Tag

__all__ = ["USER_DEFINED", "GeoKeys", "Key", "numbers_of", "read_geokeys"]

USER_DEFINED = 32767
"""The code that means: look at the other keys."""


class Key(IntEnum):
    """The keys that are looked at; OGC GeoTIFF 1.1, annex B."""

    MODEL_TYPE = 1024
    RASTER_TYPE = 1025
    CITATION = 1026
    GEODETIC_CRS = 2048
    GEODETIC_CITATION = 2049
    DATUM = 2050
    PRIME_MERIDIAN = 2051
    ANGULAR_UNITS = 2054
    ELLIPSOID = 2056
    SEMI_MAJOR_AXIS = 2057
    SEMI_MINOR_AXIS = 2058
    INVERSE_FLATTENING = 2059
    PRIME_MERIDIAN_LONGITUDE = 2061
    PROJECTED_CRS = 3072
    PROJECTED_CITATION = 3073
    PROJECTION = 3074
    METHOD = 3075
    LINEAR_UNITS = 3076
    LINEAR_UNIT_SIZE = 3077
    STANDARD_PARALLEL_1 = 3078
    STANDARD_PARALLEL_2 = 3079
    NATURAL_ORIGIN_LONGITUDE = 3080
    NATURAL_ORIGIN_LATITUDE = 3081
    FALSE_EASTING = 3082
    FALSE_NORTHING = 3083
    FALSE_ORIGIN_LONGITUDE = 3084
    FALSE_ORIGIN_LATITUDE = 3085
    FALSE_ORIGIN_EASTING = 3086
    FALSE_ORIGIN_NORTHING = 3087
    CENTER_LONGITUDE = 3088
    CENTER_LATITUDE = 3089
    CENTER_EASTING = 3090
    CENTER_NORTHING = 3091
    SCALE_AT_NATURAL_ORIGIN = 3092
    SCALE_AT_CENTER = 3093
    AZIMUTH = 3094
    STRAIGHT_VERTICAL_POLE_LONGITUDE = 3095
    RECTIFIED_GRID_ANGLE = 3096
    VERTICAL_CRS = 4096


GeoKeys = Mapping[int, int | float | str]
"""Values by key."""


def numbers_of(tags: Any, tag: Tag) -> npt.NDArray[np.float64]:
    """Return the values of a tag of numbers among tifffile's tags; none where it has none, or is of another type."""
    value = tags.valueof(int(tag))
    is_numbers = isinstance(value, int | float | tuple | np.ndarray)
    return np.asarray(value, np.float64).ravel() if is_numbers else np.empty(0)


def read_geokeys(tags: Any) -> GeoKeys:
    """Return the GeoKeys among tifffile's tags; rows that lead nowhere are left out, as GDAL does."""
    directory = numbers_of(tags, Tag.GEO_KEY_DIRECTORY).astype(np.int64)
    doubles = numbers_of(tags, Tag.GEO_DOUBLE_PARAMS)
    texts = tags.valueof(int(Tag.GEO_ASCII_PARAMS), "")
    texts = texts if isinstance(texts, str) else ""
    found: dict[int, int | float | str] = {}
    rows = directory[4 : 4 * (directory.size // 4)].reshape(-1, 4).tolist()
    for key, place, count, value in rows:
        if place == 0:
            found[key] = value
        elif place == Tag.GEO_DOUBLE_PARAMS and count and value < doubles.size:
            found[key] = float(doubles[value])
        elif place == Tag.GEO_ASCII_PARAMS:
            found[key] = texts[value : value + count].rstrip("|\0 ")
    if directory.size >= 4 and not (directory[1] == 1 and directory[2] == 0):
        found[0] = int(directory[2])  # the minor revision: 1 in GeoTIFF 1.1
    return found
