"""How a remote file is read: every number that trades requests against bytes, in one place.

The numbers come from measurements with 50 ms a request, 80 MB/s a stream and 400 MB/s together (FORMATS, section 2):
a dependent wait costs as much as 4 MB on one stream or 20 MB on all of them, so bytes nobody asked for are cheap as
long as they save a wait, and dear when they are most of a large file.
"""

from dataclasses import dataclass

from refmaker.errors import OptionError

__all__ = [
    "BLOCK",
    "CONCURRENCY",
    "FILES_AHEAD",
    "GAP",
    "HEAD",
    "LONGEST_REQUEST",
    "MISS_BLOCK",
    "MISS_BLOCKS_KEPT",
    "MOST_ROUNDS",
    "RETRIES",
    "WHOLE_FILES_TOGETHER",
    "WHOLE_FILE_BELOW",
    "WHOLE_PART",
    "Transfer",
]

HEAD = 64 << 10
"""Bytes of the first request for a file: it tells the format and holds most headers."""
BLOCK = 64 << 10
"""A wish for one range is widened to blocks of this size: structures have their next structures as neighbours."""
GAP = 64 << 10
"""Ranges are merged over gaps up to this: bandwidth x latency / requests in flight. 16 kB costs 20 x the requests."""
LONGEST_REQUEST = 8 << 20
"""Longer ranges are cut, so that several streams share them."""
WHOLE_FILE_BELOW = 16 << 20
"""Files up to this are fetched whole where the format's structures are scattered: one wait instead of several."""
WHOLE_PART = 4 << 20
"""Parts in which whole files are fetched."""
WHOLE_FILES_TOGETHER = 32 << 20
"""Bytes of whole files under way at a time; beyond, bandwidth would cost more than waits do, so files are walked."""
MISS_BLOCK = 1 << 20
"""Bytes of the aligned blocks fetched for what was not foreseen."""
MISS_BLOCKS_KEPT = 256
"""Such blocks kept in memory; fewer make h5py fetch the same ones again and again."""
MOST_ROUNDS = 1000
"""Rounds after which a file is no longer read ahead: only one made to be slow needs so many."""
FILES_AHEAD = 64
"""Files read ahead of the one being scanned."""

CONCURRENCY = 128
"""Requests in flight: nodes of large files lie alone between chunks, so waits divided by this is what they cost."""
RETRIES = 4
"""Times a request is made again: 1.5 seconds of trouble in all, twice that where the store asks for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """How hard a store is asked.

    Attributes:
        concurrency: requests in flight at most, over all files.
        retries: how often a request that failed for a passing reason is made again.
        timeout: seconds after which one attempt counts as failed.
        first_delay: seconds before the first retry; doubled before each further one.
    """

    concurrency: int = CONCURRENCY
    retries: int = RETRIES
    timeout: float = 60.0
    first_delay: float = 0.1

    def __post_init__(self) -> None:
        if self.concurrency < 1:
            raise OptionError(f"concurrency is {self.concurrency}, not a number of requests")
        if self.retries < 0:
            raise OptionError(f"retries is {self.retries}, not a number of attempts")
