"""One open HDF5 file: h5py's view of its objects beside our own view of its bytes."""

from contextlib import suppress
from dataclasses import dataclass

import h5py
from h5py import h5f

from refmaker.errors import BrokenFileError, RefmakerError, UnsupportedError
from refmaker.scanners.hdf5.attributes import H5PY_ERRORS
from refmaker.scanners.hdf5.chunk_index import ChunkIndex, read_chunk_index
from refmaker.scanners.hdf5.dataset_header import ObjectHeader, object_header_of, read_dense_attributes
from refmaker.scanners.hdf5.global_heap import GlobalHeaps
from refmaker.scanners.hdf5.group_links import read_links
from refmaker.scanners.hdf5.layout import DataLayout, read_data_layout
from refmaker.scanners.hdf5.messages import Link
from refmaker.scanners.hdf5.object_header import HeaderMessage, read_object_header
from refmaker.scanners.hdf5.superblock import Superblock, read_superblock
from refmaker.source.base import drive
from refmaker.source.blocks import BlockFile
from refmaker.source.location import OpenedFile

__all__ = ["H5PY_ERRORS", "Hdf5File", "open_hdf5"]

_OTHER_DRIVERS = {b"NCSAfami": "family", b"NCSAmult": "multi or split"}
"""Names in the driver information (block or message) of a file that is only a part of one."""
_HEAD_BYTES = 64 << 10
"""Where driver information stands, in any file that the library wrote."""


@dataclass(slots=True)
class Hdf5File:
    """An open HDF5 file.

    Attributes:
        opened: its URL and bytes.
        handle: h5py's file.
        location_id: its row in the source table being built.
        superblock: as we read it, or None where we cannot (``why_not`` says why): then the library reads everything.
        heaps: its global heaps, unless ``superblock`` is None.
    """

    opened: OpenedFile
    handle: h5py.File
    location_id: int
    superblock: Superblock | None = None
    heaps: GlobalHeaps | None = None
    why_not: str = ""

    @property
    def id(self) -> h5f.FileID:
        """h5py's low-level identifier."""
        return self.handle.id

    def object_header(self, address: int) -> ObjectHeader | None:
        """Return the header of the object at ``address``, None where only libhdf5 reads it."""
        superblock = self.superblock
        if superblock is None or superblock.cache_image:
            return None
        addressing = superblock.addressing
        try:
            messages = drive(read_object_header(addressing, address + addressing.base_address), self.opened.source)
            header = object_header_of(addressing, messages)
        except RefmakerError:
            return None  # libhdf5 will say what is wrong with it, if anything
        if header.elsewhere is None:
            return header
        try:
            dense = drive(read_dense_attributes(addressing, header.elsewhere), self.opened.source)
        except UnsupportedError:
            return header
        except RefmakerError as error:
            return header._replace(attributes=(), problem=error.message)
        return header._replace(attributes=dense)

    def links(self, group: tuple[HeaderMessage, ...]) -> list[Link] | None:
        """Return the links of the group with these messages, None where only libhdf5 reads them.

        Raises:
            BrokenFileError, TruncatedFileError: they make no sense.
        """
        try:
            return drive(read_links(self._known_superblock(), group), self.opened.source)
        except UnsupportedError:
            return None

    def layout(self, address: int) -> DataLayout:
        """Return the data layout message of the dataset whose object header is at ``address``.

        Raises:
            BrokenFileError, UnsupportedError: our reader does not understand the object header.
        """
        superblock = self._known_superblock()
        return drive(read_data_layout(superblock.addressing, address + superblock.base_address), self.opened.source)

    def chunk_index(
        self,
        layout: DataLayout,
        shape: tuple[int, ...],
        maxshape: tuple[int | None, ...],
        *,
        filtered: bool,
    ) -> ChunkIndex:
        """Return the chunk index that a layout message points to.

        Raises:
            BrokenFileError, UnsupportedError: our reader does not understand it.
        """
        superblock = self._known_superblock()
        parser = read_chunk_index(superblock, layout, shape, maxshape, filtered=filtered)
        return drive(parser, self.opened.source)

    @property
    def base_address(self) -> int:
        """The file position of address 0."""
        return self._known_superblock().base_address

    def check_heap(self, address: int) -> None:
        """Check a global heap before libhdf5 reads values in it.

        Raises:
            BrokenFileError, TruncatedFileError: libhdf5 might never return from it.
        """
        if self.heaps is not None:
            self.heaps.collection(address)

    def _known_superblock(self) -> Superblock:
        if self.superblock is None:
            raise UnsupportedError(self.why_not, code="chunk-index")
        return self.superblock

    def close(self) -> None:
        """Close h5py's file; the source belongs to whoever opened it."""
        with suppress(*H5PY_ERRORS):  # of a broken file; whatever was wrong has been told
            self.handle.close()


def _open_local(path: str) -> h5py.File:
    try:
        return h5py.File(path, "r", locking=False)
    except OSError as error:
        if "file locking flag" not in str(error):
            raise
        return h5py.File(path, "r")  # already open in this process with locks, which HDF5 wants alike


def open_hdf5(opened: OpenedFile, location_id: int) -> Hdf5File:
    """Open a file with h5py, without locks: scanning changes nothing.

    Raises:
        BrokenFileError: HDF5 cannot open it.
        UnsupportedError: it is a member of a family of files, or of a split file (code ``"driver"``).
    """
    superblock, why_not = None, ""
    try:
        superblock = drive(read_superblock(opened.source.size, location=opened.url), opened.source)
    except RefmakerError as error:
        why_not = error.message
    try:
        handle = h5py.File(BlockFile(opened.source), "r") if opened.path is None else _open_local(opened.path)
    except H5PY_ERRORS as error:
        head = opened.source.read(0, min(_HEAD_BYTES, opened.source.size))
        for name, driver in _OTHER_DRIVERS.items():
            if name in head:
                raise UnsupportedError(
                    f"it is one of several files that HDF5's {driver} driver keeps together, and none alone can be "
                    "read; join them into one file first (h5repart for families, h5repack else)",
                    code="driver",
                    location=opened.url,
                ) from error
        raise BrokenFileError(f"HDF5 cannot open it: {error}", location=opened.url) from error
    if handle.id.get_intent() & h5f.ACC_RDWR:  # another handle of this process shares it
        superblock, why_not = None, "the file is open for writing in this process, which may know newer structures"
    heaps = GlobalHeaps(superblock.addressing, opened.source) if superblock else None
    return Hdf5File(opened, handle, location_id, superblock, heaps, why_not)
