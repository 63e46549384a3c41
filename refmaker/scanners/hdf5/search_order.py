"""Where HDF5 looks for a file that another file names.

Measured with HDF5 2.0.0: every place held a file of its own, and the one that was opened was removed until none was
found. The main file was opened through a symbolic link, from a working directory that was neither the link's nor the
target's.

* **External links** look for a relative name in each folder of ``HDF5_EXT_PREFIX`` (colons between), in the folder of
  the naming file as it was opened, in the working directory, and in the folder of the file that is meant where the
  naming file is a symbolic link. An absolute name is tried first, and then its last part as a relative name. What the
  system does not let one open is passed over; what it opens and is not HDF5 ends the search, and is an error.
* **Sources of virtual datasets** likewise, with ``HDF5_VDS_PREFIX``, which may begin with ``${ORIGIN}``: the folder of
  the naming file as it was opened.
* **Raw files** (external storage) are looked for in the folder ``HDF5_EXTFILE_PREFIX``, with ``${ORIGIN}`` too, or
  without it in the working directory; absolute names as they are. Nowhere else, which loses them when one works in
  another folder: without the variable we look beside the file as well, and beside what a symbolic link means.

In a store there are no links and no working directory: a file may only name others below its bucket or host, and an
absolute name is taken for its last part, beside the naming file.
"""

import os
from pathlib import PurePosixPath

from refmaker.source.location import OpenedFile

__all__ = ["EXTERNAL_LINK", "VIRTUAL_SOURCE", "places", "raw_places"]

EXTERNAL_LINK = "HDF5_EXT_PREFIX"
VIRTUAL_SOURCE = "HDF5_VDS_PREFIX"
_RAW_FILE = "HDF5_EXTFILE_PREFIX"
_ORIGIN = "${ORIGIN}"


def places(base: OpenedFile, name: str, variable: str) -> list[str]:
    """Return where an HDF5 file may be that ``base`` calls ``name``, in the order in which HDF5 looks.

    Args:
        base: the naming file.
        name: as the file spells it.
        variable: ``EXTERNAL_LINK`` or ``VIRTUAL_SOURCE``.
    """
    name = name.replace("\\", "/")
    if base.path is None:
        return _in_store(base.url, name)
    prefix = os.environ.get(variable, "")
    folders = [folder for folder in prefix.split(":") if folder]
    if variable == VIRTUAL_SOURCE and prefix.startswith(_ORIGIN):
        folders = [_from_origin(base.path, prefix)]
    beside, *target = _own_folders(base.path)
    return _local(name, [*folders, beside, "", *target])


def raw_places(base: OpenedFile, name: str) -> list[str]:
    """Return where a raw file may be that ``base`` calls ``name``; without the variable they are equally good."""
    name = name.replace("\\", "/")
    if base.path is None:
        return _in_store(base.url, name)
    prefix = os.environ.get(_RAW_FILE, "")
    if prefix in {"", "."}:
        return _local(name, ["", *_own_folders(base.path)])
    return [name] if PurePosixPath(name).is_absolute() else _local(name, [_from_origin(base.path, prefix)])


def _from_origin(path: str, prefix: str) -> str:
    """Return a folder that may be given from that of the file at ``path``."""
    if not prefix.startswith(_ORIGIN):
        return prefix
    return f"{os.path.dirname(path)}/{prefix.removeprefix(_ORIGIN)}"  # noqa: PTH120  pathlib would fold "a/../b" away


def _own_folders(path: str) -> list[str]:
    """Return a file's folder, and that of the file meant if it is a symbolic link."""
    names = [path, os.path.realpath(path)] if os.path.islink(path) else [path]  # noqa: PTH114
    return [os.path.dirname(name) for name in names]  # noqa: PTH120


def _local(name: str, folders: list[str]) -> list[str]:
    """Return an absolute name and its last part in folders, or a relative name there; each place once."""
    is_absolute = PurePosixPath(name).is_absolute()
    inner, _, last = name.rpartition("/")
    if last in {"", ".", ".."}:
        return []
    found = [name] if is_absolute else []
    for folder in folders:
        whole = os.path.abspath(folder if is_absolute else os.path.join(folder, inner))  # noqa: PTH100, PTH118
        if ".." in inner.split("/") or ".." in folder.split("/"):  # a symbolic link's parent is its target's
            whole = os.path.realpath(folder if is_absolute else os.path.join(folder, inner))  # noqa: PTH118
        found.append(os.path.join(whole, last))  # noqa: PTH118
    return list(dict.fromkeys(found))


def _in_store(url: str, name: str) -> list[str]:
    """Return the URL beside ``url``, none where the name leads above its bucket or host."""
    if not (last := PurePosixPath(name).name):
        return []
    scheme, colon, rest = url.partition("://")
    folders = rest.split("/")[:-1]
    for part in [last] if name.startswith("/") else name.split("/"):
        if part == "..":
            if len(folders) < 2:
                return []
            folders.pop()
        elif part not in {"", "."}:
            folders.append(part)
    return [f"{scheme}{colon}{'/'.join(folders)}"]
