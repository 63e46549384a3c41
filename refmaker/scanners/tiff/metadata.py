"""Tags that describe an image, as attributes: TIFF's own, GDAL's, colour maps and no-data values."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from refmaker.model.attributes import JSON, attribute_json
from refmaker.model.reference_set import Note
from refmaker.scanners.tiff.gdal import PREFIX, GdalMetadata, read_gdal_metadata
from refmaker.scanners.tiff.series import Level, Series

__all__ = ["group_attributes", "image_attributes", "nodata_of"]

TEXTS = {
    269: "document_name",
    270: "description",
    271: "make",
    272: "model",
    285: "page_name",
    305: "software",
    306: "datetime",
    315: "artist",
    316: "host_computer",
    33432: "copyright",
}
"""Tags of text that apply to an image as a whole -> attribute; TIFF 6.0, sections 8 and 12."""
LONGEST = 1 << 20
"""Characters of an attribute; readers load attributes on every opening."""
PALETTE, GREY = 3, 1


def group_attributes(series: Series, notes: list[Note], path: str) -> Iterator[tuple[str, JSON]]:
    """Yield the attributes of a series' group."""
    if series.name:
        yield "name", series.name
    tags = series.levels[0].keyframe.tags
    for code, name in TEXTS.items():
        value = tags.valueof(code)
        if not isinstance(value, str) or not value:
            continue
        if len(value) > LONGEST:
            notes.append(Note(path, "attribute", f"{name} has {len(value)} characters and is left out"))
        else:
            yield name, value
    described = read_gdal_metadata(tags)
    yield from _noted(described.dataset, described, notes, path)


def image_attributes(series: Series, level: Level, notes: list[Note], path: str) -> Iterator[tuple[str, JSON]]:
    """Yield the attributes of a level's array, the no-data value apart."""
    page = series.levels[0].keyframe
    photometric = page.photometric
    if int(photometric) != GREY and hasattr(photometric, "name"):
        yield "photometric", photometric.name.lower()
    colormap = page.tags.valueof(320)
    if int(photometric) == PALETTE and isinstance(colormap, np.ndarray):
        yield "colormap", attribute_json(colormap)
    bands = level.length("S")
    described = read_gdal_metadata(page.tags)
    yield from _noted(described.of_bands(bands), described, notes, path)


def _noted(
    items: Mapping[str, JSON], described: GdalMetadata, notes: list[Note], path: str
) -> Iterator[tuple[str, JSON]]:
    """Yield items of GDAL's metadata, noting those that have another name there."""
    for name, value in items.items():
        if name in described.renamed:
            own = name.removeprefix(PREFIX)
            notes.append(Note(path, "attribute", f"{own} of GDAL's metadata would decode values: it is called {name}"))
        yield name, value


def nodata_of(series: Series, kind: np.dtype[Any], notes: list[Note], path: str) -> Any:
    """Return the GDAL_NODATA of an image as a number of its type, or None where it has none or no such number."""
    text = series.levels[0].keyframe.tags.valueof(42113)
    if not isinstance(text, str) or not text.strip("\0 "):
        return None
    value = _number(text.strip("\0 ").replace(",", "."))
    if value == 0 and kind.kind == "b":
        return None  # absent chunks read so anyway, and readers would make objects of masked truth values
    found = None if value is None else _fitting(value, kind)
    if found is None:
        notes.append(Note(path, "fill-value", f"its no-data value {text!r} is no {kind} and is not used"))
    return found


def _number(text: str) -> int | float | None:
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    return None


def _fitting(value: float, kind: np.dtype[Any]) -> Any:
    """Return the number as a scalar of type ``kind``, or None."""
    native = kind.newbyteorder("=")
    if kind.kind == "b":
        return np.True_ if value == 1 else None
    if kind.kind in "iu":
        limits = np.iinfo(native)
        fits = math.isfinite(value) and value == int(value) and limits.min <= value <= limits.max
        return native.type(int(value)) if fits else None
    if kind.kind == "f":
        largest = float(np.finfo(native).max)
        if math.isfinite(value) and abs(value) > largest:  # the decimals of the largest number, rounded up
            return native.type(math.copysign(largest, value)) if abs(value) < largest * (1 + 1e-6) else None
        return native.type(value)
    return native.type(value) if kind.kind == "c" else None
