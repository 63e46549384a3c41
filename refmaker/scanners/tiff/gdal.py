"""GDAL's metadata tag: XML items of the whole dataset and of its bands, as attributes.

Source: GDAL's GTiff driver, "Metadata"; roles ``scale``, ``offset``, ``unittype`` and ``description`` of a band's item.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree as ET

from refmaker.model.attributes import JSON
from refmaker.scanners.tiff.tables import Tag

__all__ = ["PREFIX", "GdalMetadata", "read_gdal_metadata"]

ROLES = {"scale": "scale_factor", "offset": "add_offset", "unittype": "units", "description": "long_name"}
"""A band's item's role -> the CF attribute it is, where all bands agree."""
NEUTRAL: Mapping[str, JSON] = {"scale_factor": 1.0, "add_offset": 0.0, "units": "", "long_name": ""}
LISTED = {"scale_factor": "scales", "add_offset": "offsets", "units": "units", "long_name": "long_name"}
"""The attribute that lists a value for each band where they differ: CF has none, and rasterio calls it so."""
NUMBERS = frozenset({"scale_factor", "add_offset"})
DECODING = frozenset({
    "units", "calendar", "scale_factor", "add_offset", "_FillValue", "missing_value", "_Unsigned", "dtype",
    "coordinates", "grid_mapping", "bounds", "climatology", "ancillary_variables", "cell_measures", "formula_terms",
    "flag_values", "flag_masks", "flag_meanings", "_ARRAY_DIMENSIONS",
})  # fmt: skip
"""Attributes by which readers change values or look for other variables: GDAL means nothing of the kind by an item of
such a name, so it gets another name."""
PREFIX = "gdal_"
MOST_DIGITS = 9
"""Digits of the number of a band, of which TIFF has 65,535 at most."""


@dataclass(frozen=True, slots=True)
class GdalMetadata:
    """Items as attributes.

    Attributes:
        dataset: those of the whole dataset.
        bands: those of a band, by its number from 0.
        renamed: names here of items that could not keep theirs.
    """

    dataset: Mapping[str, JSON] = field(default_factory=dict)
    bands: Mapping[int, Mapping[str, JSON]] = field(default_factory=dict)
    renamed: frozenset[str] = frozenset()

    def of_bands(self, count: int) -> dict[str, JSON]:
        """Return the attributes of an array of ``count`` bands: one value where all agree, else a list."""
        found: dict[str, JSON] = {}
        names = {name: None for band in self.bands.values() for name in band}
        for name in names:
            values: list[JSON] = [self.bands.get(band, {}).get(name, NEUTRAL.get(name)) for band in range(count)]
            if _all_same(values):
                if values and values[0] != NEUTRAL.get(name):
                    found[name] = values[0]
            else:
                found[LISTED.get(name, name)] = values
        return found


def _all_same(values: Sequence[JSON]) -> bool:
    return all(value == values[0] for value in values)


def read_gdal_metadata(tags: Any) -> GdalMetadata:
    """Return the GDAL metadata among tifffile's tags; none where the XML is broken, as GDAL does."""
    document = tags.valueof(int(Tag.GDAL_METADATA))
    if not isinstance(document, str):
        return GdalMetadata()
    try:
        root = ET.fromstring(document)  # noqa: S314  expat bounds the expansion of entities
    except ET.ParseError:
        return GdalMetadata()
    dataset: dict[str, JSON] = {}
    bands: dict[int, dict[str, JSON]] = {}
    renamed: set[str] = set()
    for item in root.iter("Item"):
        name, text, sample = item.get("name"), item.text or "", item.get("sample", "")
        if not name or item.get("domain"):
            continue
        if name in DECODING:
            name = PREFIX + name
            renamed.add(name)
        if sample.isdigit() and sample.isascii() and len(sample) < MOST_DIGITS:
            attribute = ROLES.get(item.get("role", ""), name)
            bands.setdefault(int(sample), {})[attribute] = _value(attribute, text)
        elif not sample:
            dataset[name] = text
    return GdalMetadata(dataset, bands, frozenset(renamed))


def _value(attribute: str, text: str) -> JSON:
    if attribute not in NUMBERS and not attribute.startswith("STATISTICS_"):
        return text
    try:
        return float(text)
    except ValueError:
        return NEUTRAL.get(attribute, text)
