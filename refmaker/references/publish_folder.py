"""Publishing a directory of references whole or not at all: written beside its final name, then renamed."""

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from refmaker.errors import OptionError, SourceError
from refmaker.references.parquet_layout import METADATA
from refmaker.references.publish import sync_directory, temporary_prefix, usual_mode
from refmaker.source.location import check_credentials, local_path

__all__ = ["FolderWriter", "publish_folder"]


class FolderWriter:
    """Files for a directory that is not published yet."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.names: list[str] = []

    def write(self, name: str, data: bytes) -> None:
        """Write a file, durably."""
        path = self._folder / PurePosixPath(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        self.names.append(name)


@contextmanager
def publish_folder(url: str, storage_options: Mapping[str, Any] | None = None) -> Iterator[FolderWriter]:
    """Open a directory to write files to that appears under ``url`` when the block ends without an error.

    On disk it is renamed into place; an older directory of references steps aside first and is then removed. In
    other fsspec filesystems, files are uploaded in the order of writing: readers ask for the last one first.

    Raises:
        OptionError: something is there that is no directory of references: it is not removed.
        SourceError: the place does not take it.
    """
    path = local_path(url)
    if path is None:
        check_credentials(url)
        with tempfile.TemporaryDirectory() as name:
            writer = FolderWriter(Path(name))
            yield writer
            _upload(Path(name), writer.names, url, storage_options)
        return
    final = Path(path).expanduser().absolute()
    if final.exists() and not _replaceable(final):
        raise OptionError("exists and is no directory of references; remove it or write elsewhere", location=url)
    try:
        temporary = Path(tempfile.mkdtemp(prefix=temporary_prefix(final.name), suffix=".part", dir=final.parent))
    except OSError as error:
        raise SourceError(f"cannot be written: {error.strerror}", location=url) from error
    try:
        inner = temporary / "new"
        inner.mkdir()
        yield FolderWriter(inner)
        inner.chmod(usual_mode(0o777))
        for folder, _, _ in os.walk(inner):
            sync_directory(Path(folder))
        _replace(inner, final, temporary / "old")
    except OSError as error:
        raise SourceError(f"cannot be written: {error.strerror}", location=url) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _replaceable(path: Path) -> bool:
    return path.is_dir() and ((path / METADATA).is_file() or not any(path.iterdir()))


def _replace(new: Path, final: Path, aside: Path) -> None:
    """Give a finished directory its name; if that fails, an older one keeps its own."""
    older = final.exists()
    if older:
        final.rename(aside)
    try:
        new.rename(final)
    except OSError:
        if older:
            aside.rename(final)
        raise
    sync_directory(final.parent)


def _upload(folder: Path, names: list[str], url: str, storage_options: Mapping[str, Any] | None) -> None:
    import fsspec

    try:
        filesystem, inner = fsspec.core.url_to_fs(url, **(storage_options or {}))
        for name in names:
            target = f"{inner.rstrip('/')}/{name}"
            filesystem.makedirs(target.rpartition("/")[0], exist_ok=True)
            filesystem.put_file(os.fspath(folder / PurePosixPath(name)), target)
    except Exception as error:
        raise SourceError(f"cannot be written: {type(error).__name__}: {error}", location=url) from error
