"""What xarray opens: references written to disk, read with refmaker and through fsspec's own ``reference://``."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import refmaker
from tests.scanners.tiff.reading import assert_same, native_levels
from tests.scanners.tiff.samples import SAMPLES
from tests.test_samples import ours, stock

NAMES = [
    *("strips-short-last-apart", "tiles-lzw", "jpeg-ycbcr", "predictor3-rgb-f4>", "planar-tiles", "bilevel", "palette"),
    *(
        "sparse-tiles-with-nodata",
        "stack-contiguous",
        "pyramid-pages",
        "mask-beside",
        "imagej",
        "ome",
        "raw-c8",
        "raw-f2",
    ),
    *("fillorder-2", "webp-alpha", "lerc-f4", "many-tiles", "volume-tiles", "one-axis"),
]


def document(name: str, folder: Path) -> tuple[Path, Path]:
    """Write a sample and its references; return both."""
    path, out = folder / f"{name.strip('<>')}.tif", folder / "refs.json"
    SAMPLES[name](path)
    refmaker.write_references(refmaker.scan(str(path)), out)
    return path, out


def image_of(dataset: xr.Dataset) -> np.ndarray:
    (name,) = dataset.data_vars
    return dataset[name].values


@pytest.mark.parametrize("door", [ours, stock], ids=["refmaker", "reference"])
@pytest.mark.parametrize("name", NAMES)
def test_the_root_is_a_dataset_of_the_largest_level(name: str, door: object, tmp_path: Path) -> None:
    path, out = document(name, tmp_path)
    with xr.open_zarr(door(out), zarr_format=2, mask_and_scale=False) as opened:  # type: ignore[operator]
        _, want = next(native_levels(path))
        assert_same(image_of(opened), want)


TREES = ["pyramid-pages", "pyramid-subifds", "ome-pyramid", "mask-beside", "thumbnail-beside", "two-series", "tiles"]


@pytest.mark.parametrize("name", TREES)
def test_a_data_tree_holds_all_levels_of_all_series(name: str, tmp_path: Path) -> None:
    path, out = document(name, tmp_path)
    with xr.open_datatree(out, engine="refmaker", mask_and_scale=False) as tree:
        got = [node.to_dataset(inherit=False) for node in tree.subtree]
        for _, want in native_levels(path):
            assert any(
                image_of(dataset).shape == want.shape and np.array_equal(image_of(dataset), want)
                for dataset in got
                if dataset.data_vars
            )


def test_dimensions_of_smaller_levels_have_names_of_their_own(tmp_path: Path) -> None:
    _, out = document("ome-pyramid", tmp_path)
    with xr.open_datatree(out, engine="refmaker") as tree:
        assert tree["Image0"].dims == ("c", "y", "x")
        assert tree["level_1/Image0"].dims == ("c", "y_1", "x_1")


@pytest.mark.filterwarnings("ignore:.*matmul:PendingDeprecationWarning")  # rasterio's and rioxarray's use of affine
def test_a_geotiff_is_what_rioxarray_opens(tmp_path: Path) -> None:
    rasterio = pytest.importorskip("rasterio")
    rioxarray = pytest.importorskip("rioxarray")
    path, out = tmp_path / "it.tif", tmp_path / "refs.json"
    transform = rasterio.Affine(30, 0, 500_000, 0, -20, 4_600_000)
    options = {"crs": "EPSG:32633", "transform": transform, "nodata": 7, "compress": "deflate", "interleave": "pixel"}
    image = np.arange(2 * 20 * 30, dtype="i2").reshape(2, 20, 30)
    with rasterio.open(path, "w", driver="GTiff", count=2, height=20, width=30, dtype="int16", **options) as file:
        file.write(image)
    refmaker.write_references(refmaker.scan(str(path)), out)
    with (
        xr.open_dataset(out, engine="refmaker", decode_coords="all") as got,
        rioxarray.open_rasterio(path, masked=True) as want,
    ):
        mine = got["data"].transpose("band", "y", "x")
        np.testing.assert_array_equal(mine.values, want.values)
        np.testing.assert_array_equal(mine.x, want.x)
        np.testing.assert_array_equal(mine.y, want.y)
        assert mine.rio.crs == want.rio.crs
        assert mine.rio.transform() == want.rio.transform()
        assert mine.rio.bounds() == want.rio.bounds()
