"""The result of a scan or a combination: a tree of arrays, the files they lie in, what became of each dataset."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np

from refmaker.errors import OptionError, UnsupportedError
from refmaker.model.group import VirtualGroup, walk_arrays

__all__ = ["DatasetReport", "DatasetState", "Note", "ReferenceSet", "ScanReport", "SourceFile"]


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file that references point into, as it was when scanned.

    Attributes:
        url: where it is (``file:///...``, ``s3://...``, or a path relative to the references).
        size: bytes; None if not known.
        etag: the store's entity tag, or None.
        last_modified: modification time, seconds since 1970 UTC, or None.
        scanner: name of the scanner that read it, or None.
        scanner_version: refmaker's version then, or None.
        scan_time: seconds since 1970 UTC, or None.

    Raises:
        OptionError: no file can have such a URL.
    """

    url: str
    size: int | None = None
    etag: str | None = None
    last_modified: float | None = None
    scanner: str | None = None
    scanner_version: str | None = None
    scan_time: float | None = None

    def __post_init__(self) -> None:
        if "\0" in self.url or not _is_unicode(self.url):
            reason = "its name is not UTF-8 or holds a NUL, which references cannot spell: rename or link the file"
            raise UnsupportedError(reason, code="url", location=f"{self.url!r:.200}")


def _is_unicode(text: str) -> bool:
    """Whether a text has no lone surrogates, which JSON can spell and nothing can open."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class DatasetState(StrEnum):
    """What became of a dataset of the source."""

    REFERENCED = "referenced"
    """Its chunks are byte ranges of the source."""
    INLINED = "inlined"
    """Its bytes or decoded values are stored in the references."""
    LINKED = "linked"
    """Its chunks are byte ranges of another file."""
    SKIPPED = "skipped"
    """It cannot be expressed; ``code`` and ``reason`` say why."""


@dataclass(frozen=True, slots=True)
class DatasetReport:
    """The state of one dataset; ``codecs`` lists the ids that need refmaker (or another package) to decode."""

    path: str
    state: DatasetState
    code: str = ""
    reason: str = ""
    codecs: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.state is DatasetState.SKIPPED and not (self.code and self.reason):
            raise OptionError(f"{self.path} is skipped without a reason")


@dataclass(frozen=True, slots=True)
class Note:
    """Something worth saying about an object that was not skipped: an attribute dropped, an index read the slow way."""

    path: str
    code: str
    sentence: str


@dataclass(frozen=True, slots=True)
class ScanReport:
    """What a scan did: the state of every dataset, notes, and what it cost.

    ``requests`` and ``bytes_read`` count what refmaker's own readers asked of the sources; None where a library
    (h5py on a local path) did the reading. ``rounds`` are dependent waits; ``misses`` are requests for bytes that
    reading ahead had not foreseen, made while the scan waited (None for local files).

    >>> import refmaker
    >>> report = refmaker.scan("sample_data/odd.h5", on_unsupported="skip").report
    >>> {state.value: report.count(state) for state in refmaker.DatasetState}
    {'referenced': 4, 'inlined': 1, 'linked': 0, 'skipped': 4}
    >>> report.skipped[1].reason
    'float128 is wider than any portable Zarr data type'
    """

    datasets: tuple[DatasetReport, ...] = ()
    notes: tuple[Note, ...] = ()
    requests: int | None = None
    bytes_read: int | None = None
    rounds: int | None = None
    misses: int | None = None
    seconds: float | None = None

    def count(self, state: DatasetState) -> int:
        """Return how many datasets ended in ``state``."""
        return sum(dataset.state is state for dataset in self.datasets)

    @property
    def skipped(self) -> tuple[DatasetReport, ...]:
        """The datasets that were left out."""
        return tuple(dataset for dataset in self.datasets if dataset.state is DatasetState.SKIPPED)


@dataclass(frozen=True, slots=True)
class ReferenceSet:
    """A virtual Zarr store: the tree, and the table of files that its manifests' location ids index.

    >>> import refmaker
    >>> references = refmaker.scan("sample_data/ocean.nc")
    >>> list(references.root.groups)
    ['forcing', 'empty']
    >>> chunk = references.root.arrays["temp"].manifest.lookup(0)
    >>> references.sources[chunk.location_id].scanner, chunk.length
    ('hdf5', 190)
    """

    root: VirtualGroup
    sources: tuple[SourceFile, ...] = ()
    report: ScanReport = field(default_factory=ScanReport)

    def __post_init__(self) -> None:
        for path, array in walk_arrays(self.root):
            ids = array.manifest.known_location_ids()
            if ids.size and int(ids[-1]) >= len(self.sources):
                raise OptionError(f"{path}: chunks in source {int(ids[-1])} of {len(self.sources)}")

    def used_sources(self) -> "Iterable[SourceFile]":
        """Yield the sources that some chunk lies in, in the table's order."""
        found = [array.manifest.location_ids() for _, array in walk_arrays(self.root)]
        ids = np.unique(np.concatenate(found)) if found else np.empty(0, np.uint32)
        return (self.sources[i] for i in ids.tolist())
