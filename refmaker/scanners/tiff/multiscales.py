"""A pyramid's levels as OME-NGFF 0.4 ``multiscales`` metadata: what viewers look for in a group's attributes."""

from collections.abc import Sequence

from refmaker.model.attributes import JSON
from refmaker.scanners.tiff.series import Level

__all__ = ["multiscales"]

VERSION = "0.4"
AXIS_TYPES = {"t": "time", "c": "channel", "s": "channel", "band": "channel", "z": "space", "y": "space", "x": "space"}
"""OME-NGFF 0.4, "axes" metadata; other axes have no type."""


def multiscales(
    name: str,
    levels: Sequence[tuple[str, Level]],
    dimensions: Sequence[str],
    units: dict[str, str],
    sizes: dict[str, float],
) -> JSON:
    """Return the ``multiscales`` of the levels, given as (path of the array, level), the largest first.

    Args:
        name: the image's name.
        levels: at least one.
        dimensions: the names of their axes.
        units: of physical sizes, by dimension.
        sizes: of an element of the first level, by dimension; 1 where unknown.
    """
    first = levels[0][1]
    axes: list[JSON] = []
    for dimension in dimensions:
        axis: dict[str, JSON] = {"name": dimension}
        if dimension in AXIS_TYPES:
            axis["type"] = AXIS_TYPES[dimension]
        if dimension in units:
            axis["unit"] = units[dimension]
        axes.append(axis)
    datasets: list[JSON] = []
    for path, level in levels:
        scale: list[JSON] = [
            sizes.get(dimension, 1.0) * large / small
            for dimension, large, small in zip(dimensions, first.shape, level.shape, strict=True)
        ]
        datasets.append({"path": path, "coordinateTransformations": [{"type": "scale", "scale": scale}]})
    return [{"version": VERSION, "name": name, "axes": axes, "datasets": datasets}]
