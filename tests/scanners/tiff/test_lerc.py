"""LERC as libtiff has it: what it keeps as a mask of valid pixels is neither zero nor somewhere else."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.enums import ColorInterp

from refmaker.errors import UnsupportedError
from tests.scanners.tiff.reading import Array, array_at, scanned, values_of

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
COMPRESSIONS = ["lerc", "lerc_deflate", "lerc_zstd"]
COLORS = [ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha]


def through_gdal(
    path: Path, bands: Array, colors: list[ColorInterp] | None = None, **options: Any
) -> tuple[Array, Array]:
    """Write bands as GDAL does; return what it reads again, and what references read."""
    count, height, width = bands.shape
    size = {"count": count, "height": height, "width": width, "dtype": bands.dtype}
    with rasterio.open(path, "w", driver="GTiff", **size, **options) as file:
        if colors:
            file.colorinterp = colors
        file.write(bands)
    with rasterio.open(path) as file:
        want = file.read()
    result = scanned(path)
    got = values_of(array_at(result, "data"), result)
    return want, np.moveaxis(got, -1, 0) if got.shape[-1] == count else got.reshape(bands.shape)


def bands(count: int, kind: str) -> Array:
    return np.random.default_rng(0).integers(0, 200, (count, 41, 50)).astype(kind)


@pytest.mark.parametrize("compress", COMPRESSIONS)
@pytest.mark.parametrize("interleave", ["pixel", "band"])
@pytest.mark.parametrize("kind", ["f4", "f8"])
@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("where", ["nowhere", "in one band", "in all bands"])
def test_missing_values_are_missing_and_others_where_they_were(
    where: str, count: int, kind: str, interleave: str, compress: str, tmp_path: Path
) -> None:
    values = bands(count, kind)
    if where != "nowhere":
        values[: 1 if where == "in one band" else count, :5, 10:] = np.nan
    want, got = through_gdal(tmp_path / "it.tif", values, compress=compress, interleave=interleave)
    np.testing.assert_array_equal(want, values)
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("lowest", [0, 255, 3])
@pytest.mark.parametrize("tile", [{}, {"tiled": True, "blockxsize": 16, "blockysize": 32}], ids=str)
def test_alpha_that_is_kept_as_a_mask_is_there(tile: dict[str, Any], lowest: int, tmp_path: Path) -> None:
    values = bands(4, "u1")
    values[3] = np.where(np.arange(50) > 20, 255, lowest)
    options = {"compress": "lerc", "interleave": "pixel", "photometric": "rgb", **tile}
    want, got = through_gdal(tmp_path / "it.tif", values, COLORS, **options)
    np.testing.assert_array_equal(got, want)


def test_numbers_of_big_endian_files_are_refused(tmp_path: Path) -> None:
    """libtiff compresses swapped bytes; tifffile does not."""
    with pytest.raises(UnsupportedError, match="readers differ"):
        through_gdal(tmp_path / "it.tif", bands(1, "f4"), compress="lerc", ENDIANNESS="BIG")


@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite", "cielab"])
def test_jpegs_of_three_samples_that_are_no_colours_are_refused(photometric: str, tmp_path: Path) -> None:
    """libtiff stores them as they are; tifffile takes them for luminance and chrominance."""
    options = {"compress": "jpeg", "interleave": "pixel", "photometric": photometric}
    with pytest.raises(UnsupportedError, match="readers differ"):
        through_gdal(tmp_path / "it.tif", bands(3, "u1"), **options)
