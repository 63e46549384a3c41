"""One group of the references as xarray's data store: variables and attributes, which xarray then decodes by CF."""

from collections.abc import Iterable, Mapping
from typing import Any

from xarray.backends.common import AbstractDataStore
from xarray.core import indexing
from xarray.core.variable import Variable

from refmaker.errors import OptionError
from refmaker.model.array import VirtualArray
from refmaker.model.group import VirtualGroup, walk
from refmaker.model.keys import child_path
from refmaker.serve.backend_array import ReferenceBackendArray
from refmaker.serve.opened import OpenedReferences

__all__ = ["GroupDataStore", "group_paths"]


class GroupDataStore(AbstractDataStore):
    """What ``StoreBackendEntrypoint`` opens.

    Args:
        opened: the references.
        path: of a group; ``""`` is the root.
        left_out: names of variables that are not wanted.

    Raises:
        OptionError: there is no such group.
    """

    def __init__(self, opened: OpenedReferences, path: str, left_out: Iterable[str] = ()) -> None:
        self._opened = opened
        self._path = path
        self._group = group_at(opened, path)
        self._left_out = frozenset(left_out)

    def get_variables(self) -> Mapping[str, Variable]:
        """Return the group's arrays as lazy variables."""
        arrays = self._group.arrays
        return {name: self._variable(name, array) for name, array in arrays.items() if name not in self._left_out}

    def _variable(self, name: str, array: VirtualArray) -> Variable:
        metadata = array.metadata
        data = indexing.LazilyIndexedArray(ReferenceBackendArray(self._opened, child_path(self._path, name)))
        attributes: dict[str, Any] = dict(metadata.attributes)
        if metadata.fill_value is not None:  # as xarray takes Zarr v2's fill value
            attributes["_FillValue"] = metadata.fill_value
        encoding = {
            "chunks": metadata.chunk_shape,
            "preferred_chunks": dict(zip(metadata.dimension_names, metadata.chunk_shape, strict=True)),
        }
        return Variable(metadata.dimension_names, data, attributes, encoding)

    def get_attrs(self) -> Mapping[str, Any]:
        """Return the group's attributes."""
        return dict(self._group.attributes)

    def get_dimensions(self) -> Mapping[str, int]:
        """Return the length of every dimension of the group's arrays."""
        return {
            name: length
            for array in self._group.arrays.values()
            for name, length in zip(array.metadata.dimension_names, array.metadata.shape, strict=True)
        }

    def get_encoding(self) -> Mapping[str, Any]:
        """Return where the dataset comes from."""
        origin = self._opened.origin
        return {"source": origin.url} if origin else {}


def group_at(opened: OpenedReferences, path: str) -> VirtualGroup:
    """Return the group at a path; OptionError, naming those there are, if there is none."""
    node = opened.catalog.nodes.get(path)
    if not isinstance(node, VirtualGroup):
        groups = [name or "/" for name, one in opened.catalog.nodes.items() if isinstance(one, VirtualGroup)]
        raise OptionError(f"no group {path!r}; there are {', '.join(groups[:20])}")
    return node


def group_paths(opened: OpenedReferences, path: str) -> list[str]:
    """Return the paths of a group and of all groups below it, relative to it."""
    return [inner for inner, node in walk(group_at(opened, path)) if isinstance(node, VirtualGroup)]
