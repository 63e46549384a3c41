"""Groups and datasets: every pointer in an object header, followed.

All objects known at a time advance side by side, and all pointers of one object too: rounds grow with the depth of a
hierarchy and of the longest chain below an object, never with their number.
"""

from collections.abc import Callable

from refmaker.errors import RefmakerError
from refmaker.scanners.hdf5 import messages as say
from refmaker.scanners.hdf5.addressing import uints
from refmaker.scanners.hdf5.datatypes import heap_addresses, pointers_of
from refmaker.scanners.hdf5.dense import read_members
from refmaker.scanners.hdf5.object_header import HeaderMessage, read_object_header
from refmaker.scanners.hdf5.records import read_records
from refmaker.scanners.hdf5.superblock import read_superblock
from refmaker.scanners.hdf5.symbol_table import read_symbol_table
from refmaker.scanners.hdf5.walk.heaps import global_heap, local_heap
from refmaker.scanners.hdf5.walk.storage import walk_data
from refmaker.scanners.hdf5.walk.walked import Walked
from refmaker.source.base import Parser
from refmaker.source.rounds import FileAhead

__all__ = ["walk"]

HUGE_PLAIN = 1
"""Record type of huge objects found by number, unfiltered; section III.A.2."""


def walk(file: FileAhead) -> Parser[None]:
    """Wish for everything that a scan of the HDF5 file will read: all of it where it is small."""
    if file.take_whole():
        return
    superblock = yield from read_superblock(file.size, location=file.location)
    Walked(superblock, file.start).follow(walk_object, superblock.root_object_header_address)


def walk_object(walked: Walked, address: int) -> Parser[None]:
    """Follow what the object header at ``address`` points to."""
    addressing = walked.addressing
    messages = yield from read_object_header(addressing, address + addressing.base_address)
    for message in messages:
        try:
            if message.flags & say.SHARED:
                _follow_shared(walked, message.body)
            elif message.type in MESSAGES:
                MESSAGES[message.type](walked, message)
        except RefmakerError:
            continue  # h5py will say what is wrong with it, if anything
    walked.start(walk_data(walked, messages))


def _follow_shared(walked: Walked, body: bytes) -> None:
    holder = say.shared_at(walked.addressing, body)
    if holder is not None:
        walked.follow(walk_object, holder)


# -- groups ---------------------------------------------------------------------------------------------------------
def _symbol_table(walked: Walked, message: HeaderMessage) -> None:
    tree, heap = say.symbol_table(walked.addressing, message.body)
    walked.follow(local_heap, heap)
    walked.follow(_members, tree)


def _members(walked: Walked, tree: int) -> Parser[None]:
    entries = yield from read_symbol_table(walked.superblock, tree)
    for entry in entries:
        walked.follow(walk_object, entry.address)
        if entry.heap is not None:
            walked.follow(local_heap, entry.heap)


def _link(walked: Walked, message: HeaderMessage) -> None:
    _follow_link(walked, message.body)


def _follow_link(walked: Walked, body: bytes) -> None:
    link = say.link_of(walked.addressing, body)
    if link.type == say.HARD_LINK:
        walked.follow(walk_object, link.address)


def _link_info(walked: Walked, message: HeaderMessage) -> None:
    _dense(walked, say.link_info(walked.addressing, message.body), _follow_link)


# -- attributes -----------------------------------------------------------------------------------------------------
def _attribute_info(walked: Walked, message: HeaderMessage) -> None:
    _dense(walked, say.attribute_info(walked.addressing, message.body), _follow_attribute)


def _attribute(walked: Walked, message: HeaderMessage) -> None:
    _follow_attribute(walked, message.body)


def _follow_attribute(walked: Walked, body: bytes) -> None:
    """Follow the heap pointers in an attribute's value."""
    attribute = say.attribute_of(body)
    if attribute.shared & 1:
        holder = say.shared_at(walked.addressing, attribute.datatype)
        if holder is not None:
            walked.follow(walk_object, holder)
            walked.start(_committed(walked, holder, attribute.data))
        return
    _follow_pointers(walked, attribute.datatype, attribute.data)


def _committed(walked: Walked, holder: int, data: bytes) -> Parser[None]:
    """Follow the heap pointers in values of a committed datatype."""
    addressing = walked.addressing
    messages = yield from read_object_header(addressing, holder + addressing.base_address)
    for message in messages:
        if message.type == say.DATATYPE and not message.flags & say.SHARED:
            _follow_pointers(walked, message.body, data)


def _follow_pointers(walked: Walked, datatype: bytes, data: bytes) -> None:
    pointers = pointers_of(datatype)
    if pointers.at:
        walked.follow_all(global_heap, heap_addresses(walked.addressing, pointers, data))


# -- both, where there are many ---------------------------------------------------------------------------------------
def _dense(walked: Walked, place: say.Dense, follow: Callable[[Walked, bytes], None]) -> None:
    undefined = walked.addressing.undefined
    if place.heap == undefined or not walked.is_new("dense", place.heap):
        return
    walked.start(_dense_objects(walked, place, follow))
    for tree in place.trees[1:]:
        if tree != undefined:
            walked.start(_all_records(walked, tree))


def _all_records(walked: Walked, tree: int) -> Parser[None]:
    yield from read_records(walked.addressing, tree)


def _dense_objects(walked: Walked, place: say.Dense, follow: Callable[[Walked, bytes], None]) -> Parser[None]:
    """Read heap and name B-tree side by side, then follow each object of the heap."""
    members = yield from read_members(walked.addressing, place)
    if members.heap.head.huge_tree != walked.addressing.undefined:
        walked.start(_huge(walked, members.heap.head.huge_tree))
    for _, body in members.bodies():
        if body is None:
            continue
        try:
            follow(walked, body)
        except RefmakerError:
            continue  # as above


def _huge(walked: Walked, tree: int) -> Parser[None]:
    """Wish for a heap's huge objects."""
    addressing = walked.addressing
    kind, records = yield from read_records(addressing, tree)
    if kind != HUGE_PLAIN or not len(records):
        return
    offsets, lengths = addressing.size_of_offsets, addressing.size_of_lengths
    address, length = uints(records[:, :offsets]), uints(records[:, offsets : offsets + lengths])
    pairs = zip(address.tolist(), length.tolist(), strict=True)
    yield addressing.checked([addressing.wish(at, nbytes) for at, nbytes in pairs])


def _external_files(walked: Walked, message: HeaderMessage) -> None:
    walked.follow(local_heap, say.external_heap(walked.addressing, message.body))


def _layout(walked: Walked, message: HeaderMessage) -> None:
    heap = say.virtual_heap(walked.addressing, message.body)
    if heap is not None:
        walked.follow(global_heap, heap)


MESSAGES: dict[int, Callable[[Walked, HeaderMessage], None]] = {
    0x02: _link_info,
    0x06: _link,
    0x07: _external_files,
    0x08: _layout,
    0x0C: _attribute,
    0x11: _symbol_table,
    0x15: _attribute_info,
}
"""What to do about each message that points somewhere."""
