"""From the URL or path a user gives to an open source and the facts by which a later change is noticed."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

from refmaker.errors import OptionError, SourceError
from refmaker.source.base import ByteSource, FsspecSource, LocalSource

__all__ = [
    "OpenedFile",
    "absolute_url",
    "check_credentials",
    "local_path",
    "open_file",
    "open_filesystem",
    "options_for",
    "seconds",
    "tag_and_time",
    "without_credentials",
]

_URL = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*(://|::)")
_SECRET = re.compile(
    r"://[^/@]*:[^/@]*@"
    r"|[?&](x-amz-signature|x-amz-security-token|x-goog-signature|awsaccesskeyid|signature|sig|token|access_token|"
    r"api_key|apikey|key|password|secret)=",
    re.IGNORECASE,
)
"""A password before the host, or a query parameter that signs or unlocks (S3, GCS, Azure and common API names)."""


@dataclass(frozen=True, slots=True)
class OpenedFile:
    """An open source with what references must record of it.

    Attributes:
        url: absolute URL, as references spell it.
        source: its bytes.
        path: the local path, or None if it is not local.
        etag: the store's entity tag, or None.
        last_modified: seconds since 1970 UTC, or None.
    """

    url: str
    source: ByteSource
    path: str | None = None
    etag: str | None = None
    last_modified: float | None = None


def local_path(url: str | os.PathLike[str]) -> str | None:
    """Return the local path that ``url`` names, or None if it names something else; ``file://`` is not decoded."""
    url = os.fspath(url)
    if url.startswith("file://"):
        return url.removeprefix("file://")
    return None if _URL.match(url) else url


def absolute_url(url: str) -> str:
    """Return ``url`` as references spell it: local paths absolute behind ``file://``, all else as it is."""
    path = local_path(url)
    return url if path is None else f"file://{_absolute(path)}"


def _absolute(path: str) -> str:
    """Return a local path from the root, the home directory spelled out where ``~`` means one."""
    try:
        whole = Path(path).expanduser()
    except RuntimeError:  # "~name" that is nobody's home: a file of that name
        whole = Path(path)
    return os.path.normpath(whole.absolute())


def check_credentials(url: str) -> None:
    """Refuse a URL that holds a password or a signature: references would publish it.

    Raises:
        OptionError: it does; the message names the other way.
    """
    if _SECRET.search(url):
        raise OptionError(
            "the URL holds credentials, which references would publish; pass them as storage options instead",
            location=without_credentials(url),
        )


def without_credentials(url: str) -> str:
    """Return a URL fit to be shown: without user, password and query where it holds secrets."""
    return re.sub(r"://[^/@]*@", "://", url).partition("?")[0] if _SECRET.search(url) else url


def open_file(url: str, storage_options: Mapping[str, Any] | None = None) -> OpenedFile:
    """Open a local path or any fsspec URL.

    Raises:
        SourceError: it does not exist or the store did not answer.
        OptionError: the URL holds credentials.
    """
    path = local_path(url)
    if path is not None:
        full = _absolute(path)
        source = LocalSource(full)
        return OpenedFile(f"file://{full}", source, full, last_modified=source.last_modified)
    filesystem, inner = open_filesystem(url, storage_options)
    remote = FsspecSource(filesystem, inner, location=url)
    etag, last_modified = tag_and_time(remote.info)
    return OpenedFile(url, remote, etag=etag, last_modified=last_modified)


def open_filesystem(url: str, storage_options: Mapping[str, Any] | None = None) -> tuple[Any, str]:
    """Return the fsspec filesystem for a URL and the path in it.

    Args:
        url: no local path.
        storage_options: for that filesystem, or for several by protocol (see ``options_for``).

    Raises:
        SourceError: no filesystem opens it.
        OptionError: the URL holds credentials.
    """
    check_credentials(url)
    import fsspec

    try:
        found: tuple[Any, str] = fsspec.core.url_to_fs(url, **options_for(url, storage_options))
    except ImportError as error:
        raise SourceError(f"its protocol needs another package: {error}", location=url) from error
    except (ValueError, TypeError, OSError) as error:
        raise SourceError(f"no filesystem opens it: {error}", location=url) from error
    return found


def options_for(url: str, storage_options: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the options for one URL's filesystem.

    Where every key is a protocol that fsspec knows and every value a mapping, ``storage_options`` are by protocol:
    ``{"s3": {"anon": True}, "https": {}}``; a protocol that is not there has none. Else they are for any filesystem.
    """
    options = dict(storage_options or {})
    if not options or not all(isinstance(value, Mapping) for value in options.values()):
        return options
    from fsspec.registry import available_protocols

    if not options.keys() <= set(available_protocols()):
        return options
    return dict(options.get(url.partition("::")[0].partition("://")[0], {}))


def tag_and_time(info: Mapping[str, Any]) -> tuple[str | None, float | None]:
    """Return the entity tag and the modification time that a filesystem's ``info`` tells, however it spells them."""
    etag = next((str(info[name]) for name in ("ETag", "etag", "md5Hash", "content_md5") if info.get(name)), None)
    times = ("LastModified", "last_modified", "mtime", "updated", "Last-Modified")
    return etag, seconds(next((info[name] for name in times if info.get(name)), None))


def seconds(moment: Any) -> float | None:
    """Return a store's modification time, however it spells it, as seconds since 1970 UTC."""
    if isinstance(moment, datetime):
        return moment.timestamp()
    if isinstance(moment, int | float):
        return float(moment)
    if isinstance(moment, str):
        for parse in (datetime.fromisoformat, parsedate_to_datetime):
            try:
                return parse(moment).timestamp()
            except ValueError:
                continue
    return None
