"""Physical sizes, channels and time steps of microscopes' files; OME-TIFFs of several files."""

from pathlib import Path

import numpy as np
import pytest
import tifffile

from refmaker.errors import BrokenFileError, UnsupportedError
from refmaker.model.reference_set import ReferenceSet
from tests.scanners.tiff.reading import array_at, assert_same, scanned, values_of
from tests.scanners.tiff.samples import pattern

SIZES = {"PhysicalSizeX": 0.5, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": 0.25, "PhysicalSizeYUnit": "nm"}


def coordinate(result: ReferenceSet, path: str) -> tuple[list[object], object]:
    array = array_at(result, path)
    return values_of(array, result).tolist(), array.metadata.attributes.get("units")


def test_ome_sizes_and_channels_are_coordinates_of_every_level(tmp_path: Path) -> None:
    path = tmp_path / "it.ome.tif"
    image = pattern((2, 3, 64, 96), "u2")
    channels = {"Channel": {"Name": ["red", "green"]}, "TimeIncrement": 3.0, "TimeIncrementUnit": "s"}
    with tifffile.TiffWriter(path, ome=True) as file:
        options = {"compression": "zlib", "photometric": "minisblack", "tile": (32, 32)}
        file.write(image, subifds=1, metadata={"axes": "CTYX", **SIZES, **channels}, **options)
        file.write(image[..., ::2, ::2], subfiletype=1, **options)
    result = scanned(path)
    assert coordinate(result, "x") == ([0.5 * n for n in range(96)], "µm")
    assert coordinate(result, "y") == ([0.25 * n for n in range(64)], "nm")
    assert coordinate(result, "level_1/x_1") == ([float(n) for n in range(48)], "µm")
    assert coordinate(result, "t") == ([0.0, 3.0, 6.0], "s")
    assert coordinate(result, "c") == (["red", "green"], None)
    (scales,) = result.root.attributes["multiscales"]  # type: ignore[misc]
    assert [axis.get("unit") for axis in scales["axes"]] == [None, "second", "nanometer", "micrometer"]
    assert scales["datasets"][1]["coordinateTransformations"][0]["scale"] == [1.0, 3.0, 0.5, 1.0]


def test_imagej_sizes_are_coordinates(tmp_path: Path) -> None:
    path = tmp_path / "it.tif"
    tifffile.imwrite(
        path,
        pattern((2, 3, 20, 30), "u2"),
        imagej=True,
        resolution=(4.0, 2.0),
        metadata={"axes": "TZYX", "spacing": 3.5, "unit": "um", "finterval": 0.1},
    )
    result = scanned(path)
    assert coordinate(result, "x") == ([0.25 * n for n in range(30)], "µm")
    assert coordinate(result, "y") == ([0.5 * n for n in range(20)], "µm")
    assert coordinate(result, "z") == ([0.0, 3.5, 7.0], "µm")
    assert coordinate(result, "t") == ([0.0, 0.1], "s")


def test_aperio_slides_keep_labels_apart(tmp_path: Path) -> None:
    path = tmp_path / "slide.svs"
    slide = pattern((256, 256, 3))
    options = {"photometric": "rgb", "compression": "zlib", "metadata": None, "software": False}
    with tifffile.TiffWriter(path) as file:
        first = "Aperio Image Library v1\n256x256 [0,0] (32x32)|AppMag = 20|MPP = 0.499"
        file.write(slide, tile=(32, 32), description=first, **options)
        file.write(slide[::4, ::4], rowsperstrip=16, description="Aperio Image Library v1\n64x64", **options)
        file.write(slide[::2, ::2], tile=(32, 32), description="Aperio Image Library v1\n128x128", **options)
        file.write(slide[:20, :30], rowsperstrip=20, subfiletype=1, description="Aperio\nlabel 30x20", **options)
        file.write(slide[:25, :30], rowsperstrip=25, subfiletype=9, description="Aperio\nmacro 30x25", **options)
    result = scanned(path)
    assert [state.path for state in result.report.datasets] == [
        "Baseline", "level_1/Baseline", "thumbnail/Thumbnail", "label/Label", "macro/Macro"
    ]  # fmt: skip
    assert coordinate(result, "x") == ([0.499 * n for n in range(256)], "µm")


OME = """<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:{own}">
<Image ID="Image:0" Name="both"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint8" SizeX="30" SizeY="20"
SizeZ="2" SizeC="1" SizeT="1"><Channel ID="Channel:0" SamplesPerPixel="1"/>
<TiffData IFD="0" FirstZ="0" PlaneCount="1"><UUID FileName="a.ome.tif">urn:uuid:a</UUID></TiffData>
<TiffData IFD="0" FirstZ="1" PlaneCount="1"><UUID FileName="b.ome.tif">urn:uuid:b</UUID></TiffData>
</Pixels></Image></OME>"""


def two_files(folder: Path, compression: str | None) -> np.ndarray:
    image = pattern((2, 20, 30))
    for plane, name in zip(image, "ab", strict=True):
        tifffile.imwrite(
            folder / f"{name}.ome.tif", plane, description=OME.format(own=name), metadata=None, compression=compression
        )
    return image


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_pages_in_other_files_are_linked(compression: str | None, tmp_path: Path) -> None:
    image = two_files(tmp_path, compression)
    result = scanned(tmp_path / "a.ome.tif")
    (state,) = result.report.datasets
    assert (state.path, state.state) == ("both", "linked")
    assert [source.url for source in result.sources] == [f"file://{tmp_path}/{name}.ome.tif" for name in "ab"]
    assert_same(values_of(result.root.arrays["both"], result), image)


def test_a_missing_file_is_never_read_as_zeros(tmp_path: Path) -> None:
    two_files(tmp_path, None)
    (tmp_path / "b.ome.tif").unlink()
    with pytest.raises(UnsupportedError, match=r"series 0: 1 files .* b\.ome\.tif"):
        scanned(tmp_path / "a.ome.tif")
    (state,) = scanned(tmp_path / "a.ome.tif", on_unsupported="skip").report.skipped
    assert state.code == "companion"


@pytest.mark.parametrize("name", ["/etc/b.ome.tif", "../b.ome.tif"])
def test_files_outside_the_folder_are_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / "a.ome.tif"
    description = OME.format(own="a").replace("b.ome.tif", name)
    tifffile.imwrite(path, pattern((20, 30)), description=description, metadata=None)
    with pytest.raises(BrokenFileError, match="outside"):
        scanned(path)
