"""Small TIFFs of every kind, made by tifffile (and a few bytes by hand): name -> function that writes one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tifffile

__all__ = ["SAMPLES", "pattern"]

SAMPLES: dict[str, Callable[[Path], None]] = {}


def pattern(shape: tuple[int, ...], dtype: Any = "u1") -> np.ndarray[Any, Any]:
    """Return smooth values with some noise: they compress, and no two rows are alike."""
    kind = np.dtype(dtype)
    rng = np.random.default_rng(sum(shape))
    ramp = np.add.outer(np.arange(int(np.prod(shape[:-1]))), np.arange(shape[-1])) % 97
    values = ramp.reshape(shape) + rng.integers(0, 9, shape)
    if kind.kind == "c":
        return (values + 1j * values[..., ::-1]).astype(kind)
    return (values / 7 if kind.kind == "f" else values % 2 if kind.kind == "b" else values).astype(kind)


def sample(name: str, values: Any, **options: Any) -> None:
    """Register a file that one call of ``imwrite`` makes."""
    options = {"photometric": "minisblack", **options}
    SAMPLES[name] = lambda path: tifffile.imwrite(path, values, **options)


GREY, RGB = pattern((50, 70)), pattern((50, 70, 3))

for kind in ("u1", "i1", "u2", "i2", "u4", "f2", "f4", "f8", "c8", "c16", "u8"):
    sample(f"raw-{kind}", pattern((13, 17), kind))
    sample(f"raw-{kind}-big-endian", pattern((13, 17), kind), byteorder=">")
sample("bilevel", pattern((13, 17), "?"))
sample("bigtiff", GREY, bigtiff=True)
sample("strips-short-last", GREY, rowsperstrip=8)
sample("strips-short-last-apart", GREY, rowsperstrip=8, compression="zlib")
sample("strips-of-one-row", GREY, rowsperstrip=1, compression="zlib")
sample("tiles", GREY, tile=(16, 32))
sample("tiles-of-the-image's-width", pattern((64, 32)), tile=(16, 32))
sample("tiles-larger-than-the-image", GREY, tile=(64, 96), compression="zlib")
sample("rgb", RGB, photometric="rgb", rowsperstrip=8)
sample("rgba-16", pattern((20, 30, 4), "u2"), photometric="rgb", extrasamples=["unassalpha"], rowsperstrip=7)
sample("planar", np.moveaxis(RGB, 2, 0), photometric="rgb", planarconfig="separate", rowsperstrip=8, compression="zlib")
sample("planar-tiles", np.moveaxis(RGB, 2, 0), photometric="rgb", planarconfig="separate", tile=(16, 16))
sample("planar-raw", np.moveaxis(RGB, 2, 0), photometric="rgb", planarconfig="separate", rowsperstrip=8)
sample("palette", GREY, photometric="palette", colormap=np.arange(768, dtype="u2").reshape(3, 256) * 85)
sample("volume-tiles", pattern((20, 40, 40), "u2"), tile=(16, 16, 16), volumetric=True, compression="zlib")
sample("volume-strips", pattern((4, 20, 30), "u2"), volumetric=True, compression="zlib", rowsperstrip=8)
sample("stack-contiguous", pattern((5, 20, 30), "u2"), metadata={"axes": "ZYX"})
sample("stack-compressed", pattern((5, 20, 30), "u2"), compression="zlib", metadata={"axes": "TYX"})
sample("stack-of-stacks", pattern((2, 3, 20, 30)), compression="zlib", rowsperstrip=8, metadata={"axes": "TZYX"})
sample("stack-unnamed", pattern((2, 3, 20, 30)), compression="zlib", metadata=None)
sample("one-axis", pattern((30,), "f4"), compression="zlib", photometric=None)
sample("imagej", pattern((2, 3, 2, 20, 30), "u2"), imagej=True, metadata={"axes": "TZCYX"})
sample("imagej-rgb", pattern((3, 20, 30, 3)), imagej=True, photometric="rgb", metadata={"axes": "ZYXS"})
sample("ome", pattern((2, 3, 20, 30), "u2"), ome=True, metadata={"axes": "CZYX"})
sample("ome-rgb-tiles", pattern((3, 40, 60, 3)), ome=True, photometric="rgb", tile=(16, 16), metadata={"axes": "ZYXS"})

for name in ("zlib", "deflate", "lzw", "packbits", "zstd", "lzma", "lerc", "png", "jpegxl", "jpeg2000", "webp", "jpeg"):
    values = RGB if name in {"webp", "jpeg"} else GREY
    lossless = {"compressionargs": {"lossless": True}} if name in {"webp", "jpegxl"} else {}
    photometric = "rgb" if values.ndim == 3 else "minisblack"
    sample(f"strips-{name}", values, compression=name, rowsperstrip=16, photometric=photometric, **lossless)
    sample(f"tiles-{name}", values, compression=name, tile=(16, 32), photometric=photometric, **lossless)
sample("webp-alpha", pattern((50, 70, 4)), compression="webp", compressionargs={"lossless": True}, tile=(32, 32),
       photometric="rgb", extrasamples=["unassalpha"])  # fmt: skip
sample("jpeg-ycbcr", RGB, compression="jpeg", photometric="ycbcr", subsampling=(2, 2), tile=(32, 32))
sample("jpeg-cmyk", pattern((50, 70, 4)), compression="jpeg", photometric="separated", tile=(32, 32))
sample(
    "jpeg-planar", np.moveaxis(RGB, 2, 0), compression="jpeg", photometric="rgb", planarconfig="separate", tile=(32, 32)
)
sample("lerc-f4", pattern((50, 70), "f4"), compression="lerc", tile=(16, 32))
sample(
    "lerc-deflate",
    pattern((50, 70), "f4"),
    compression="lerc",
    tile=(16, 32),
    compressionargs={"compression": "deflate"},
)
sample("lerc-zstd", pattern((50, 70), "f4"), compression="lerc", tile=(16, 32), compressionargs={"compression": "zstd"})
for kind in ("u1", "u2", "u4", "i2", "u8"):
    for order in "<>":
        sample(f"predictor2-{kind}{order}", pattern((50, 70, 3), kind), compression="zlib", predictor=2,
               byteorder=order, photometric="rgb", rowsperstrip=16)  # fmt: skip
        sample(f"predictor2-planar-{kind}{order}", pattern((3, 50, 70), kind), compression="lzw", predictor=2,
               byteorder=order, photometric="rgb", planarconfig="separate", tile=(16, 32))  # fmt: skip
for kind in ("f2", "f4", "f8"):
    for order in "<>":
        sample(f"predictor3-{kind}{order}", pattern((50, 70), kind), compression="zlib", predictor=3, byteorder=order,
               rowsperstrip=16)  # fmt: skip
        sample(f"predictor3-rgb-{kind}{order}", pattern((50, 70, 3), kind), compression="zstd", predictor=3,
               byteorder=order, photometric="rgb", tile=(16, 32))  # fmt: skip


def made(write: Callable[[Path], None]) -> Callable[[Path], None]:
    """Register a file under its function's name."""
    SAMPLES[write.__name__.replace("_", "-")] = write
    return write


@made
def two_series(path: Path) -> None:
    with tifffile.TiffWriter(path) as file:
        file.write(pattern((3, 20, 30)), compression="zlib", photometric="minisblack", metadata={"axes": "ZYX"})
        file.write(pattern((25, 35), "f4"), metadata={"axes": "YX"})


@made
def pyramid_pages(path: Path) -> None:
    """Overviews as further pages, as GDAL writes them."""
    with tifffile.TiffWriter(path) as file:
        for step in (1, 2, 4):
            image = pattern((128, 192))[::step, ::step]
            file.write(image, tile=(32, 32), compression="zlib", subfiletype=int(step > 1), metadata=None)


@made
def pyramid_subifds(path: Path) -> None:
    with tifffile.TiffWriter(path, bigtiff=True) as file:
        image = pattern((128, 192, 3))
        file.write(image, tile=(32, 32), subifds=2, photometric="rgb", compression="zlib")
        file.write(image[::2, ::2], tile=(32, 32), subfiletype=1, photometric="rgb", compression="zlib")
        file.write(image[::4, ::4], tile=(32, 32), subfiletype=1, photometric="rgb", compression="zlib")


@made
def ome_pyramid(path: Path) -> None:
    with tifffile.TiffWriter(path, ome=True) as file:
        image = pattern((3, 128, 192), "u2")
        options = {"tile": (32, 32), "compression": "zlib", "photometric": "minisblack"}
        file.write(image, subifds=1, metadata={"axes": "CYX"}, **options)
        file.write(image[:, ::2, ::2], subfiletype=1, **options)


@made
def mask_beside(path: Path) -> None:
    with tifffile.TiffWriter(path) as file:
        file.write(RGB, photometric="rgb", compression="zlib", metadata=None)
        file.write(pattern((50, 70), "?"), photometric="mask", subfiletype=4, compression="zlib", metadata=None)


@made
def thumbnail_beside(path: Path) -> None:
    with tifffile.TiffWriter(path) as file:
        file.write(RGB, photometric="rgb", metadata=None)
        file.write(RGB[::7, ::7], photometric="rgb", subfiletype=1, metadata=None)


@made
def sparse_tiles(path: Path) -> None:
    """Every other tile is not there: its length and, of half of these, its offset are 0."""
    tifffile.imwrite(path, pattern((64, 96), "i2"), tile=(32, 32), compression="zlib", metadata=None)
    with tifffile.TiffFile(path, mode="r+") as file:
        tags = file.pages[0].tags
        offsets, lengths = list(tags[324].value), list(tags[325].value)
        offsets[1], lengths[1::2] = 0, [0] * 3
        tags[324].overwrite(offsets)
        tags[325].overwrite(lengths)


@made
def sparse_tiles_with_nodata(path: Path) -> None:
    tifffile.imwrite(path, pattern((64, 96), "i2"), tile=(32, 32), compression="zlib", metadata=None,
                     extratags=[(42113, 2, None, "-9999", True)])  # fmt: skip
    with tifffile.TiffFile(path, mode="r+") as file:
        tag = file.pages[0].tags[325]
        tag.overwrite([0, *tag.value[1:]])


@made
def fillorder_2(path: Path) -> None:
    """The compressed bytes with their bits turned round."""
    tifffile.imwrite(path, GREY, compression="lzw", predictor=2, rowsperstrip=16, metadata=None,
                     extratags=[(65000, 3, 1, 2, True)])  # fmt: skip
    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        tag = page.tags[65000].offset
        extents = list(zip(page.dataoffsets, page.databytecounts, strict=True))
    data = bytearray(path.read_bytes())
    data[tag : tag + 2] = (266).to_bytes(2, "little")
    for offset, length in extents:
        data[offset : offset + length] = imagecodecs.bitorder_decode(bytes(data[offset : offset + length]))
    path.write_bytes(data)


@made
def many_tiles(path: Path) -> None:
    """More tiles than tifffile is shown."""
    tifffile.imwrite(path, pattern((1040, 1040)), tile=(16, 16), compression="zlib", metadata=None, maxworkers=1)


@made
def description_as_name(path: Path) -> None:
    tifffile.imwrite(
        path, GREY, description="a text", software="made by hand", datetime="2026:11:21 10:00:00", metadata=None
    )
