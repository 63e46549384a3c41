"""Every exception refmaker raises, by what the caller can do about it.

    RefmakerError
    ├── BrokenFileError              the file is not what its format says: repair or replace it
    │   ├── TruncatedFileError       it ends before its own structures do: fetch it again
    │   └── BrokenReferencesError    a reference document is wrong: write it again
    ├── UnsupportedError             refmaker cannot express this (yet): skip it or convert it
    │   └── MissingDependencyError   it can, once a package is installed: the message names it
    ├── ConflictError                the inputs do not fit together: the message lists every conflict
    ├── StaleSourceError             a source changed since it was scanned: scan it again
    ├── SourceError                  a file or store did not answer: check path, network, credentials
    │   └── ChunkReadError           ... while reading one chunk that the references promise
    └── OptionError                  options that make no sense together (also a ValueError)

Every message names the location, the object inside it, what was found and what was expected.

>>> import refmaker
>>> try:
...     refmaker.scan("sample_data/no_such.nc")
... except refmaker.RefmakerError as error:
...     print(type(error).__name__, error.message)
SourceError cannot be opened: No such file or directory
"""

__all__ = [
    "BrokenFileError",
    "BrokenReferencesError",
    "ChunkReadError",
    "ConflictError",
    "MissingDependencyError",
    "OptionError",
    "RefmakerError",
    "SourceError",
    "StaleSourceError",
    "TruncatedFileError",
    "UnsupportedError",
]


class RefmakerError(Exception):
    """The root of all errors refmaker raises on purpose.

    Attributes:
        location: URL or path of the file concerned, or None.
        path: the object inside the file (``/group/array``), or None.
        offset: byte position in the file, or None.
    """

    def __init__(
        self, message: str, *, location: str | None = None, path: str | None = None, offset: int | None = None
    ) -> None:
        super().__init__(message, location, path, offset)
        self.message = message
        self.location = location
        self.path = path
        self.offset = offset

    def __str__(self) -> str:
        where = ": ".join(part for part in (self.location, self.path) if part)
        at = "" if self.offset is None else f" (at byte {self.offset})"
        return f"{where}: {self.message}{at}" if where else f"{self.message}{at}"

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.message, self.location, self.path, self.offset, self.__dict__)


def _rebuild(
    kind: type[RefmakerError],
    message: str,
    location: str | None,
    path: str | None,
    offset: int | None,
    state: dict[str, object],
) -> RefmakerError:
    """Return an unpickled error: errors travel between processes."""
    error = kind.__new__(kind)
    RefmakerError.__init__(error, message, location=location, path=path, offset=offset)
    error.__dict__.update(state)
    return error


class BrokenFileError(RefmakerError):
    """The file is corrupt, or not of the format it claims."""


class TruncatedFileError(BrokenFileError):
    """The file ends before the bytes its own structures point to."""


class BrokenReferencesError(BrokenFileError):
    """A reference document that cannot be read, or that says impossible things."""


class UnsupportedError(RefmakerError):
    """Something refmaker cannot express as references.

    Attributes:
        code: the reason as a word that programs can test (``"filter"``, ``"dtype"``, ``"ragged"``, ...).
    """

    def __init__(
        self,
        message: str,
        *,
        code: str = "unsupported",
        location: str | None = None,
        path: str | None = None,
        offset: int | None = None,
    ) -> None:
        super().__init__(message, location=location, path=path, offset=offset)
        self.code = code


class MissingDependencyError(UnsupportedError):
    """An optional package is needed; the message names it and the extra that brings it."""


class ConflictError(RefmakerError):
    """Inputs that cannot be combined; the message lists all conflicts.

    Attributes:
        conflicts: one sentence for each.
    """

    def __init__(
        self,
        message: str,
        *,
        conflicts: tuple[str, ...] = (),
        location: str | None = None,
        path: str | None = None,
        offset: int | None = None,
    ) -> None:
        super().__init__(message, location=location, path=path, offset=offset)
        self.conflicts = conflicts


class StaleSourceError(RefmakerError):
    """A source file is no longer the one that was scanned."""


class SourceError(RefmakerError):
    """A file or store is missing, forbidden, unreachable, or answered with the wrong bytes."""


class ChunkReadError(SourceError):
    """A chunk that the references promise could not be read in full."""


class OptionError(RefmakerError, ValueError):
    """An option, or a combination of options, that makes no sense."""
