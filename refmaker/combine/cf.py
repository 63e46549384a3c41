"""What CF attributes say: which arrays are coordinates of others, and which attributes decide what numbers mean."""

from collections.abc import Iterable, Iterator, Mapping

from refmaker.model.attributes import JSON
from refmaker.model.keys import child_path, parent_path

__all__ = [
    "BOUNDS",
    "TIME_ATTRIBUTES",
    "VALUE_ATTRIBUTES",
    "VALUE_RANGES",
    "bounds_of",
    "coordinate_paths",
    "packed_by",
    "search_path",
]

VALUE_ATTRIBUTES = (
    "units", "calendar", "scale_factor", "add_offset", "_FillValue", "missing_value", "_Unsigned", "flag_values",
    "flag_masks", "flag_meanings", "dtype",
)  # fmt: skip
"""Attributes that decide what the stored numbers mean: one array can have only one of each."""
TIME_ATTRIBUTES = frozenset({"units", "calendar"})
PACKING: Mapping[str, JSON] = {"scale_factor": 1, "add_offset": 0, "_Unsigned": "false"}
"""Attributes by which stored numbers are not the values, each with what it says if they are."""
VALUE_RANGES = frozenset({"valid_min", "valid_max", "valid_range", "actual_range"})
"""Attributes that hold values, in the array's own units."""
BOUNDS = ("bounds", "climatology")
"""Attributes of a coordinate that name the variable of its cells' edges; that one inherits its units."""
COORDINATES = ("coordinates", *BOUNDS, "grid_mapping")


def packed_by(attributes: Mapping[str, JSON]) -> list[str]:
    """Return the attributes by which the stored numbers are not the values."""
    return [name for name, plain in PACKING.items() if attributes.get(name, plain) != plain]


def search_path(name: str, group: str) -> Iterator[str]:
    """Yield the paths at which ``name``, seen from ``group``, may be: there, then in every group above."""
    while True:
        yield child_path(group, name)
        if not group:
            return
        group = parent_path(group)


def coordinate_paths(nodes: Iterable[tuple[str, Mapping[str, JSON]]], known: Mapping[str, object]) -> set[str]:
    """Return the paths of arrays that attributes call coordinates, bounds or grid mappings.

    Args:
        nodes: (path of the group a name is seen from, attributes) of arrays and groups.
        known: the paths there are.
    """
    found = set()
    for group, attributes in nodes:
        for attribute in COORDINATES:
            text = attributes.get(attribute)
            if not isinstance(text, str):
                continue
            for word in text.replace(":", " ").split():
                path = next((path for path in search_path(word, group) if path in known), None)
                if path is not None:
                    found.add(path)
    return found


def bounds_of(path: str, attributes: Mapping[str, JSON]) -> set[str]:
    """Return the paths of the bounds of the coordinate at ``path``."""
    names = (attributes.get(name) for name in BOUNDS)
    return {child_path(parent_path(path), name) for name in names if isinstance(name, str)}
