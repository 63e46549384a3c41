"""Is a source still the file that was scanned? Its size, entity tag and modification time, as far as they are known.

Each fact is compared only where the references recorded it and the store tells it now. A modification time counts only
where there is no entity tag, which says more.
"""

from dataclasses import dataclass

from refmaker.model.reference_set import SourceFile

__all__ = ["LOCAL_SLACK", "REMOTE_SLACK", "Found", "difference"]

LOCAL_SLACK = 1e-3
"""Seconds by which modification times may differ: JSON and filesystems round."""
REMOTE_SLACK = 1.0
"""The same of stores, which tell whole seconds."""


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


def _bare(etag: str) -> str:
    return etag.removeprefix("W/").strip('"')
