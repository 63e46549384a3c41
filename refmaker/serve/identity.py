"""What is done about a source that is no longer the file that was scanned."""

import warnings

from refmaker.errors import StaleSourceError
from refmaker.model.reference_set import SourceFile
from refmaker.serve.options import OnStale
from refmaker.source.identity import LOCAL_SLACK, REMOTE_SLACK, Found, difference

__all__ = ["LOCAL_SLACK", "REMOTE_SLACK", "Found", "StaleSourceWarning", "check_identity", "difference"]


class StaleSourceWarning(UserWarning):
    """A source changed since it was scanned, and ``on_stale="warn"``."""


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
