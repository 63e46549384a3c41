"""The sources of a virtual dataset: which datasets its mappings name, and which of them there are.

libhdf5 reads fill values where a source cannot be opened, for whatever reason. Here that is so only where there is no
such file or dataset, and is told; a source that is there and cannot be read is an error. A mapping's names may have
``%b`` in them, which counts blocks along an unlimited axis.
"""

from collections.abc import Iterator

from h5py import h5d, h5g, h5p, h5s

from refmaker.errors import RefmakerError, SourceError, UnsupportedError
from refmaker.model.attributes import text_of
from refmaker.scanners.hdf5.attributes import object_address
from refmaker.scanners.hdf5.file_table import AbsentFileError, FileTable
from refmaker.scanners.hdf5.hdf5_file import H5PY_ERRORS, Hdf5File
from refmaker.scanners.hdf5.links import AbsentObjectError, open_path
from refmaker.scanners.hdf5.nodes import DatasetNode
from refmaker.scanners.hdf5.search_order import VIRTUAL_SOURCE

__all__ = ["MOST_BLOCKS", "is_printf", "is_regular", "named_sources", "notes_on_sources", "source_node"]

MOST_BLOCKS = 1_000_000
"""Blocks that one mapping may stand for."""
MOST_NAMED = 5
"""Missing sources that a note names."""


def notes_on_sources(files: FileTable, node: DatasetNode, *, is_read: bool = True) -> list[tuple[str, str]]:
    """Open all sources of a virtual dataset; return what is to be told of those that do not exist.

    Args:
        files: opens them.
        node: a virtual dataset.
        is_read: whether libhdf5 is to read its values, which must then find the same files.

    Raises:
        UnsupportedError: libhdf5 would not find them, for the file is in a store; or its shape depends on them.
        UnsupportedError, BrokenFileError, SourceError: a source is there but cannot be read.
    """
    if node.file.opened.path is None:
        elsewhere = {file_name for _, file_name, _ in named_sources(node) if file_name != "."}
        if elsewhere and (is_read or _grows(node)):
            what = "values that must be read" if is_read else "a shape that follows"
            raise UnsupportedError(
                f"{what} from source {min(elsewhere)}, which is done for local files only: download them",
                code="virtual-dataset",
            )
    missing: dict[str, None] = {}
    pending, seen = [node], set[tuple[int, int]]()
    while pending:
        one = pending.pop()
        for _, file_name, name in named_sources(one):
            source = source_node(files, one.file, file_name, name)
            if source is None:
                missing[name if file_name == "." else f"{name} in {file_name}"] = None
            elif is_read and source.header.layout_class == h5d.VIRTUAL:
                key = source.file.location_id, source.address
                pending += [source] if key not in seen else []
                seen.add(key)
    if not missing:
        return []
    named = ", ".join(list(missing)[:MOST_NAMED]) + (", ..." if len(missing) > MOST_NAMED else "")
    count = f"{len(missing)} sources do" if len(missing) > 1 else "a source does"
    return [("missing-source", f"{count} not exist and read as the fill value: {named}")]


def named_sources(node: DatasetNode) -> Iterator[tuple[int, str, str]]:
    """Yield (number of the mapping, file, dataset) of every source, in order.

    Raises:
        UnsupportedError: a printf-style mapping stands for we do not know which.
    """
    properties = node.properties
    for i in range(properties.get_virtual_count()):
        file_name = text_of(properties.get_virtual_filename(i))
        name = text_of(properties.get_virtual_dsetname(i))
        most = _blocks(node, i) if is_printf(properties, i) else 1
        for k in range(most):
            yield i, _counted(file_name, k), _counted(name, k)


def is_printf(properties: h5p.PropDCID, i: int) -> bool:
    """Whether mapping ``i`` stands for many sources, with numbers in their names."""
    names = (text_of(properties.get_virtual_filename(i)), text_of(properties.get_virtual_dsetname(i)))
    return any("%b" in name.replace("%%", "") for name in names)


def _blocks(node: DatasetNode, i: int) -> int:
    """Return how many sources a printf-style mapping stands for.

    Raises:
        UnsupportedError: too many, or we do not know.
    """
    space = node.properties.get_virtual_vspace(i)
    if is_regular(space):
        start, stride, count, _ = space.get_regular_hyperslab()
        if count.count(h5s.UNLIMITED) == 1:
            axis = count.index(h5s.UNLIMITED)
            most: int = -(-((node.header.shape or ())[axis] - start[axis]) // stride[axis])
            if most <= MOST_BLOCKS:
                return most
    raise UnsupportedError(
        f"a printf-style mapping that is not up to {MOST_BLOCKS} blocks along one axis", code="virtual-dataset"
    )


def _grows(node: DatasetNode) -> bool:
    """Whether the shape of a virtual dataset follows that of its sources."""
    spaces = map(node.properties.get_virtual_vspace, range(node.properties.get_virtual_count()))
    return any(is_regular(space) and h5s.UNLIMITED in sum(space.get_regular_hyperslab(), ()) for space in spaces)


def is_regular(space: h5s.SpaceID) -> bool:
    """Whether a selection is a hyperslab that start, stride, count and block describe."""
    return bool(space.get_select_type() == h5s.SEL_HYPERSLABS and space.is_regular_hyperslab())


def _counted(name: str, block: int) -> str:
    """Return a source's name for one block: ``%b`` is its number, ``%%`` a percent sign."""
    return name.replace("%%", "\0").replace("%b", str(block)).replace("\0", "%")


def source_node(files: FileTable, file: Hdf5File, file_name: str, name: str) -> DatasetNode | None:
    """Return a source dataset that ``file`` names; None where it does not exist.

    Raises:
        UnsupportedError, BrokenFileError, SourceError: it cannot be read.
    """
    where = name if file_name == "." else f"{name} in {file_name}"
    try:
        named = file if file_name == "." else files.linked_hdf5(file, file_name, VIRTUAL_SOURCE)
        found, source_id = open_path(files, named, h5g.open(named.id, b"/"), name.encode())
        if not isinstance(source_id, h5d.DatasetID):
            return None
        address = object_address(source_id)
        return DatasetNode(found, address, lambda: source_id, header=found.object_header(address))
    except (AbsentFileError, AbsentObjectError):
        return None
    except SourceError as error:
        raise SourceError(f"source {where} cannot be read: {error.message}", location=error.location) from error
    except (RefmakerError, *H5PY_ERRORS) as error:
        raise UnsupportedError(f"source {where} cannot be read: {error}", code="virtual-dataset") from error
