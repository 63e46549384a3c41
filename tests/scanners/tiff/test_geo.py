"""GeoTIFFs: the transform, coordinates, reference system, no-data value and metadata of rasterio and rioxarray."""

import csv
import json
import math
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from refmaker.errors import RefmakerError
from refmaker.model.attributes import JSON
from refmaker.model.reference_set import ReferenceSet
from tests.scanners.tiff.reading import array_at, outcome, scanned, values_of
from tests.scanners.tiff.samples import pattern
from tests.scanners.tiff.test_corpus import CORPUS, MANIFEST, needs_corpus

rasterio = pytest.importorskip("rasterio")
rioxarray = pytest.importorskip("rioxarray")
pyproj = pytest.importorskip("pyproj")

from affine import Affine  # noqa: E402  it comes with rasterio

NORTH_UP = Affine(30.0, 0.0, 500_000.0, 0.0, -20.0, 4_600_000.0)


def write(path: Path, image: np.ndarray, *, after: Any = None, **profile: Any) -> None:
    """Write a GeoTIFF with rasterio; ``after`` is called with the open dataset."""
    image = image if image.ndim == 3 else image[np.newaxis]
    options = {
        "count": image.shape[0],
        "height": image.shape[1],
        "width": image.shape[2],
        "dtype": image.dtype,
        **profile,
    }
    with rasterio.open(path, "w", driver="GTiff", **options) as file:
        file.write(image)
        if after is not None:
            after(file)


def mapping(result: ReferenceSet, group: str = "") -> dict[str, JSON]:
    return dict(array_at(result, f"{group}/spatial_ref".lstrip("/")).metadata.attributes)


def transform_of(attributes: dict[str, JSON]) -> tuple[float, ...]:
    return tuple(map(float, str(attributes["GeoTransform"]).split()))


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # rasterio warns of files without georeference
        yield


def assert_same_crs(wkt: JSON, native: Any) -> None:
    """Both systems map the neighbourhood of a point to the same longitudes and latitudes, in the same units."""
    mine, theirs = pyproj.CRS.from_wkt(wkt), pyproj.CRS.from_wkt(native.to_wkt())
    if mine.equals(theirs, ignore_axis_order=True):
        return
    assert mine.ellipsoid.semi_major_metre == pytest.approx(theirs.ellipsoid.semi_major_metre, abs=1e-3)
    xs, ys = np.linspace(1e3, 5e5, 5), np.linspace(-3e5, 4e5, 5)
    points = [pyproj.Transformer.from_crs(c, c.geodetic_crs, always_xy=True).transform(xs, ys) for c in (mine, theirs)]
    np.testing.assert_allclose(points[0], points[1], atol=1e-9)


def assert_like_rasterio(path: Path) -> ReferenceSet:
    result = scanned(path)
    with rasterio.open(path) as file, rioxarray.open_rasterio(path) as opened:
        data = array_at(result, "data").metadata
        assert data.attributes["grid_mapping"] == "spatial_ref"
        attributes = mapping(result)
        if not file.transform.is_identity:
            assert transform_of(attributes) == pytest.approx(file.transform.to_gdal(), rel=1e-15)
        if file.crs is not None:
            assert_same_crs(attributes["crs_wkt"], file.crs)
        if file.nodata is not None:
            np.testing.assert_equal(float(data.fill_value), file.nodata)
            np.testing.assert_equal(data.attributes["_FillValue"], file.nodata)
        if "x" in result.root.arrays:
            np.testing.assert_array_equal(values_of(array_at(result, "x"), result), opened.x)
            np.testing.assert_array_equal(values_of(array_at(result, "y"), result), opened.y)
    return result


CRS = {
    "EPSG projected": "EPSG:32633",
    "EPSG geographic": "EPSG:4326",
    "feet": "EPSG:2227",
    "sinusoidal on a sphere": "+proj=sinu +lon_0=0 +R=6371007.181 +units=m +no_defs",
    "Albers": "+proj=aea +lat_1=29.5 +lat_2=45.5 +lat_0=23 +lon_0=-96 +x_0=10 +y_0=20 +datum=NAD83 +units=m",
    "Lambert conic": "+proj=lcc +lat_1=33 +lat_2=45 +lat_0=39 +lon_0=-96 +ellps=GRS80 +units=m",
    "Lambert azimuthal": "+proj=laea +lat_0=52 +lon_0=10 +x_0=4321000 +y_0=3210000 +ellps=GRS80 +units=m",
    "transverse Mercator": "+proj=tmerc +lat_0=1 +lon_0=9 +k=0.9996 +x_0=500000 +y_0=7 +ellps=WGS84 +units=m",
    "polar stereographic": "+proj=stere +lat_0=90 +lat_ts=70 +lon_0=-45 +ellps=WGS84 +units=m",
    "Mercator": "+proj=merc +lon_0=5 +k=1 +ellps=WGS84 +units=m",
    "own ellipsoid": "+proj=longlat +a=6378000 +b=6356000 +no_defs",
}


@pytest.mark.parametrize("crs", CRS)
def test_reference_systems_are_rasterios(crs: str, tmp_path: Path) -> None:
    write(tmp_path / "it.tif", pattern((20, 30)), crs=CRS[crs], transform=NORTH_UP)
    assert_like_rasterio(tmp_path / "it.tif")


@pytest.mark.parametrize("kind", ["Area", "Point"])
def test_coordinates_are_those_of_pixel_centres(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "it.tif"
    write(path, pattern((20, 30)), crs="EPSG:32633", transform=NORTH_UP,
          after=lambda file: file.update_tags(AREA_OR_POINT=kind))  # fmt: skip
    result = assert_like_rasterio(path)
    assert array_at(result, "data").metadata.attributes["AREA_OR_POINT"] == kind
    assert values_of(array_at(result, "x"), result)[0] == 500_015
    x, y = (array_at(result, name).metadata.attributes for name in "xy")
    assert (x["standard_name"], x["units"], x["axis"]) == ("projection_x_coordinate", "metre", "X")
    assert (y["standard_name"], y["units"], y["axis"]) == ("projection_y_coordinate", "metre", "Y")


def test_a_rotated_raster_has_its_transform_alone(tmp_path: Path) -> None:
    path = tmp_path / "it.tif"
    write(path, pattern((20, 30)), crs="EPSG:32633", transform=NORTH_UP @ Affine.rotation(30))
    result = assert_like_rasterio(path)
    assert set(result.root.arrays) == {"data", "spatial_ref"}
    assert any("rotated" in note.sentence for note in result.report.notes)


def test_control_points_are_geojson(tmp_path: Path) -> None:
    path = tmp_path / "it.tif"
    points = [rasterio.control.GroundControlPoint(r, c, 10 + c, 50 - r, 7.0) for r, c in ((0, 0), (0, 30), (20, 0))]
    with rasterio.open(path, "w", driver="GTiff", count=1, height=20, width=30, dtype="uint8") as file:
        file.gcps = points, rasterio.crs.CRS.from_epsg(4326)
        file.write(pattern((20, 30)), 1)
    attributes = mapping(scanned(path))
    features = json.loads(str(attributes["gcps"]))["features"]
    got = [(f["properties"]["row"], f["properties"]["col"], *f["geometry"]["coordinates"]) for f in features]
    assert got == [(p.row, p.col, p.x, p.y, p.z) for p in points]
    assert "GeoTransform" not in attributes
    assert_same_crs(attributes["crs_wkt"], rasterio.crs.CRS.from_epsg(4326))


@pytest.mark.parametrize(
    ("dtype", "nodata"), [("u1", 255), ("i2", -9999), ("f4", math.nan), ("f4", -3.4028234663852886e38), ("f8", 1e20)]
)
def test_nodata_is_the_fill_value(dtype: str, nodata: float, tmp_path: Path) -> None:
    path = tmp_path / "it.tif"
    write(path, pattern((20, 30), dtype), crs="EPSG:4326", transform=NORTH_UP, nodata=nodata)
    assert_like_rasterio(path)


@pytest.mark.parametrize("nodata", [0, 1])
def test_absent_tiles_of_one_bit_are_nodata(nodata: int, tmp_path: Path) -> None:
    path = tmp_path / "it.tif"
    tiles = {"tiled": True, "blockxsize": 16, "blockysize": 16, "SPARSE_OK": "TRUE", "NBITS": 1}
    size = {"count": 1, "height": 32, "width": 32, "dtype": "uint8"}
    with rasterio.open(path, "w", driver="GTiff", nodata=nodata, transform=NORTH_UP, **size, **tiles) as file:
        file.write(np.eye(16, 32, dtype="u1")[np.newaxis], window=((0, 16), (0, 32)))
    with rasterio.open(path) as file:
        want = file.read(1)
    result = scanned(path)
    data = array_at(result, "data")
    assert data.manifest.present < 4
    assert "_FillValue" not in data.metadata.attributes
    np.testing.assert_array_equal(values_of(data, result), want.astype(bool))


def described(file: Any, *, alike: bool) -> None:
    for band in (1, 2):
        step = 0 if alike else band
        file.set_band_description(band, "temperature" if alike else f"band {band}")
    file.scales = (0.1, 0.1 + (0 if alike else 0.2))
    file.offsets = (5.0, 5.0 + step)
    file.units = ("K", "K" if alike else "m")
    file.update_tags(instrument="a camera")


def test_metadata_of_bands_that_agree_are_cf_attributes(tmp_path: Path) -> None:
    path = tmp_path / "it.tif"
    write(path, pattern((2, 20, 30)), transform=NORTH_UP, crs="EPSG:4326", interleave="pixel",
          after=lambda file: described(file, alike=True))  # fmt: skip
    result = assert_like_rasterio(path)
    data = array_at(result, "data").metadata
    assert data.dimension_names == ("y", "x", "band")
    wanted = {"scale_factor": 0.1, "add_offset": 5.0, "units": "K", "long_name": "temperature"}
    assert {name: data.attributes.get(name) for name in wanted} == wanted
    assert result.root.attributes["instrument"] == "a camera"


def test_metadata_of_bands_that_differ_are_listed(tmp_path: Path) -> None:
    path = tmp_path / "it.tif"
    write(path, pattern((2, 20, 30)), transform=NORTH_UP, crs="EPSG:4326", interleave="band", compress="deflate",
          after=lambda file: described(file, alike=False))  # fmt: skip
    data = array_at(assert_like_rasterio(path), "data").metadata
    assert data.dimension_names == ("band", "y", "x")
    wanted = {"scales": [0.1, 0.1 + 0.2], "offsets": [5.0, 7.0], "units": ["K", "m"], "long_name": ["band 1", "band 2"]}
    for name, value in wanted.items():
        assert data.attributes[name] == pytest.approx(value) if name in {"scales", "offsets"} else value
    assert not {"scale_factor", "add_offset"} & set(data.attributes)


def test_overviews_and_masks_have_coordinates_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "it.tif"
    image = pattern((3, 256, 384))
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        write(path, image, transform=NORTH_UP, crs="EPSG:32633", tiled=True, blockxsize=64, blockysize=64,
              compress="deflate", interleave="pixel", after=lambda file: file.write_mask(image[0] > 50))  # fmt: skip
        with rasterio.open(path, "r+") as file:
            file.build_overviews([2, 4])
    result = assert_like_rasterio(path)
    assert sorted(state.path for state in result.report.datasets) == [
        "data", "level_1/data", "level_2/data", "mask/data", "mask/level_1/data", "mask/level_2/data"
    ]  # fmt: skip
    for level in (1, 2):
        with rasterio.open(path, overview_level=level - 1) as file:
            assert transform_of(mapping(result, f"level_{level}")) == file.transform.to_gdal()
            x = values_of(array_at(result, f"mask/level_{level}/x_{level}"), result)
            assert x[0] == file.transform.c + file.transform.a / 2
            mask = values_of(array_at(result, f"mask/level_{level}/data"), result)
            np.testing.assert_array_equal(mask, file.dataset_mask() > 0)


@pytest.mark.parametrize("nbits", [1, 2, 4, 7, 10, 12, 20, 24])
def test_packed_samples_are_gdals(nbits: int, tmp_path: Path) -> None:
    path = tmp_path / "it.tif"
    image = pattern((20, 30), "u1" if nbits <= 8 else "u2" if nbits <= 16 else "u4") * (1 if nbits < 8 else 7)
    image %= 1 << nbits
    write(path, image, nbits=nbits, transform=NORTH_UP, crs="EPSG:4326")
    result = scanned(path)
    np.testing.assert_array_equal(values_of(array_at(result, "data"), result), image)


def test_sparse_files_of_gdal_are_sparse(tmp_path: Path) -> None:
    path = tmp_path / "it.tif"
    image = np.zeros((64, 128), "i2")
    image[:30, :40] = pattern((30, 40), "i2")
    options = {"tiled": True, "blockxsize": 32, "blockysize": 32, "compress": "deflate", "sparse_ok": True}
    write(path, image, transform=NORTH_UP, crs="EPSG:4326", **options)
    result = scanned(path)
    assert array_at(result, "data").manifest.present == 2
    np.testing.assert_array_equal(values_of(array_at(result, "data"), result), image)


def test_geo_off_leaves_no_coordinates(tmp_path: Path) -> None:
    write(tmp_path / "it.tif", pattern((20, 30)), crs="EPSG:32633", transform=NORTH_UP)
    result = scanned(tmp_path / "it.tif", geo="off")
    assert set(result.root.arrays) == {"data"}
    assert "grid_mapping" not in array_at(result, "data").metadata.attributes


def test_without_pyproj_the_epsg_code_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "it.tif", pattern((20, 30)), crs="EPSG:32633", transform=NORTH_UP)
    monkeypatch.setitem(__import__("sys").modules, "pyproj.crs", None)
    result = scanned(tmp_path / "it.tif")
    assert mapping(result)["spatial_ref"] == "EPSG:32633"
    assert "x" in result.root.arrays
    assert any("refmaker[geo]" in note.sentence for note in result.report.notes)


SCALE, TIE, NODATA = 33550, 33922, 42113


def geo_tags(x: float, y: float, *more: Any) -> list[Any]:
    """Return the tags of pixels 10 wide whose first corner is there."""
    return [(SCALE, "d", 3, (10.0, 10.0, 0.0), True), (TIE, "d", 6, (0.0, 0.0, 0.0, x, y, 0.0), True), *more]


def test_each_image_lies_where_its_own_tags_say(tmp_path: Path) -> None:
    path = tmp_path / "it.tif"
    with tifffile.TiffWriter(path) as file:
        for x, shape in ((0, (8, 9)), (1000, (5, 9)), (None, (4, 7))):
            tags = [] if x is None else geo_tags(x, 50)
            file.write(pattern(shape), extratags=tags, metadata=None, compression="zlib")
    result = scanned(path)
    for number in (0, 1):
        with rasterio.open(f"GTIFF_DIR:{number + 1}:{path}") as file:
            assert transform_of(mapping(result, f"series_{number}")) == file.transform.to_gdal()
    x, y = (values_of(array_at(result, f"series_1/{name}"), result) for name in "xy")
    assert (x[:2].tolist(), y[:2].tolist()) == ([1005, 1015], [45, 35])
    assert set(result.root.groups["series_2"].arrays) == {"data"}


def test_an_image_beside_that_lies_elsewhere_inherits_no_coordinates(tmp_path: Path) -> None:
    path = tmp_path / "it.tif"
    with tifffile.TiffWriter(path) as file:
        file.write(pattern((8, 9)), extratags=geo_tags(0, 50), metadata=None)
        file.write(pattern((8, 9), "u2"), extratags=geo_tags(900, 50), metadata=None, subfiletype=1)
    result = scanned(path)
    assert values_of(array_at(result, "reduced/x_reduced"), result)[0] == 905
    assert values_of(array_at(result, "x"), result)[0] == 5


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_pages_of_a_stack_that_differ_are_noted(compression: str | None, tmp_path: Path) -> None:
    path = tmp_path / "it.tif"
    with tifffile.TiffWriter(path) as file:
        for page in range(3):
            tags = geo_tags(1000 * page, 50, (NODATA, 2, None, "7" if page < 2 else "8", True))
            file.write(pattern((8, 9)), extratags=tags, metadata=None, compression=compression, contiguous=False)
    result = scanned(path)
    told = [note.sentence for note in result.report.notes if note.code == "stack"]
    assert array_at(result, "data").metadata.shape == (3, 8, 9)
    assert told == [
        "2 of its 3 pages have another georeference than the first one, which is used",
        "1 of its 3 pages have another no-data value than the first one, which is used",
    ]


def test_items_that_would_decode_values_have_another_name(tmp_path: Path) -> None:
    names = ["units", "scale_factor", "add_offset", "dtype", "calendar", "coordinates", "grid_mapping", "bounds"]
    items = "".join(f'<Item name="{name}" sample="0">days since 1990</Item>' for name in [*names, "colour"])
    whole = '<Item name="coordinates">x y</Item><Item name="unit" sample="0" role="unittype">K</Item>'
    path = tmp_path / "it.tif"
    tag = (42112, 2, None, f"<GDALMetadata>{items}{whole}</GDALMetadata>", True)
    tifffile.imwrite(path, pattern((8, 9)), extratags=[tag], metadata=None)
    result = scanned(path)
    attributes = array_at(result, "data").metadata.attributes
    wanted = {f"gdal_{name}": "days since 1990" for name in names} | {"colour": "days since 1990", "units": "K"}
    assert attributes == wanted
    assert (result.root.attributes.get("gdal_coordinates"), "coordinates" in result.root.attributes) == ("x y", False)
    assert sum(note.code == "attribute" for note in result.report.notes) == len(names) + 1


def test_geocentric_coordinates_are_no_longitudes(tmp_path: Path) -> None:
    path = tmp_path / "it.tif"
    write(path, pattern((8, 9)), crs="EPSG:4978", transform=NORTH_UP)
    result = scanned(path)
    x, y = (array_at(result, name).metadata.attributes for name in "xy")
    assert (x["axis"], y["axis"]) == ("X", "Y")
    assert not {"units", "standard_name"} & (set(x) | set(y))
    assert pyproj.CRS.from_wkt(mapping(result)["crs_wkt"]).equals(pyproj.CRS.from_epsg(4978))


def test_planes_compressed_as_jpeg_are_gdals(tmp_path: Path) -> None:
    path = tmp_path / "it.tif"
    write(path, pattern((3, 40, 30)), compress="jpeg", interleave="band", photometric="RGB")
    result = scanned(path)
    with rasterio.open(path) as file:
        np.testing.assert_array_equal(values_of(array_at(result, "data"), result), file.read())


def geotiffs() -> list[str]:
    if not MANIFEST.exists():
        return []
    with MANIFEST.open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    return [
        r["path"]
        for r in rows
        if "geo" in r["format"] + r["features"] and "ti" in r["format"] and not r["malformed_why"]
    ]


OTHERWISE = {"merc.tif", "byte_rpc.tif"}
"""rasterio finds no reference system in the first; the second has no GeoTIFF tag but RPCs."""


@needs_corpus
@pytest.mark.parametrize("path", geotiffs())
def test_a_public_geotiff_lies_where_rasterio_says(path: str) -> None:
    result = outcome(lambda: scanned(CORPUS / path, on_unsupported="skip"))
    if isinstance(result, RefmakerError) or Path(path).name in OTHERWISE or "spatial_ref" not in result.root.arrays:
        return
    attributes = mapping(result)
    with rasterio.open(CORPUS / path) as file:
        if not file.transform.is_identity:
            assert transform_of(attributes) == pytest.approx(file.transform.to_gdal(), rel=1e-14)
        if file.crs is not None:
            assert_same_crs(attributes["crs_wkt"], file.crs)
        data = next(
            array.metadata for name, array in result.root.arrays.items() if name not in {"x", "y", "spatial_ref"}
        )
        found = None if data.fill_value is None else complex(data.fill_value)
        np.testing.assert_equal(found, None if file.nodata is None else complex(file.nodata))
