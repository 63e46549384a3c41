"""Pages that tifffile takes for a stack are one only if they decode alike; pages of no stack are not lost."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from refmaker.errors import UnsupportedError
from tests.scanners.tiff.reading import array_at, assert_reads_as_tifffile_does, assert_same, scanned, values_of
from tests.scanners.tiff.samples import pattern

OME = (
    '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">{more}<Image ID="Image:1" Name="b"><Pixels '
    'ID="Pixels:1" DimensionOrder="XYZCT" Type="uint16" SizeX="30" SizeY="40" SizeZ="2" SizeC="1" SizeT="1" '
    'PhysicalSizeX="0.5"><Channel ID="Channel:1:0" SamplesPerPixel="1"/><TiffData IFD="0" PlaneCount="2"/></Pixels>'
    "</Image></OME>"
)
STACK = pattern((2, 40, 30), "u2")


def write(path: Path, *options: dict[str, Any], description: str = OME.format(more="")) -> Path:
    """Write an OME-TIFF of two pages, each with options of its own."""
    with tifffile.TiffWriter(path, ome=False) as file:
        for number, (image, own) in enumerate(zip(STACK, options, strict=True)):
            told = description if number == 0 else None
            values = own.pop("values", image)
            common = {"compression": "zlib", "photometric": "minisblack", "metadata": None, "contiguous": False}
            file.write(values, description=told, **{**common, **own})
    return path


@pytest.mark.parametrize(
    ("first", "second", "what"),
    [
        ({"predictor": 2}, {"predictor": 1}, "predictor"),
        ({"predictor": 1}, {"predictor": 2}, "predictor"),
        ({"rowsperstrip": 20}, {"rowsperstrip": 25}, "rows per strip"),
        ({}, {"values": STACK[1].astype("i2")}, "sample format"),
        ({}, {"values": STACK[1].astype("u1")}, "bits per sample"),
        ({}, {"values": STACK[1, :20]}, "image length"),
        ({}, {"values": STACK[1].reshape(30, 40)}, "image width"),
        ({}, {"compression": "lzw"}, "compression"),
        ({}, {"compression": None}, "compression"),
        ({"compression": None}, {}, "compression"),
        ({"tile": (16, 32)}, {"tile": (16, 48)}, "tile width"),
    ],
    ids=str,
)
def test_pages_that_decode_otherwise_than_the_first_one_are_no_stack(
    first: dict[str, Any], second: dict[str, Any], what: str, tmp_path: Path
) -> None:
    path = write(tmp_path / "it.tif", {**first}, {**second})
    with pytest.raises(UnsupportedError, match=f"differ in their {what}"):
        scanned(path)


@pytest.mark.parametrize("compression", ["zlib", None])
def test_pages_that_spell_the_same_differently_are_a_stack(compression: str | None, tmp_path: Path) -> None:
    path = tmp_path / "it.tif"
    own = {"compression": compression, "rowsperstrip": 40}
    write(path, {**own, "extratags": [(339, 3, 1, 1, True), (317, 3, 1, 1, True), (292, 4, 1, 1, True)]}, own)
    result = assert_reads_as_tifffile_does(path)
    assert_same(values_of(array_at(result, "b"), result), STACK)


def test_a_stack_that_tifffile_takes_for_uniform_by_its_ends_is_looked_at_as_a_whole(tmp_path: Path) -> None:
    """Its own reader gives the upper half of every longer page."""
    path = tmp_path / "it.tif"
    with tifffile.TiffWriter(path) as file:
        for number in range(60):
            height = 32 if number < 20 or number % 3 else 64
            file.write(np.full((height, 48), number, "u2"), photometric="minisblack", metadata=None, contiguous=False)
    with pytest.raises(UnsupportedError, match="image length"):
        scanned(path)


def test_pages_behind_a_stack_of_one_directory_are_not_lost(tmp_path: Path) -> None:
    """tifffile shows the first of these series, and its planes are not the pages that follow."""
    path = tmp_path / "it.tif"
    small = pattern((3, 20, 20))
    with tifffile.TiffWriter(path, shaped=True) as file:
        for image in (pattern((5, 40, 30), "u2"), small):
            file.write(image, photometric="minisblack", truncate=True)
    result = scanned(path)
    assert [state.path for state in result.report.datasets] == ["data", "page_1/data"]
    assert_same(values_of(array_at(result, "page_1/data"), result), small[0])


def test_the_sizes_of_an_image_are_its_own_where_others_have_no_data(tmp_path: Path) -> None:
    other = '<Image ID="Image:0" Name="{}"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" SizeX="30" '
    other += 'SizeY="40" SizeZ="1" SizeC="1" SizeT="1" PhysicalSizeX="7"><MetadataOnly/></Pixels></Image>'
    for name, expected in (("a", [0.0, 0.5, 1.0]), ("b", None)):
        path = write(tmp_path / f"{name}.tif", {}, {}, description=OME.format(more=other.format(name)))
        result = scanned(path)
        x = result.root.arrays.get("x")
        assert (None if x is None else values_of(x, result)[:3].tolist()) == expected


@pytest.mark.parametrize("name", ["level_1", "mask", "reduced_2", "series_0", "page_1"])
def test_an_image_that_is_called_as_a_group_is_called_data(name: str, tmp_path: Path) -> None:
    path = tmp_path / "it.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as file:
        options: dict[str, Any] = {"photometric": "minisblack", "tile": (16, 16)}
        file.write(STACK[0], subifds=1, metadata={"axes": "YX", "Name": name}, **options)
        file.write(STACK[0, ::2, ::2], subfiletype=1, **options)
    result = assert_reads_as_tifffile_does(path)
    assert [state.path for state in result.report.datasets] == ["data", "level_1/data"]
