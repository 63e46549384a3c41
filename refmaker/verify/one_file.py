"""Whether references are those of one file, whose tree they then have, or of several."""

from refmaker.model.array import VirtualArray
from refmaker.model.chunks import INLINE
from refmaker.model.group import walk_arrays
from refmaker.model.reference_set import DatasetState, ReferenceSet
from refmaker.verify.rescans import RAW, Scanned, keys_of

__all__ = ["IMAGES", "is_of_one", "joined", "may_be_of_one", "path_in_file"]

IMAGES = "tiff"
"""The scanner whose options decide names and attributes."""


def may_be_of_one(references: ReferenceSet) -> bool:
    """Whether the source table allows one file, with raw files and others that it links to."""
    return _is_single(references) or references.report.count(DatasetState.LINKED) > 0


def is_of_one(references: ReferenceSet, found: Scanned | None, prefix: str, *, foreign: bool) -> bool:
    """Whether the first source has all arrays, in the same shapes, and links to all other sources.

    Arrays of a single source may be broken, so that only what combining makes of one file counts against it: more
    dimensions, and chunks of other files that other tools (``foreign``) inlined.

    Args:
        references: that may be of one.
        found: the first source scanned again, or None.
        prefix: its group that is the references' root.
        foreign: whether the references are not refmaker's.
    """
    single = _is_single(references)
    if found is None:
        return single
    if set(range(len(references.sources))) - set(found.numbers.tolist()):
        return False
    for path, array in walk_arrays(references.root):
        theirs = found.arrays.get(joined(prefix, path))
        if theirs is None:
            if not single:
                return False
            continue
        ours, shape = array.metadata.shape, theirs.metadata.shape
        more = len(ours) - len(shape)
        if ours != shape and (not single or (more > 0 and ours[more:] == shape) or (foreign and _has_inlined(array))):
            return False
    return True


def joined(prefix: str, path: str) -> str:
    """Return the path in the file of what has ``path`` in the references."""
    return f"{prefix}/{path}".strip("/") if prefix else path


def path_in_file(found: Scanned | None, prefix: str, path: str, array: VirtualArray) -> str:
    """Return an array's path in the file; of images, which options name otherwise, that of the one with its chunks."""
    if found is not None and found.scanner == IMAGES:
        owners = found.owners(keys_of(array))
        most = max(owners, key=lambda one: owners[one], default="")
        if most and found.arrays[most].metadata.shape == array.metadata.shape:
            return most
    return joined(prefix, path)


def _is_single(references: ReferenceSet) -> bool:
    return sum(one.scanner != RAW for one in references.sources) == 1


def _has_inlined(array: VirtualArray) -> bool:
    return any(bool((block.location_id == INLINE).any()) for block in array.manifest.blocks())
