"""Publishing a file whole or not at all: written beside its final name, flushed to disk, then renamed."""

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from refmaker.errors import SourceError
from refmaker.source.location import check_credentials, local_path

__all__ = ["publish", "sync_directory", "temporary_prefix", "usual_mode"]

LONGEST_NAME = 200
"""Bytes of a file's name that its temporary name repeats: most filesystems take names of 255."""


@contextmanager
def publish(url: str, storage_options: Mapping[str, Any] | None = None) -> Iterator[IO[bytes]]:
    """Open a file to write that appears under ``url`` when the block ends without an error, and never in part.

    A local file is renamed into place and replaces an older one. For other fsspec URLs the finished file is uploaded
    in one call, which object stores publish at once; other stores may not.

    Raises:
        SourceError: the directory or the store does not take it.
    """
    path = local_path(url)
    if path is None:
        check_credentials(url)
        with tempfile.TemporaryDirectory() as folder:
            temporary = Path(folder) / "upload"
            with temporary.open("wb") as file:
                yield file
            _upload(temporary, url, storage_options)
        return
    final = Path(path).expanduser().absolute()
    try:
        descriptor, name = tempfile.mkstemp(prefix=temporary_prefix(final.name), suffix=".part", dir=final.parent)
    except OSError as error:
        raise SourceError(f"cannot be written: {error.strerror}", location=url) from error
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fchmod(file.fileno(), usual_mode(0o666))
            os.fsync(file.fileno())
        _rename(temporary, final)
    except OSError as error:
        raise SourceError(f"cannot be written: {error.strerror}", location=url) from error
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()


def temporary_prefix(name: str) -> str:
    """Return how temporary names of a file begin: with a dot and its name, or the end of a long one."""
    return f".{os.fsencode(name)[-LONGEST_NAME:].decode('utf-8', 'ignore')}."


def _rename(temporary: Path, final: Path) -> None:
    """Give a finished file its name; after a power cut the name may be the older file's, but always a whole one's."""
    temporary.replace(final)


def sync_directory(path: Path) -> None:
    """Flush a directory to disk."""
    directory = os.open(path, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def usual_mode(mode: int) -> int:
    """Return the mode that a new file would have: temporary ones are their owner's alone."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mode & ~mask


def _upload(temporary: Path, url: str, storage_options: Mapping[str, Any] | None) -> None:
    import fsspec

    try:
        filesystem, inner = fsspec.core.url_to_fs(url, **(storage_options or {}))
        filesystem.put_file(os.fspath(temporary), inner)
    except Exception as error:
        raise SourceError(f"cannot be written: {type(error).__name__}: {error}", location=url) from error
