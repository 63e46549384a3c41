"""The objects of a file: what their headers say, and h5py's view of them, opened where that is needed."""

from collections.abc import Callable

from h5py import h5a, h5d, h5g, h5p
from h5py._objects import ObjectID

from refmaker.errors import RefmakerError
from refmaker.scanners.hdf5.attribute_values import StoredAttribute
from refmaker.scanners.hdf5.attributes import (
    H5PY_ERRORS,
    Attribute,
    LibraryAttribute,
    ObjectAttributes,
    read_attributes,
)
from refmaker.scanners.hdf5.dataset_header import DatasetHeader, ObjectHeader, header_by_library
from refmaker.scanners.hdf5.hdf5_file import Hdf5File

__all__ = ["DatasetNode", "GroupNode"]


class DatasetNode:
    """A dataset, once per object.

    Attributes:
        file: the file it lies in.
        address: its object header's, unique in ``file``.
        name: in the group where it was met first.
        group: that group's path.
    """

    __slots__ = ("_header", "_id", "_object_header", "_open", "_properties", "address", "file", "group", "name")

    def __init__(
        self,
        file: Hdf5File,
        address: int,
        open_dataset: Callable[[], h5d.DatasetID],
        *,
        name: str = "",
        group: str = "",
        header: ObjectHeader | None = None,
    ) -> None:
        self.file = file
        self.address = address
        self.name = name
        self.group = group
        self._open = open_dataset
        self._object_header = header
        self._header = header.dataset if header else None
        self._id: h5d.DatasetID | None = None
        self._properties: h5p.PropDCID | None = None

    @property
    def id(self) -> h5d.DatasetID:
        """h5py's identifier."""
        if self._id is None:
            self._id = self._open()
        return self._id

    @property
    def properties(self) -> h5p.PropDCID:
        """Its creation properties, by h5py."""
        if self._properties is None:
            self._properties = self.id.get_create_plist()
        return self._properties

    @property
    def header(self) -> DatasetHeader:
        """What its object header says."""
        if self._header is None:
            self._header = header_by_library(self.id, self.properties)
        return self._header

    def attributes(self) -> ObjectAttributes:
        """Return what its attributes say."""
        return _attributes(self.file, self._object_header, lambda: self.id)


class GroupNode:
    """A group, once per object; the same node may be the member of several groups.

    Attributes:
        file: the file it lies in.
        address: its object header's, unique in ``file``.
        path: where it was met first.
        header: what its object header says; None where only libhdf5 reads it.
        datasets: its members that are datasets, by name.
        groups: its members that are groups.
    """

    __slots__ = ("_id", "_open", "address", "datasets", "file", "groups", "header", "path")

    def __init__(
        self,
        file: Hdf5File,
        address: int,
        open_group: Callable[[], h5g.GroupID],
        path: str,
        header: ObjectHeader | None,
    ) -> None:
        self.file = file
        self.address = address
        self.path = path
        self.header = header
        self.datasets: dict[str, DatasetNode] = {}
        self.groups: dict[str, GroupNode] = {}
        self._open = open_group
        self._id: h5g.GroupID | None = None

    @property
    def id(self) -> h5g.GroupID:
        """h5py's identifier."""
        if self._id is None:
            self._id = self._open()
        return self._id

    def attributes(self, *, is_file_root: bool) -> ObjectAttributes:
        """Return what its attributes say."""
        return _attributes(self.file, self.header, lambda: self.id, is_file_root=is_file_root)


def _attributes(
    file: Hdf5File,
    header: ObjectHeader | None,
    open_object: Callable[[], ObjectID],
    *,
    is_file_root: bool = False,
) -> ObjectAttributes:
    """Read an object's attributes in order of their names: from their messages, or else through h5py."""
    listed: list[Attribute]
    problem = header.problem if header else ""
    if header is not None and header.attributes is not None and file.heaps is not None:
        listed = [
            StoredAttribute(file.heaps, message, LibraryAttribute(open_object, message.name))
            for message in sorted(header.attributes)
        ]
    else:
        names: list[bytes] = []
        try:
            h5a.iterate(open_object(), names.append)  # by index, each attribute of many would be a search
        except (*H5PY_ERRORS, RefmakerError) as error:
            problem = f"h5py cannot list them: {error}"
        listed = [LibraryAttribute(open_object, name) for name in names]
    found = read_attributes(listed, file.id, is_file_root=is_file_root)
    if problem:
        found.dropped.insert(0, ("(others)", problem))
    return found
