"""Pausing Python's cycle collector.

Two reasons: it would walk millions of fresh objects again and again; and h5py frees its objects under the lock that it
holds while HDF5 reads. If the collector happened to free one in the thread that fetches what HDF5 waits for, both would
wait for ever: so it rests from before h5py is entered until it is left.
"""

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["collector_paused"]

_lock = threading.Lock()
_pauses = 0
_was_enabled = False


@contextmanager
def collector_paused() -> Iterator[None]:
    """Let the collector rest while the block runs; blocks may nest, and overlap in several threads."""
    global _pauses, _was_enabled  # noqa: PLW0603
    with _lock:
        if _pauses == 0:
            _was_enabled = gc.isenabled()
            gc.disable()
        _pauses += 1
    try:
        yield
    finally:
        with _lock:
            _pauses -= 1
            if _pauses == 0 and _was_enabled:
                gc.enable()
