"""The hierarchy of an HDF5 file: every link followed once, cycles and dangling links noted.

Hard links first over the whole file, so that every object is known by its own name; then soft and external links,
which may only repeat what is there. The walk keeps its own stack: groups nest deeper than Python recurses.
"""

from collections.abc import Callable
from dataclasses import dataclass

from h5py import h5, h5d, h5g, h5l, h5o, h5p
from h5py._objects import ObjectID

from refmaker.errors import BrokenFileError, RefmakerError, SourceError
from refmaker.model.attributes import text_of
from refmaker.model.keys import child_path
from refmaker.scanners.hdf5.attributes import object_address
from refmaker.scanners.hdf5.file_table import FileTable
from refmaker.scanners.hdf5.hdf5_file import H5PY_ERRORS, Hdf5File
from refmaker.scanners.hdf5.nodes import DatasetNode, GroupNode

__all__ = ["Tree", "open_path", "walk_links"]

MOST_LINKS = 64
"""Soft and external links in one path; HDF5's own default is 16."""

Problem = Callable[[str, str, str], None]


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
        root = GroupNode(main, root_id, address, "")
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
            for name, raw, link_type, address in self.links(group):
                if link_type != h5l.TYPE_HARD:
                    self.soft.append((group, name, raw, link_type))
                    continue
                if self.is_added_unopened(group, name, raw, address):
                    continue
                path = child_path(group.path, name)
                try:
                    target = h5o.open(group.id, raw)
                except H5PY_ERRORS as error:
                    self.broken(path, "broken", f"HDF5 cannot open the object: {error}")
                    continue
                new = self.add(group, name, group.file, target)
                if new is not None:
                    found.append(new)
            pending.extend(reversed(found))

    def is_added_unopened(self, group: GroupNode, name: str, raw: bytes, address: int) -> bool:
        """Make a dataset a member of a group if its header can be read without opening it, and say whether it was."""
        key = group.file.location_id, address
        node = self.datasets.get(key)
        if node is None:
            header = group.file.object_header(address)
            if header is None or header.dataset is None:
                return False
            node = self.datasets[key] = DatasetNode(
                group.file, address, lambda: _open(group, raw), name=name, group=group.path, header=header
            )
        group.datasets[name] = node
        return True

    def links(self, group: GroupNode) -> list[tuple[str, bytes, int, int]]:
        """Return (name, name in the file, link type, address) of a group's links, as created where that is kept."""
        rows: list[tuple[bytes, int, int]] = []

        def keep(name: bytes, info: h5l.LinkInfo) -> None:
            rows.append((name, info.type, info.u))  # h5py fills the same info object for every link

        try:
            kept = group.id.get_create_plist().get_link_creation_order() & h5p.CRT_ORDER_TRACKED
            order = h5.INDEX_CRT_ORDER if kept else h5.INDEX_NAME
            group.id.links.iterate(keep, idx_type=order, info=True)
        except H5PY_ERRORS as error:
            self.broken(group.path or "/", "broken", f"HDF5 cannot list the group: {error}")
        raw_names: dict[str, bytes] = {}
        for raw, *_ in rows:
            if text_of(raw) not in raw_names or raw == text_of(raw).encode():
                raw_names[text_of(raw)] = raw
        for raw, *_ in rows:
            if raw_names[text_of(raw)] != raw:
                self.broken(child_path(group.path, text_of(raw)), "name", f"{raw!r} reads like another link's name")
        return [(text_of(raw), raw, kind, at) for raw, kind, at in rows if raw_names[text_of(raw)] == raw]

    def add(self, group: GroupNode, name: str, file: Hdf5File, target: ObjectID) -> GroupNode | None:
        """Make an object a member of a group; return it if it is a group met for the first time."""
        if not isinstance(target, h5g.GroupID | h5d.DatasetID):
            return None  # a committed datatype: its definition is repeated in each dataset that uses it
        path = child_path(group.path, name)
        try:
            key = file.location_id, object_address(target)
        except H5PY_ERRORS as error:
            self.broken(path, "broken", f"HDF5 cannot read the object's header: {error}")
            return None
        if isinstance(target, h5d.DatasetID):
            node = self.datasets.get(key)
            if node is None:
                header = file.object_header(key[1])
                node = DatasetNode(file, key[1], lambda: target, name=name, group=group.path, header=header)
                self.datasets[key] = node
            group.datasets[name] = node
            return None
        known = self.groups.get(key)
        if known is not None:
            if known is group or reaches(known, group):
                self.note(path, "cycle", f"links back to {known.path or '/'}, which holds it: followed once")
            else:
                group.groups[name] = known
            return None
        made = self.groups[key] = GroupNode(file, target, key[1], path)
        group.groups[name] = made
        return made

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
        except (*H5PY_ERRORS, RefmakerError) as error:
            reason = f": {error}" if isinstance(error, RefmakerError) and not isinstance(error, SourceError) else ""
            self.note(path, "dangling-link", f"the link to {target_text or '?'} leads nowhere{reason}")
            return
        new = self.add(group, name, file, target)
        if new is not None:
            self.descend(new)


def _open(group: GroupNode, name: bytes) -> h5d.DatasetID:
    """Open a member of a group that is a dataset by its header.

    Raises:
        BrokenFileError: it is none to libhdf5.
    """
    try:
        target = h5o.open(group.id, name)
    except H5PY_ERRORS as error:
        raise BrokenFileError(f"HDF5 cannot open the object: {error}", location=group.file.opened.url) from error
    if not isinstance(target, h5d.DatasetID):
        raise BrokenFileError(f"HDF5 opens {name!r} as no dataset", location=group.file.opened.url)
    return target


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
        KeyError: there is no such object, or links lead in a circle.
        SourceError, BrokenFileError: an external link leads to no HDF5 file.
    """
    here = h5g.open(file.id, b"/") if path.startswith(b"/") else start
    names, links = path.split(b"/")[::-1], 0
    while names:
        name = names.pop()
        if name in {b"", b"."}:
            continue
        if not isinstance(here, h5g.GroupID):
            raise KeyError(f"{text_of(name)!r} in something that is no group")
        if not here.links.exists(name):
            raise KeyError(f"there is no {text_of(name)!r}")
        link_type = here.links.get_info(name).type
        if link_type == h5l.TYPE_HARD:
            here = h5o.open(here, name)
            continue
        links += 1
        if links > MOST_LINKS or link_type not in {h5l.TYPE_SOFT, h5l.TYPE_EXTERNAL}:
            raise KeyError(f"{text_of(name)!r} is a link of another type, or leads in a circle")
        target = here.links.get_val(name)
        if link_type == h5l.TYPE_EXTERNAL:
            file_name, target = target
            file = files.linked_hdf5(file, text_of(file_name))
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
        broken: called likewise for objects that HDF5 cannot open.
    """
    return _Walk(files, note, broken).run()
