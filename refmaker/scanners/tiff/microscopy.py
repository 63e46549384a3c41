"""The physical sizes that microscopes' files give: OME-XML, ImageJ's description, Aperio's.

Sources: OME schema 2016-06, Pixels and Channel; ImageJ's TIFF notes; Aperio's ImageDescription.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree as ET

from refmaker.scanners.tiff.series import Series

__all__ = ["Scale", "scale_of"]

MICROMETRE = ("µm", "micrometer")
UNITS: Mapping[str, tuple[str, str]] = {
    "Å": ("angstrom", "angstrom"),
    "pm": ("pm", "picometer"),
    "nm": ("nm", "nanometer"),
    "µm": MICROMETRE,
    "μm": MICROMETRE,
    "um": MICROMETRE,
    "micron": MICROMETRE,
    "microns": MICROMETRE,
    r"\u00B5m": MICROMETRE,
    "mm": ("mm", "millimeter"),
    "cm": ("cm", "centimeter"),
    "m": ("m", "meter"),
    "inch": ("inch", "inch"),
    "ms": ("ms", "millisecond"),
    "s": ("s", "second"),
    "sec": ("s", "second"),
    "min": ("min", "minute"),
    "h": ("h", "hour"),
}
"""A file's word for a unit -> that of UDUNITS and that of OME-NGFF."""
OME_SIZES = (
    ("x", "PhysicalSizeX", "µm"),
    ("y", "PhysicalSizeY", "µm"),
    ("z", "PhysicalSizeZ", "µm"),
    ("t", "TimeIncrement", "s"),
)
"""Dimension, attribute of Pixels, and the unit it has where none is given."""
MICRONS_PER_PIXEL = re.compile(r"\bMPP = ([0-9.]+)")


@dataclass(frozen=True, slots=True)
class Scale:
    """Sizes of an element, their units, and names of elements, by dimension.

    Attributes:
        sizes: of one element.
        units: UDUNITS' word and OME-NGFF's.
        labels: a name for each element.
    """

    sizes: Mapping[str, float] = field(default_factory=dict)
    units: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def scale_of(series: Series) -> Scale:
    """Return the scale of a series; empty where its kind of file has none."""
    read = READERS.get(series.kind)
    return Scale() if read is None else read(series)


def _positive(text: Any) -> float | None:
    try:
        value = float(text)
    except (TypeError, ValueError):
        return None
    return value if 0 < value < float("inf") else None


def _ome(series: Series) -> Scale:
    """Return PhysicalSize, TimeIncrement and channel names of the image that is this series."""
    file = series.levels[0].keyframe.parent.root
    document = file.ome_metadata
    try:
        root = ET.fromstring(document or "")  # noqa: S314  expat bounds the expansion of entities
    except ET.ParseError:
        return Scale()
    images = [
        (image.get("Name"), pixels)
        for image in root
        if image.tag.rpartition("}")[2] == "Image"
        for pixels in image
        if pixels.tag.rpartition("}")[2] == "Pixels"
    ]
    if len(images) == len(file.series):
        pixels = images[int(series.title.rpartition(" ")[2])][1]
    else:  # tifffile leaves out images without data: only a name tells which this one is
        named = [found for name, found in images if name == series.name]
        if len(named) != 1:
            return Scale()
        pixels = named[0]
    sizes, units = {}, {}
    for name, attribute, default in OME_SIZES:
        if (size := _positive(pixels.get(attribute))) is not None:
            sizes[name] = size
            if unit := UNITS.get(pixels.get(attribute + "Unit", default)):
                units[name] = unit
    channels = [child for child in pixels if child.tag.rpartition("}")[2] == "Channel"]
    names = tuple(child.get("Name", "") for child in channels)
    labels = {"c": names} if names and all(names) else {}
    return Scale(sizes, units, labels)


def _imagej(series: Series) -> Scale:
    """Return pixel sizes from the resolution tags, ``spacing`` and ``finterval`` from the description."""
    page = series.levels[0].keyframe
    described = page.parent.imagej_metadata or {}
    unit = UNITS.get(str(described.get("unit", "")))
    sizes, units = {}, {}
    for name, tag in (("x", 282), ("y", 283)):
        resolution = page.tags.valueof(tag)
        is_ratio = isinstance(resolution, tuple) and len(resolution) == 2 and resolution[1]
        pixels = _positive(resolution[0] / resolution[1]) if is_ratio else None
        if pixels and unit:
            sizes[name], units[name] = 1 / pixels, unit
    if (spacing := _positive(described.get("spacing"))) and unit:
        sizes["z"], units["z"] = spacing, unit
    if interval := _positive(described.get("finterval")):
        sizes["t"] = interval
        if found := UNITS.get(str(described.get("tunit", "s"))):
            units["t"] = found
    return Scale(sizes, units)


def _aperio(series: Series) -> Scale:
    match = MICRONS_PER_PIXEL.search(str(series.levels[0].keyframe.description))
    size = _positive(match[1]) if match and series.role == "image" else None
    return Scale({"x": size, "y": size}, {"x": MICROMETRE, "y": MICROMETRE}) if size else Scale()


READERS: Mapping[str, Callable[[Series], Scale]] = {"ome": _ome, "imagej": _imagej, "svs": _aperio}
"""tifffile's kind of series -> how its scale is read."""
