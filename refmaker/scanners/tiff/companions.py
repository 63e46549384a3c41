"""The files of a multi-file OME-TIFF, each checked before tifffile opens it.

Its XML, in any of them, lists all files by name; tifffile opens those it finds beside the one that was asked for.
"""

import math
import os
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from refmaker.errors import BrokenFileError, SourceError
from refmaker.scanners.tiff.tiff_file import TiffFile
from refmaker.source.location import open_file

__all__ = ["Companions", "open_companions"]

MOST_PLANES = 1 << 22
"""Planes of one image: tifffile makes a list of them before it looks which there are."""


class Companions:
    """A file and those that belong to it.

    Attributes:
        main: the file that was asked for.
        files: all of them by local path; the main one first.
        missing: names of files that its XML lists and nobody can open.
    """

    def __init__(self, main: TiffFile) -> None:
        self.main = main
        self.files: dict[str | None, TiffFile] = {main.opened.path: main}
        self.missing: set[str] = set()
        self._rows = {main: 0}

    def add(self, path: str) -> None:
        """Open and check one more file.

        Raises:
            SourceError: it cannot be read.
            BrokenFileError: its structures are broken.
        """
        opened = open_file(path)
        try:
            file = TiffFile(opened)
        except BrokenFileError:
            opened.source.close()
            raise
        file.tifffile.close()
        self.files[opened.path] = file
        self._rows[file] = len(self._rows)

    def location_id(self, file: TiffFile) -> int:
        """Return the row of the source table that is the file's."""
        return self._rows[file]

    def of(self, page: Any) -> TiffFile:
        """Return the file that a page lies in.

        Raises:
            BrokenFileError: tifffile found it elsewhere than its name says.
        """
        if len(self.files) == 1:
            return self.main
        path = os.path.normpath(Path(page.parent.filehandle.path).absolute())
        if path not in self.files:
            raise BrokenFileError(f"tifffile opened {path}, which its XML does not name", location=self.main.opened.url)
        return self.files[path]

    def close(self) -> None:
        """Close all but the main file."""
        for file in list(self.files.values())[1:]:
            file.opened.source.close()


def open_companions(main: TiffFile) -> Companions:
    """Return a file with those that its OME-XML lists.

    Raises:
        BrokenFileError: one of them is broken, or the XML lists more planes than any image has.
    """
    companions = Companions(main)
    document = main.tifffile.ome_metadata
    if document is None:
        return companions
    try:
        root = ET.fromstring(document)  # noqa: S314  expat bounds the expansion of entities
    except ET.ParseError:
        return companions  # tifffile says so, and takes it for a plain TIFF
    _check_planes(root, main.opened.url)
    own = main.opened.url.rpartition("/")[2]
    names = {e.get("FileName", "") for e in root.iter() if e.tag.endswith("}UUID") or e.tag == "UUID"} - {"", own}
    if main.opened.path is None:
        companions.missing = names
        return companions
    folder = Path(main.opened.path).parent
    if outside := [name for name in names if Path(name).is_absolute() or ".." in Path(name).parts]:
        raise BrokenFileError(f"its OME-XML lists a file outside its folder: {outside[0]!r}", location=main.opened.url)
    for name in sorted(names):
        try:
            companions.add(str(folder / name))
        except SourceError:
            companions.missing.add(name)
    if len(companions.files) > 1:
        main.reopen()
    return companions


def _check_planes(root: ET.Element, location: str) -> None:
    """Refuse numbers that tifffile would make lists of."""
    for element in root.iter():
        tag = element.tag.rpartition("}")[2]
        if tag == "Pixels":
            planes = math.prod(_number(element.get(name, "1")) for name in ("SizeZ", "SizeC", "SizeT"))
        elif tag == "TiffData":
            planes = max(_number(element.get(name, "0")) for name in ("PlaneCount", "NumPlanes"))
        else:
            continue
        if planes > MOST_PLANES:
            raise BrokenFileError(f"its OME-XML lists {planes} planes of one image", location=location)


def _number(text: str) -> int:
    return int(text) if text.strip().isascii() and text.strip().isdigit() and len(text) < 20 else 0
