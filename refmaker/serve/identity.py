"""Is a source still the file that was scanned? Its size, entity tag and modification time, as far as they are known.

Each fact is compared only where the references recorded it and the store tells it now. A modification time counts only
where there is no entity tag, which says more.
"""

import warnings
from dataclasses import dataclass

from refmaker.errors import StaleSourceError
from refmaker.model.reference_set import SourceFile
from refmaker.serve.options import OnStale

__all__ = ["Found", "StaleSourceWarning", "check_identity", "difference"]

LOCAL_SLACK = 1e-3
"""Seconds by which modification times may differ: JSON and filesystems round."""
REMOTE_SLACK = 1.0
"""The same of stores, which tell whole seconds."""


class StaleSourceWarning(UserWarning):
    """A source changed since it was scanned, and ``on_stale="warn"``."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a store tells of a file now; None: nothing."""

    size: int | None = None
    etag: str | None = None
    last_modified: float | None = None


def difference(recorded: SourceFile, found: Found, slack: float) -> str | None:
    """Return in what a file differs from the one that was scanned, or None."""
    if None not in (recorded.size, found.size) and recorded.size != found.size:
        return f"has {found.size} bytes, but had {recorded.size} when it was scanned"
    if recorded.etag and found.etag:
        if _bare(recorded.etag) != _bare(found.etag):
            return f"has the entity tag {found.etag}, but had {recorded.etag} when it was scanned"
        return None
    if recorded.last_modified is not None and found.last_modified is not None:
        later = found.last_modified - recorded.last_modified
        if abs(later) > slack:
            return f"was modified {abs(later):.0f} s {'after' if later > 0 else 'before'} the version that was scanned"
    return None


def check_identity(recorded: SourceFile, found: Found, on_stale: OnStale, slack: float = REMOTE_SLACK) -> None:
    """Raise StaleSourceError, or warn, if a file is no longer the one that was scanned."""
    if on_stale == "ignore":
        return
    changed = difference(recorded, found, slack)
    if changed is None:
        return
    message = f"{changed}: scan it again (on_stale='warn' or 'ignore' reads it all the same)"
    if on_stale == "raise":
        raise StaleSourceError(message, location=recorded.url)
    warnings.warn(f"{recorded.url}: {message}", StaleSourceWarning, stacklevel=2)


def _bare(etag: str) -> str:
    return etag.removeprefix("W/").strip('"')
