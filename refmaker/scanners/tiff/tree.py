"""Where each series goes in the tree, and what its variable is called.

The one image of a file is in the root; several have a group each. What belongs to an image without being one (masks,
smaller copies, labels) is always in a group of its own. Levels below the first are groups in their image's group.
"""

import re
from collections.abc import Sequence

from refmaker.scanners.tiff.series import Series

__all__ = ["COORDINATES", "group_names", "level_name", "variable_name"]

VARIABLE = "data"
WORD = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
GROUPS = re.compile(r"(level|series|page|mask|reduced)(_\d+)*")
"""What groups are called that may stand beside an image."""
COORDINATES = frozenset({"x", "y", "z", "t", "c", "s", "i", "band", "spatial_ref"})
"""Names that variables of one element along an axis have, and no image may."""


def group_names(series: Sequence[Series]) -> list[str]:
    """Return the group of each series: ``""`` for the root."""
    images = [one for one in series if one.role == "image"] or list(series[:1])
    names: list[str] = []
    for one in series:
        name = "" if len(images) == 1 and one is images[0] else _own_name(one)
        while name and name in names:
            name = f"{name}_{one.title.rpartition(' ')[2]}"
        names.append(name)
    return names


def _own_name(series: Series) -> str:
    if series.role in {"mask", "reduced"}:
        return series.role
    if series.role == "label":
        return series.name.lower()
    return series.title.replace(" ", "_")


def level_name(number: int) -> str:
    """Return the group of a level below the first."""
    return f"level_{number}"


def variable_name(series: Series) -> str:
    """Return the series' name where it is a word that names nothing else, else ``data``."""
    is_free = series.name.lower() not in COORDINATES and not GROUPS.fullmatch(series.name)
    return series.name if WORD.fullmatch(series.name) and is_free else VARIABLE
