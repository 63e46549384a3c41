"""The coordinate reference system that GeoKeys describe, by pyproj where it is installed.

An EPSG code is looked up; a projection of the user's own is put together from its parameters on top of its geodetic
system; Esri's well-known text in a citation is taken where it stands. Source: OGC GeoTIFF 1.1, annexes B and C.
"""

import re
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from refmaker.errors import UnsupportedError
from refmaker.model.attributes import JSON
from refmaker.scanners.tiff.geokeys import USER_DEFINED, GeoKeys, Key

__all__ = ["GEOCENTRIC_AXES", "describe_crs", "epsg_of", "is_geocentric", "is_geographic"]

PROJECTED, GEOGRAPHIC, GEOCENTRIC = 1, 2, 3
"""GTModelTypeGeoKey."""
GEOCENTRIC_AXES: tuple[Mapping[str, JSON], Mapping[str, JSON]] = (
    {"long_name": "Geocentric X", "axis": "X"},
    {"long_name": "Geocentric Y", "axis": "Y"},
)
"""Attributes of x and y where they are no position on the earth's surface: CF has no names for them."""
NATURAL = {"lat_0": Key.NATURAL_ORIGIN_LATITUDE, "lon_0": Key.NATURAL_ORIGIN_LONGITUDE}
CENTER = {"lat_0": Key.CENTER_LATITUDE, "lon_0": Key.CENTER_LONGITUDE}
PARALLELS = {"lat_1": Key.STANDARD_PARALLEL_1, "lat_2": Key.STANDARD_PARALLEL_2}
FALSE = {"x_0": Key.FALSE_EASTING, "y_0": Key.FALSE_NORTHING}
SCALE = {"k_0": Key.SCALE_AT_NATURAL_ORIGIN}
POLE = {"lat_ts": Key.NATURAL_ORIGIN_LATITUDE, "lon_0": Key.STRAIGHT_VERTICAL_POLE_LONGITUDE}
OBLIQUE = {"lat_0": Key.CENTER_LATITUDE, "lonc": Key.CENTER_LONGITUDE, "alpha": Key.AZIMUTH, "k_0": Key.SCALE_AT_CENTER}

METHODS: Mapping[int, tuple[str, Mapping[str, Key]]] = {
    1: ("tmerc", NATURAL | SCALE | FALSE),
    3: ("omerc", OBLIQUE | {"gamma": Key.RECTIFIED_GRID_ANGLE} | FALSE),
    7: ("merc", {"lon_0": Key.NATURAL_ORIGIN_LONGITUDE, "lat_ts": Key.STANDARD_PARALLEL_1} | SCALE | FALSE),
    8: ("lcc", PARALLELS | NATURAL | FALSE),
    9: ("lcc", {"lat_1": Key.NATURAL_ORIGIN_LATITUDE} | NATURAL | SCALE | FALSE),
    10: ("laea", CENTER | FALSE),
    11: ("aea", PARALLELS | NATURAL | FALSE),
    12: ("aeqd", CENTER | FALSE),
    13: ("eqdc", PARALLELS | CENTER | FALSE),
    14: ("stere", CENTER | SCALE | FALSE),
    15: ("stere", POLE | SCALE | FALSE),
    16: ("sterea", NATURAL | SCALE | FALSE),
    17: ("eqc", CENTER | {"lat_ts": Key.STANDARD_PARALLEL_1} | FALSE),
    18: ("cass", NATURAL | FALSE),
    19: ("gnom", CENTER | FALSE),
    20: ("mill", {"lon_0": Key.CENTER_LONGITUDE} | FALSE),
    21: ("ortho", CENTER | FALSE),
    22: ("poly", NATURAL | FALSE),
    23: ("robin", {"lon_0": Key.CENTER_LONGITUDE} | FALSE),
    24: ("sinu", {"lon_0": Key.CENTER_LONGITUDE} | FALSE),
    25: ("vandg", {"lon_0": Key.CENTER_LONGITUDE} | FALSE),
    28: ("cea", {"lon_0": Key.NATURAL_ORIGIN_LONGITUDE, "lat_ts": Key.STANDARD_PARALLEL_1} | FALSE),
}
"""ProjMethodGeoKey -> PROJ's name and the key of each of its parameters; OGC GeoTIFF 1.1, annex C."""
SAME: Mapping[Key, tuple[Key, ...]] = {
    Key.NATURAL_ORIGIN_LONGITUDE: (Key.FALSE_ORIGIN_LONGITUDE, Key.CENTER_LONGITUDE),
    Key.NATURAL_ORIGIN_LATITUDE: (Key.FALSE_ORIGIN_LATITUDE, Key.CENTER_LATITUDE),
    Key.CENTER_LONGITUDE: (Key.NATURAL_ORIGIN_LONGITUDE, Key.FALSE_ORIGIN_LONGITUDE),
    Key.CENTER_LATITUDE: (Key.NATURAL_ORIGIN_LATITUDE, Key.FALSE_ORIGIN_LATITUDE),
    Key.FALSE_EASTING: (Key.FALSE_ORIGIN_EASTING, Key.CENTER_EASTING),
    Key.FALSE_NORTHING: (Key.FALSE_ORIGIN_NORTHING, Key.CENTER_NORTHING),
    Key.STRAIGHT_VERTICAL_POLE_LONGITUDE: (Key.NATURAL_ORIGIN_LONGITUDE, Key.CENTER_LONGITUDE),
    Key.SCALE_AT_NATURAL_ORIGIN: (Key.SCALE_AT_CENTER,),
    Key.SCALE_AT_CENTER: (Key.SCALE_AT_NATURAL_ORIGIN,),
}
"""Keys under which writers also put a parameter, as libgeotiff reads them."""
METRES = {9001: 1.0, 9002: 0.3048, 9003: 12 / 39.37, 9036: 1000.0}
"""ProjLinearUnitsGeoKey; OGC GeoTIFF 1.1, annex C (EPSG's numbers of units)."""
LOCAL = 'LOCAL_CS["{name}",UNIT["unknown",{metres}],AXIS["Easting",EAST],AXIS["Northing",NORTH]]'
"""A plane of unknown projection, as GDAL calls it."""
ESRI_TEXT = re.compile(r"ESRI PE String = ((?:PROJ|GEOG)CS\[.*\])", re.DOTALL)


def epsg_of(keys: GeoKeys) -> int | None:
    """Return the EPSG code of a georeference, or None: it has none, or one of the user's own."""
    key = Key.GEODETIC_CRS if is_geographic(keys) else Key.PROJECTED_CRS
    code = keys.get(key)
    return code if isinstance(code, int) and 1024 <= code < USER_DEFINED else None


def is_geographic(keys: GeoKeys) -> bool:
    """Whether coordinates are longitudes and latitudes."""
    return keys.get(Key.MODEL_TYPE) == GEOGRAPHIC or (Key.PROJECTED_CRS not in keys and Key.GEODETIC_CRS in keys)


def is_geocentric(keys: GeoKeys) -> bool:
    """Whether coordinates are distances from the earth's centre."""
    return keys.get(Key.MODEL_TYPE) == GEOCENTRIC


def describe_crs(keys: GeoKeys) -> tuple[dict[str, JSON], list[Mapping[str, JSON]]] | None:
    """Return the CF attributes of the grid mapping and of each axis, or None where GeoKeys describe none.

    Raises:
        ImportError: pyproj is not installed.
        UnsupportedError: they describe one that cannot be put together.
    """
    pyproj = import_module("pyproj.crs")
    broken = import_module("pyproj.exceptions").ProjError
    try:
        crs = _crs(pyproj, keys)
        if crs is None:
            return None
        attributes: dict[str, JSON] = dict(crs.to_cf())
        attributes["spatial_ref"] = attributes["crs_wkt"]
        return attributes, list(GEOCENTRIC_AXES if crs.is_geocentric else crs.cs_to_cf())
    except (broken, ValueError, TypeError, KeyError) as error:
        raise UnsupportedError(f"its reference system cannot be put together: {error}", code="crs") from error


def _crs(pyproj: Any, keys: GeoKeys) -> Any:
    """Return the ``pyproj.CRS`` of GeoKeys, or None where they describe none."""
    for key in (Key.PROJECTED_CITATION, Key.CITATION, Key.GEODETIC_CITATION):
        if match := ESRI_TEXT.search(str(keys.get(key, ""))):
            return pyproj.CRS.from_wkt(match[1])
    if (code := epsg_of(keys)) is not None:
        return _with_height(pyproj, pyproj.CRS.from_epsg(code), keys)
    if is_geocentric(keys):
        return _geocentric(pyproj, _geodetic(pyproj, keys))
    if is_geographic(keys):
        return _geodetic(pyproj, keys)
    return _projected(pyproj, keys) if keys.get(Key.PROJECTED_CRS) == USER_DEFINED else None


def _with_height(pyproj: Any, horizontal: Any, keys: GeoKeys) -> Any:
    """Return the compound of a horizontal system and the vertical one there may be: from GeoTIFF 1.1 on, as GDAL."""
    code = keys.get(Key.VERTICAL_CRS)
    if not (keys.get(0) == 1 and isinstance(code, int) and 1024 <= code < USER_DEFINED):
        return horizontal
    vertical = pyproj.CRS.from_epsg(code)
    if not vertical.is_vertical:
        return horizontal
    return pyproj.CompoundCRS(f"{horizontal.name} + {vertical.name}", [horizontal, vertical])


def _geodetic(pyproj: Any, keys: GeoKeys) -> Any:
    """Return the geodetic system: EPSG's, or one on an ellipsoid of its own."""
    own = import_module("pyproj.crs.datum")
    code = keys.get(Key.GEODETIC_CRS)
    if isinstance(code, int) and 1024 <= code < USER_DEFINED:
        return pyproj.CRS.from_epsg(code)
    name = _name(keys, Key.GEODETIC_CITATION)
    datum = keys.get(Key.DATUM)
    if isinstance(datum, int) and 1024 <= datum < USER_DEFINED:
        return pyproj.GeographicCRS(name=name, datum=pyproj.Datum.from_epsg(datum))
    ellipsoid: Any
    if (axis := _number(keys, Key.SEMI_MAJOR_AXIS)) is not None:
        flattening, minor = _number(keys, Key.INVERSE_FLATTENING), _number(keys, Key.SEMI_MINOR_AXIS)
        if not flattening and minor is None:
            minor = axis
        ellipsoid = own.CustomEllipsoid(
            name="unknown",
            semi_major_axis=axis,
            inverse_flattening=flattening or None,
            semi_minor_axis=None if flattening else minor,
        )
    elif isinstance(code := keys.get(Key.ELLIPSOID), int) and 1024 <= code < USER_DEFINED:
        ellipsoid = pyproj.Ellipsoid.from_epsg(code)
    else:
        return pyproj.CRS.from_epsg(4326) if "WGS 84" in name or "WGS_1984" in name else _unknown(keys)
    meridian = _number(keys, Key.PRIME_MERIDIAN_LONGITUDE) or 0.0
    greenwich = pyproj.PrimeMeridian.from_epsg(8901)
    prime = own.CustomPrimeMeridian(longitude=meridian, name="unknown") if meridian else greenwich
    return pyproj.GeographicCRS(name, own.CustomDatum(name="unknown", ellipsoid=ellipsoid, prime_meridian=prime))


def _geocentric(pyproj: Any, geodetic: Any) -> Any:
    """Return the geocentric system of a geodetic one's datum."""
    axes = pyproj.CRS.from_epsg(4978).to_json_dict()["coordinate_system"]
    spelled = {name: value for name, value in geodetic.to_json_dict().items() if name != "id"}
    return pyproj.CRS.from_json_dict({**spelled, "type": "GeodeticCRS", "coordinate_system": axes})


def _unknown(keys: GeoKeys) -> Any:
    raise UnsupportedError(f"its geodetic system is not described ({_name(keys, Key.GEODETIC_CITATION)})", code="crs")


def _projected(pyproj: Any, keys: GeoKeys) -> Any:
    """Return the projected system that parameters describe."""
    geodetic = _geodetic(pyproj, keys)
    projection = keys.get(Key.PROJECTION)
    name = _name(keys, Key.PROJECTED_CITATION)
    metres = METRES.get(int(_number(keys, Key.LINEAR_UNITS) or 9001)) or _number(keys, Key.LINEAR_UNIT_SIZE) or 1.0
    if isinstance(projection, int) and 10000 < projection < USER_DEFINED:
        conversion = pyproj.CoordinateOperation.from_epsg(projection)
        template = pyproj.CRS.from_dict({"proj": "tmerc", "to_meter": metres})
    else:
        method = keys.get(Key.METHOD)
        if not isinstance(method, int) or method not in METHODS:
            return pyproj.CRS.from_wkt(LOCAL.format(name=name.replace(chr(34), ""), metres=metres))
        template = pyproj.CRS.from_dict(_parameters(keys, METHODS[method], metres))
        conversion = template.coordinate_operation
    return pyproj.ProjectedCRS(conversion, name=name, geodetic_crs=geodetic, cartesian_cs=template.coordinate_system)


def _parameters(keys: GeoKeys, method: tuple[str, Mapping[str, Key]], metres: float) -> dict[str, Any]:
    """Return PROJ's parameters, angles in degrees, lengths in metres."""
    proj, listed = method
    found: dict[str, Any] = {"proj": proj}
    for parameter, key in listed.items():
        value = next((v for k in (key, *SAME.get(key, ())) if (v := _number(keys, k)) is not None), None)
        if value is not None:
            found[parameter] = value * metres if parameter in {"x_0", "y_0"} else value
    if listed is METHODS[15][1]:  # polar: the true-scale parallel says which pole
        found["lat_0"] = -90 if found.get("lat_ts", 90) < 0 else 90
        if abs(found.get("lat_ts", 90)) == 90:
            found.pop("lat_ts", None)
    if metres != 1:
        found["to_meter"] = metres
    return found


def _number(keys: GeoKeys, key: Key) -> float | None:
    value = keys.get(key)
    return float(value) if isinstance(value, int | float) else None


def _name(keys: GeoKeys, key: Key) -> str:
    """Return the name in a citation: what stands behind ``Name =`` in those of libgeotiff, else all of it."""
    text = str(keys.get(key) or keys.get(Key.CITATION) or "unknown")
    cut: Callable[[str], str] = lambda found: found.partition("|")[0].strip()  # noqa: E731
    for mark in ("PCS Name =", "GCS Name ="):
        if mark in text:
            return cut(text.rpartition(mark)[2])
    return cut(text) or "unknown"
