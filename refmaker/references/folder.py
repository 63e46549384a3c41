"""A directory of references: files by name, on disk or in any fsspec filesystem."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from refmaker.errors import BrokenReferencesError, SourceError
from refmaker.source.location import check_credentials, local_path
from refmaker.source.retries import told

__all__ = ["Folder", "LocalFolder", "RemoteFolder", "checked_name", "open_folder"]


class LocalFolder:
    """A directory on disk.

    Attributes:
        location: its URL, for messages.
    """

    def __init__(self, path: str) -> None:
        self._path = Path(path).expanduser().absolute()
        self.location = f"file://{self._path}"

    def read(self, name: str) -> bytes:
        """Return the bytes of a file.

        Raises:
            FileNotFoundError: there is no such file.
            SourceError: it cannot be read.
        """
        try:
            return (self._path / name).read_bytes()
        except FileNotFoundError:
            raise
        except OSError as error:
            raise SourceError(f"cannot be read: {error.strerror}", location=f"{self.location}/{name}") from error

    def names(self, name: str) -> list[str]:
        """Return the names of what is in a directory inside it."""
        path = self._path / name
        return [inner.name for inner in path.iterdir()] if path.is_dir() else []


class RemoteFolder:
    """A directory of an fsspec filesystem; see ``LocalFolder``."""

    def __init__(self, filesystem: Any, path: str, location: str) -> None:
        self._filesystem = filesystem
        self._path = path.rstrip("/")
        self.location = location.rstrip("/")

    def read(self, name: str) -> bytes:
        """Return the bytes of a file."""
        try:
            return bytes(self._filesystem.cat_file(f"{self._path}/{name}"))
        except FileNotFoundError:
            raise
        except Exception as error:
            raise SourceError(told(error), location=f"{self.location}/{name}") from error

    def names(self, name: str) -> list[str]:
        """Return the names of what is in a directory inside it; none where the store lists nothing."""
        try:
            listed = self._filesystem.ls(f"{self._path}/{name}", detail=False)
            return [inner.rstrip("/").rpartition("/")[2] for inner in listed]
        except FileNotFoundError:
            return []
        except Exception as error:
            raise SourceError(told(error), location=f"{self.location}/{name}") from error


Folder = LocalFolder | RemoteFolder


def open_folder(url: str, storage_options: Mapping[str, Any] | None = None) -> Folder:
    """Return the directory at a local path or any fsspec URL.

    Raises:
        SourceError: no filesystem opens it.
        OptionError: the URL holds credentials.
    """
    path = local_path(url)
    if path is not None:
        return LocalFolder(path)
    check_credentials(url)
    import fsspec

    try:
        filesystem, inner = fsspec.core.url_to_fs(url, **(storage_options or {}))
    except (ImportError, ValueError, TypeError, OSError) as error:
        raise SourceError(f"no filesystem opens it: {error}", location=url) from error
    return RemoteFolder(filesystem, inner, url)


def checked_name(path: str) -> str:
    """Return a node's path as a path below a directory.

    Raises:
        BrokenReferencesError: it leads out of the directory.
    """
    if any(part in {"", ".", ".."} for part in path.split("/")):
        raise BrokenReferencesError("cannot be a directory below the references", path=path[:200])
    return path
