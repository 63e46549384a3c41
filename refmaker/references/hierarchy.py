"""From documents and chunk manifests by path to a tree of groups and arrays."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from refmaker.errors import BrokenReferencesError
from refmaker.model.array import VirtualArray
from refmaker.model.attributes import JSON
from refmaker.model.group import VirtualGroup
from refmaker.model.keys import parent_path, split_key, usable_name

__all__ = ["AxisNames", "build_tree", "check_path"]

MAXIMUM_DEPTH = 4000
"""Groups within groups; a document that nests deeper is hostile."""


@dataclass(slots=True)
class AxisNames:
    """Names for unnamed axes of a group's arrays: ``phony_dim_N``, one a size, as netCDF-4 gives them.

    Two axes of one array never share a name, and no name stands for two sizes.
    """

    by_size: dict[int, list[str]] = field(default_factory=dict)
    count: int = 0

    def __call__(self, shape: tuple[int, ...]) -> tuple[str, ...]:
        """Return names for the axes of an array."""
        names = []
        for axis, size in enumerate(shape):
            known = self.by_size.setdefault(size, [])
            repeated = shape[:axis].count(size)
            if repeated == len(known):
                known.append(f"phony_dim_{self.count}")
                self.count += 1
            names.append(known[repeated])
        return tuple(names)


def check_path(path: str) -> None:
    """Raise BrokenReferencesError unless ``path`` can be the path of a node."""
    names = path.split("/") if path else []
    if len(names) > MAXIMUM_DEPTH or not all(map(usable_name, names)):
        raise BrokenReferencesError("cannot be the path of a Zarr node", path=path[:200])


def build_tree(groups: Mapping[str, Mapping[str, JSON]], arrays: Mapping[str, VirtualArray]) -> VirtualGroup:
    """Return the tree of nodes by path; groups that only their members speak of are made.

    Args:
        groups: path to attributes; the root is ``""``.
        arrays: path to array.

    Raises:
        BrokenReferencesError: a node lies inside an array, or is an array and a group.
    """
    attributes: dict[str, Mapping[str, JSON]] = {"": {}, **groups}
    for path in (*groups, *arrays):
        for above in _ancestors(path):
            attributes.setdefault(above, {})
    for path in arrays:
        if path in attributes:
            raise BrokenReferencesError("is an array, and also a group or has nodes inside", path=path)
    members: dict[str, list[str]] = {path: [] for path in attributes}
    for path in attributes:
        if path:
            members[parent_path(path)].append(path)
    holding: dict[str, dict[str, VirtualArray]] = {}
    for path, array in arrays.items():
        parent, name = split_key(path)
        holding.setdefault(parent, {})[name] = array
    built: dict[str, VirtualGroup] = {}
    for path in _children_first(attributes):
        inner = {split_key(child)[1]: built.pop(child) for child in members[path]}
        built[path] = VirtualGroup(holding.get(path, {}), inner, attributes[path])
    return built[""]


def _ancestors(path: str) -> Iterator[str]:
    while path:
        path = parent_path(path)
        yield path


def _children_first(paths: Iterable[str]) -> list[str]:
    return sorted(paths, key=lambda path: path.count("/") + bool(path), reverse=True)
