"""The hierarchy of an HDF5 file: every link followed once, cycles and dangling links noted.

Hard links first over the whole file, so that every object is known by its own name; then soft and external links,
which may only repeat what is there. The walk keeps its own stack: groups nest deeper than Python recurses.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from h5py import h5, h5d, h5g, h5l, h5o, h5p
from h5py._objects import ObjectID

from refmaker.errors import BrokenFileError, RefmakerError, SourceError, UnsupportedError
from refmaker.model.attributes import text_of
from refmaker.model.keys import child_path
from refmaker.scanners.hdf5.attributes import object_address
from refmaker.scanners.hdf5.dataset_header import ObjectHeader
from refmaker.scanners.hdf5.file_table import AbsentFileError, FileTable
from refmaker.scanners.hdf5.hdf5_file import H5PY_ERRORS, Hdf5File
from refmaker.scanners.hdf5.messages import Link
from refmaker.scanners.hdf5.nodes import DatasetNode, GroupNode
from refmaker.scanners.hdf5.search_order import EXTERNAL_LINK

__all__ = ["AbsentObjectError", "Tree", "failure_code", "open_path", "walk_links"]

MOST_LINKS = 64
"""Soft and external links in one path; HDF5's own default is 16."""

Problem = Callable[[str, str, str], None]


class AbsentObjectError(KeyError):
    """A path names nothing."""


@dataclass(frozen=True, slots=True)
class Tree:
    """All objects of a file.

    Attributes:
        root: the root group.
        groups: every group once, parents first.
        datasets: every dataset once, in the order of the walk.
    """

    root: GroupNode
    groups: list[GroupNode]
    datasets: list[DatasetNode]


class _Walk:
    def __init__(self, files: FileTable, note: Problem, broken: Problem) -> None:
        self.files = files
        self.note = note
        self.broken = broken
        self.groups: dict[tuple[int, int], GroupNode] = {}
        self.datasets: dict[tuple[int, int], DatasetNode] = {}
        self.soft: list[tuple[GroupNode, str, bytes, int]] = []

    def run(self) -> Tree:
        main = self.files.main
        try:
            root_id = h5g.open(main.id, b"/")
            address = object_address(root_id)
        except H5PY_ERRORS as error:
            raise BrokenFileError(f"HDF5 cannot open the root group: {error}", location=main.opened.url) from error
        root = GroupNode(main, address, lambda: root_id, "", main.object_header(address))
        self.groups[main.location_id, address] = root
        self.descend(root)
        while self.soft:
            self.follow(*self.soft.pop(0))
        return Tree(root, list(self.groups.values()), list(self.datasets.values()))

    def descend(self, start: GroupNode) -> None:
        """Add what lies under a group by hard links; keep other links for later."""
        pending = [start]
        while pending:
            group = pending.pop()
            found = []
            for name, link in self.links(group):
                if link.type != h5l.TYPE_HARD:
                    self.soft.append((group, name, link.name, link.type))
                    continue
                new = self.add_linked(group, name, link)
                if new is not None:
                    found.append(new)
            pending.extend(reversed(found))

    def links(self, group: GroupNode) -> list[tuple[str, Link]]:
        """Return the (name, link) of a group's links, in order of creation where that is kept."""
        try:
            links = group.file.links(group.header.group) if group.header and group.header.group is not None else None
            links = listed_by_library(group.id) if links is None else links
        except RefmakerError as error:
            self.broken(group.path or "/", "broken", f"the group cannot be listed: {error.message}")
            links = []
        except H5PY_ERRORS as error:
            self.broken(group.path or "/", "broken", f"HDF5 cannot list the group: {error}")
            links = []
        by_name: dict[str, Link] = {}
        for link in links:
            name = text_of(link.name)
            if name not in by_name or link.name == name.encode():
                by_name[name] = link
        for link in links:
            name = text_of(link.name)
            if by_name[name] != link:
                self.broken(child_path(group.path, name), "name", f"{link.name!r} reads like another link's name")
        return list(by_name.items())

    def add_linked(self, group: GroupNode, name: str, link: Link) -> GroupNode | None:
        """Make what a hard link leads to a member of a group, unopened if its header is understood.

        Return it if it is a group met for the first time.
        """
        file = group.file
        key = file.location_id, link.address
        known = self.datasets.get(key) or self.groups.get(key)
        header = None if known else file.object_header(link.address)
        if isinstance(known, DatasetNode) or (header is not None and header.dataset is not None):
            self.add_dataset(group, name, file, link.address, partial(_open, group, link.name), header)
            return None
        if known or (header is not None and header.group is not None):
            return self.add_group(group, name, file, link.address, partial(_open, group, link.name), header)
        try:
            target = h5o.open(group.id, link.name)
        except (*H5PY_ERRORS, RefmakerError) as error:
            self.broken(child_path(group.path, name), "broken", f"HDF5 cannot open the object: {error}")
            return None
        return self.add(group, name, file, target)

    def add(self, group: GroupNode, name: str, file: Hdf5File, target: ObjectID) -> GroupNode | None:
        """Make an open object a member of a group; return it if it is a group met for the first time."""
        if not isinstance(target, h5g.GroupID | h5d.DatasetID):
            return None  # a committed datatype: its definition is repeated in each dataset that uses it
        try:
            address = object_address(target)
        except H5PY_ERRORS as error:
            self.broken(child_path(group.path, name), "broken", f"HDF5 cannot read the object's header: {error}")
            return None
        add = self.add_dataset if isinstance(target, h5d.DatasetID) else self.add_group
        return add(group, name, file, address, lambda: target, file.object_header(address))

    def add_dataset(
        self,
        group: GroupNode,
        name: str,
        file: Hdf5File,
        address: int,
        open_dataset: Callable[[], ObjectID],
        header: ObjectHeader | None,
    ) -> None:
        """Make a dataset a member of a group."""
        key = file.location_id, address
        if key not in self.datasets:
            node = DatasetNode(file, address, open_dataset, name=name, group=group.path, header=header)
            self.datasets[key] = node
        group.datasets[name] = self.datasets[key]

    def add_group(
        self,
        group: GroupNode,
        name: str,
        file: Hdf5File,
        address: int,
        open_group: Callable[[], ObjectID],
        header: ObjectHeader | None,
    ) -> GroupNode | None:
        """Make a group a member of another; return it if it is met for the first time."""
        key = file.location_id, address
        path = child_path(group.path, name)
        known = self.groups.get(key)
        if known is None:
            made = self.groups[key] = group.groups[name] = GroupNode(file, address, open_group, path, header)
            return made
        if known is group or reaches(known, group):
            self.note(path, "cycle", f"links back to {known.path or '/'}, which holds it: followed once")
        else:
            group.groups[name] = known
        return None

    def follow(self, group: GroupNode, name: str, raw: bytes, link_type: int) -> None:
        """Add what a soft or external link names."""
        path = child_path(group.path, name)
        target_text = ""
        try:
            if link_type == h5l.TYPE_SOFT:
                target_text = text_of(group.id.links.get_val(raw))
            elif link_type == h5l.TYPE_EXTERNAL:
                file_name, inner = map(text_of, group.id.links.get_val(raw))
                target_text = f"{inner} in {file_name}"
            else:
                self.note(path, "link", f"a link of user-defined type {link_type} cannot be followed")
                return
            file, target = open_path(self.files, group.file, group.id, raw)
        except (AbsentObjectError, AbsentFileError):
            self.note(path, "dangling-link", f"the link to {target_text or '?'} leads nowhere")
            return
        except (*H5PY_ERRORS, RefmakerError) as error:
            if link_type == h5l.TYPE_SOFT and not isinstance(error, RefmakerError):  # told where the object itself is
                self.note(path, "dangling-link", f"the link to {target_text or '?'} leads nowhere")
                return
            self.broken(path, failure_code(error), f"the link to {target_text or '?'} cannot be followed: {error}")
            return
        new = self.add(group, name, file, target)
        if new is not None:
            self.descend(new)


def failure_code(error: Exception) -> str:
    """Return the code under which an object is left out because of an error."""
    if isinstance(error, UnsupportedError):
        return error.code
    return "source" if isinstance(error, SourceError) else "broken"


def _open(group: GroupNode, name: bytes) -> ObjectID:
    """Open a member of a group.

    Raises:
        BrokenFileError: libhdf5 cannot.
    """
    try:
        return h5o.open(group.id, name)
    except H5PY_ERRORS as error:
        raise BrokenFileError(f"HDF5 cannot open the object: {error}", location=group.file.opened.url) from error


def listed_by_library(group: h5g.GroupID) -> list[Link]:
    """Return a group's links as h5py lists them, in order of creation where that is kept."""
    links: list[Link] = []

    def keep(name: bytes, info: h5l.LinkInfo) -> None:
        links.append(Link(name, info.type, info.u, 0))  # h5py fills the same info object for every link

    kept = group.get_create_plist().get_link_creation_order() & h5p.CRT_ORDER_TRACKED
    group.links.iterate(keep, idx_type=h5.INDEX_CRT_ORDER if kept else h5.INDEX_NAME, info=True)
    return links


def open_path(files: FileTable, file: Hdf5File, start: ObjectID, path: bytes) -> tuple[Hdf5File, ObjectID]:
    """Open what a path names, and return it with the file it lies in.

    HDF5 would follow the links in a path too, but from one file into another without telling: byte offsets would then
    be taken for those of the wrong file.

    Args:
        files: opens the files that external links name.
        file: where the path starts.
        start: the group that it is relative to, if it does not begin with a slash.
        path: link names with slashes between them.

    Raises:
        AbsentObjectError: there is no such object, or links lead in a circle.
        AbsentFileError: an external link leads to no file.
        SourceError, BrokenFileError, UnsupportedError: it leads to one that cannot be read.
    """
    here = h5g.open(file.id, b"/") if path.startswith(b"/") else start
    names, links = path.split(b"/")[::-1], 0
    while names:
        name = names.pop()
        if name in {b"", b"."}:
            continue
        if not isinstance(here, h5g.GroupID):
            raise AbsentObjectError(f"{text_of(name)!r} in something that is no group")
        if not here.links.exists(name):
            raise AbsentObjectError(f"there is no {text_of(name)!r}")
        link_type = here.links.get_info(name).type
        if link_type == h5l.TYPE_HARD:
            here = h5o.open(here, name)
            continue
        links += 1
        if links > MOST_LINKS or link_type not in {h5l.TYPE_SOFT, h5l.TYPE_EXTERNAL}:
            raise AbsentObjectError(f"{text_of(name)!r} is a link of another type, or leads in a circle")
        target = here.links.get_val(name)
        if link_type == h5l.TYPE_EXTERNAL:
            file_name, target = target
            file = files.linked_hdf5(file, text_of(file_name), EXTERNAL_LINK)
            here = h5g.open(file.id, b"/")
        elif target.startswith(b"/"):
            here = h5g.open(file.id, b"/")
        names += target.split(b"/")[::-1]
    return file, here


def reaches(start: GroupNode, goal: GroupNode) -> bool:
    """Whether ``goal`` lies under ``start``."""
    pending, seen = [start], {id(start)}
    while pending:
        for member in pending.pop().groups.values():
            if member is goal:
                return True
            if id(member) not in seen:
                seen.add(id(member))
                pending.append(member)
    return False


def walk_links(files: FileTable, note: Problem, broken: Problem) -> Tree:
    """Return all objects of ``files.main``.

    Args:
        files: opens files that links name.
        note: called with (path, code, sentence) for links that lead nowhere or back.
        broken: called likewise for objects that HDF5 cannot open, and links to files that are there and unreadable.
    """
    return _Walk(files, note, broken).run()
