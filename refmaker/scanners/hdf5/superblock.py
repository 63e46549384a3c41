"""The superblock: where it lies, how wide addresses are, and where everything else starts.

HDF5 File Format Specification, section II.A (versions 0 to 3) and II.C (superblock extension). The first read covers
the superblock of nearly every file; only a file with a user block costs a second round, which asks for all
positions the format allows at once. The extension is read because it changes how B-trees are laid out (message
0x13) and because a metadata cache image (0x18) means that the structures in the file are not the newest.
"""

from dataclasses import dataclass, replace

from refmaker.errors import BrokenFileError, TruncatedFileError, UnsupportedError
from refmaker.scanners.hdf5.addressing import WIDTHS, Addressing
from refmaker.scanners.hdf5.object_header import HeaderMessage, read_object_header
from refmaker.source.base import Bytes, Parser, Wish
from refmaker.source.cursor import Cursor

__all__ = ["SIGNATURE", "Superblock", "read_superblock"]

SIGNATURE = b"\x89HDF\r\n\x1a\n"
FIRST_READ = 128
"""Bytes that hold any superblock with addresses of up to 8 bytes."""
DEFAULT_INDEXED_STORAGE_K = 32
"""K of chunk B-trees where no field says otherwise (section II.A.1)."""
DEFAULT_GROUP_LEAF_K = 4
DEFAULT_GROUP_INTERNAL_K = 16
BTREE_K_VALUES = 0x13
METADATA_CACHE_IMAGE = 0x18


@dataclass(frozen=True, slots=True)
class Superblock:
    """The superblock of one file, with what its extension adds.

    Attributes:
        version: 0 to 3.
        addressing: base address, widths and end of file, as every other structure needs them.
        indexed_storage_k: K of version 1 B-trees that index chunks: a node holds up to 2K of them.
        group_leaf_node_k: K of symbol table nodes.
        group_internal_node_k: K of version 1 B-trees of groups.
        root_object_header_address: address of the root group's object header.
        end_of_file_address: file position just after the last byte of HDF5 data.
        extension_address: address of the superblock extension, or None.
        cache_image: whether a metadata cache image holds structures newer than the ones in place.
    """

    version: int
    addressing: Addressing
    indexed_storage_k: int
    group_leaf_node_k: int
    group_internal_node_k: int
    root_object_header_address: int
    end_of_file_address: int
    extension_address: int | None = None
    cache_image: bool = False

    @property
    def base_address(self) -> int:
        """The file position of address 0."""
        return self.addressing.base_address

    @property
    def size_of_offsets(self) -> int:
        """The bytes of an address."""
        return self.addressing.size_of_offsets

    @property
    def size_of_lengths(self) -> int:
        """The bytes of a length."""
        return self.addressing.size_of_lengths


def read_superblock(file_size: int, *, location: str | None = None) -> Parser[Superblock]:
    """Find and read the superblock of a file of ``file_size`` bytes, and its extension.

    Raises:
        BrokenFileError: no superblock anywhere, or one that says impossible things.
        TruncatedFileError: the file is shorter than its superblock says.
        UnsupportedError: an unknown version, or offsets of an exotic size.
    """
    [block] = yield [Wish.one(0, min(FIRST_READ, file_size))]
    offset = 0
    if block[0, :8].tobytes() != SIGNATURE:
        offset = yield from _find_superblock(file_size, location)
        [block] = yield [Wish.one(offset, min(FIRST_READ, file_size - offset))]
    superblock = _parse_superblock(block, offset, file_size, location)
    if superblock.extension_address is None:
        return superblock
    addressing = superblock.addressing
    start = addressing.offset(superblock.extension_address, 0)
    messages = yield from read_object_header(addressing, start)
    return _with_extension(superblock, messages)


def _find_superblock(file_size: int, location: str | None) -> Parser[int]:
    """Return the first of 512, 1024, 2048, ... where the signature stands."""
    candidates = []
    offset = 512
    while offset + 8 <= file_size:
        candidates.append(offset)
        offset *= 2
    found = (yield [Wish.one(candidate, 8) for candidate in candidates]) if candidates else []
    for candidate, block in zip(candidates, found, strict=True):
        if block.tobytes() == SIGNATURE:
            return candidate
    raise BrokenFileError("no HDF5 signature: not an HDF5 file", location=location, offset=0)


def _parse_superblock(block: Bytes, offset: int, file_size: int, location: str | None) -> Superblock:
    cursor = Cursor(block.tobytes(), position=8, location=location or "<hdf5>", base=offset)
    version = cursor.uint(1)
    if version > 3:
        raise UnsupportedError(
            f"superblock version {version}; 0 to 3 are known",
            code="superblock",
            location=location,
            offset=offset,
        )
    superblock = (_parse_old if version < 2 else _parse_new)(cursor, version, location)
    end = superblock.end_of_file_address
    if end > file_size:
        raise TruncatedFileError(
            f"the file has {file_size} bytes, its superblock promises {end}",
            location=location,
            offset=offset,
        )
    return replace(superblock, addressing=replace(superblock.addressing, end_of_file=end))


def _parse_old(cursor: Cursor, version: int, location: str | None) -> Superblock:
    """Section II.A.1: versions 0 and 1."""
    cursor.skip(4)  # versions of free space and root entry, reserved, version of shared headers
    addressing = _parse_widths(cursor, location)
    cursor.skip(1)
    group_leaf_k, group_internal_k, _flags = cursor.unpack("HHI")
    indexed_k = DEFAULT_INDEXED_STORAGE_K
    if version == 1:
        indexed_k, _ = cursor.unpack("HH")
    width = addressing.size_of_offsets
    base = cursor.uint(width)
    cursor.skip(width)  # free space
    end = cursor.uint(width)
    cursor.skip(2 * width)  # driver information; the link name of the root's symbol table entry
    return Superblock(
        version=version,
        addressing=addressing,
        indexed_storage_k=indexed_k,
        group_leaf_node_k=group_leaf_k,
        group_internal_node_k=group_internal_k,
        root_object_header_address=cursor.uint(width),
        end_of_file_address=_moved(end, base, addressing),
    )


def _parse_new(cursor: Cursor, version: int, location: str | None) -> Superblock:
    """Section II.A.2: versions 2 and 3."""
    addressing = _parse_widths(cursor, location)
    cursor.skip(1)  # consistency flags
    width = addressing.size_of_offsets
    base, extension, end, root = (cursor.uint(width) for _ in range(4))
    return Superblock(
        version=version,
        addressing=addressing,
        indexed_storage_k=DEFAULT_INDEXED_STORAGE_K,
        group_leaf_node_k=DEFAULT_GROUP_LEAF_K,
        group_internal_node_k=DEFAULT_GROUP_INTERNAL_K,
        root_object_header_address=root,
        end_of_file_address=_moved(end, base, addressing),
        extension_address=None if extension == addressing.undefined else extension,
    )


def _parse_widths(cursor: Cursor, location: str | None) -> Addressing:
    size_of_offsets, size_of_lengths = cursor.unpack("BB")
    if size_of_offsets not in WIDTHS or size_of_lengths not in WIDTHS:
        raise UnsupportedError(
            f"offsets of {size_of_offsets} and lengths of {size_of_lengths} bytes; {sorted(WIDTHS)} are read",
            code="superblock",
            location=location,
            offset=cursor.base,
        )
    # HDF5 itself takes the place where it found the superblock over the base address that is written there:
    # a user block may have been put in front afterwards.
    return Addressing(cursor.base, size_of_offsets, size_of_lengths, 0, location)


def _moved(end_of_file_address: int, base_address: int, addressing: Addressing) -> int:
    """Return the end of the file, for a file that was moved to another base address after it was written."""
    return end_of_file_address + addressing.base_address - base_address


def _with_extension(superblock: Superblock, messages: tuple[HeaderMessage, ...]) -> Superblock:
    for message in messages:
        if message.type == METADATA_CACHE_IMAGE:
            superblock = replace(superblock, cache_image=True)
        elif message.type == BTREE_K_VALUES:
            cursor = Cursor(message.body, location=superblock.addressing.location or "<hdf5>", base=message.offset)
            version, indexed_k, group_internal_k, group_leaf_k = cursor.unpack("BHHH")
            if version != 0:
                raise BrokenFileError(
                    f"B-tree K values message of version {version}, 0 expected",
                    location=superblock.addressing.location,
                    offset=message.offset,
                )
            superblock = replace(
                superblock,
                indexed_storage_k=indexed_k,
                group_internal_node_k=group_internal_k,
                group_leaf_node_k=group_leaf_k,
            )
    return superblock
