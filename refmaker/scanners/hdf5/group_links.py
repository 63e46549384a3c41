"""The links of a group, from its header, symbol table or heap.

HDF5 File Format Specification, sections III.B to III.D and IV.A.2.g. libhdf5 would list them too, but follows sibling
pointers of B-trees without end where they form a circle.
"""

from collections.abc import Sequence

from refmaker.scanners.hdf5 import messages as say
from refmaker.scanners.hdf5.addressing import Addressing
from refmaker.scanners.hdf5.dense import read_members
from refmaker.scanners.hdf5.object_header import HeaderMessage
from refmaker.scanners.hdf5.superblock import Superblock
from refmaker.scanners.hdf5.symbol_table import read_local_heap, read_symbol_table
from refmaker.source.base import Parser
from refmaker.source.together import together

__all__ = ["read_links"]

CACHED_SOFT_LINK = 2
"""Cache type of an entry that is a soft link; the others are hard links."""
MOST_CACHE_TYPE = 2
SOFT_LINK = 1


def read_links(superblock: Superblock, messages: Sequence[HeaderMessage]) -> Parser[list[say.Link]]:
    """Return the links of the group whose header has these messages: as created where that is kept, else by name.

    Raises:
        BrokenFileError, TruncatedFileError, UnsupportedError: they make no sense to us.
    """
    addressing = superblock.addressing
    links: list[say.Link] = []
    is_tracked = False
    for message in messages:
        if message.flags & say.SHARED:
            raise addressing.unsupported("a shared message of a group", "links")
        if message.type == say.SYMBOL_TABLE:
            links += yield from _old_links(superblock, message.body)
        elif message.type == say.LINK:
            links.append(say.link_of(addressing, message.body))
        elif message.type == say.LINK_INFO:
            place = say.link_info(addressing, message.body)
            is_tracked = say.is_creation_tracked(message.body)
            if place.heap != addressing.undefined:
                links += yield from _dense_links(addressing, place)
    if not all(link.name for link in links):
        raise addressing.broken("a link without a name", 0)
    return sorted(links, key=(lambda link: link.creation_order) if is_tracked else (lambda link: link.name))


def _dense_links(addressing: Addressing, place: say.Dense) -> Parser[list[say.Link]]:
    members = yield from read_members(addressing, place)
    found = []
    for _, body in members.bodies():
        if body is None:
            raise addressing.unsupported("a link too long for its heap", "links")
        found.append(say.link_of(addressing, body))
    return found


def _old_links(superblock: Superblock, body: bytes) -> Parser[list[say.Link]]:
    addressing = superblock.addressing
    tree, heap = say.symbol_table(addressing, body)
    entries, segment = yield from together(read_symbol_table(superblock, tree), read_local_heap(addressing, heap))
    found = []
    for entry in entries:
        if entry.name_offset >= len(segment) or entry.cache_type > MOST_CACHE_TYPE:
            raise addressing.broken("a symbol table entry that makes no sense", tree)
        name = segment[entry.name_offset : segment.find(b"\0", entry.name_offset)]
        is_soft = entry.cache_type == CACHED_SOFT_LINK
        found.append(say.Link(name, SOFT_LINK if is_soft else say.HARD_LINK, 0 if is_soft else entry.address, 0))
    return found
