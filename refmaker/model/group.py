"""Groups: a tree of named arrays and groups."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from refmaker.errors import OptionError
from refmaker.model.array import VirtualArray
from refmaker.model.attributes import JSON
from refmaker.model.keys import child_path, usable_name

__all__ = ["VirtualGroup", "walk", "walk_arrays"]


@dataclass(frozen=True, slots=True)
class VirtualGroup:
    """A node that holds arrays and groups by name, and attributes as JSON.

    >>> from refmaker import VirtualGroup
    >>> root = VirtualGroup(groups={"forcing": VirtualGroup(attributes={"source": "atmosphere"})})
    >>> root.groups["forcing"].attributes["source"]
    'atmosphere'
    """

    arrays: Mapping[str, VirtualArray] = field(default_factory=dict)
    groups: Mapping[str, "VirtualGroup"] = field(default_factory=dict)
    attributes: Mapping[str, JSON] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in (*self.arrays, *self.groups):
            if not usable_name(name):
                raise OptionError(f"{name!r} cannot name a Zarr node")
        if both := self.arrays.keys() & self.groups.keys():
            raise OptionError(f"{sorted(both)} name an array and a group")


def walk(root: VirtualGroup) -> Iterator[tuple[str, VirtualGroup | VirtualArray]]:
    """Yield (path, node) of every node, a group before its members, the root as ``""``; deep trees do not recurse."""
    pending: list[tuple[str, VirtualGroup | VirtualArray]] = [("", root)]
    while pending:
        path, node = pending.pop()
        yield path, node
        if isinstance(node, VirtualGroup):
            pending.extend((child_path(path, name), node.groups[name]) for name in reversed(list(node.groups)))
            pending.extend((child_path(path, name), node.arrays[name]) for name in reversed(list(node.arrays)))


def walk_arrays(root: VirtualGroup) -> Iterator[tuple[str, VirtualArray]]:
    """Yield (path, array) of every array."""
    for path, node in walk(root):
        if isinstance(node, VirtualArray):
            yield path, node
