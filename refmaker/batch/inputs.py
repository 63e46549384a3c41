"""The files that a job's inputs name: globs over any filesystem, single files, lists of them."""

import glob
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from refmaker.errors import OptionError, SourceError
from refmaker.source.location import absolute_url, check_credentials, local_path, open_filesystem, tag_and_time

__all__ = ["STDIN", "Listed", "facts", "is_remote", "listed"]

STDIN = "-"
"""The input that stands for lines on stdin; ``@FILE`` stands for the lines of a file."""
ASKED_TOGETHER = 32
"""Stores asked about single files at the same time."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A file among the inputs, and the facts by which a change is noticed.

    Attributes:
        url: as references spell it.
        name: for a document of its own: the path below the directory that its glob starts from.
        size: bytes, or None if not known.
        etag: the store's entity tag, or None.
        modified: seconds since 1970 UTC, or None.
        is_there: False if it was named and the store says that there is no such file.
        wrong: why references can never name it, or None; ``url`` and ``name`` then only show it.
    """

    url: str
    name: str
    size: int | None = None
    etag: str | None = None
    modified: float | None = None
    is_there: bool = True
    wrong: str | None = None


def is_remote(url: str) -> bool:
    """Whether a URL or glob names something that is not on a local filesystem."""
    return local_path(url) is None


def listed(inputs: Iterable[str], storage_options: Mapping[str, Any] | None, *, ask: bool) -> Iterator[Listed]:
    """Yield the files that inputs name, in their order, those of a glob sorted; a file named twice comes twice.

    Args:
        inputs: paths, URLs, globs, ``@FILE`` or ``-``.
        storage_options: for the filesystems.
        ask: whether to ask stores about remote files that are named one by one: a request each.

    Raises:
        OptionError: a glob matches nothing, or an input is a directory.
        SourceError: a store does not answer.
    """
    single: list[str] = []
    for item in _lines(inputs):
        path = local_path(item)
        if path is None and (ask or _has_magic(item)):
            yield from _asked(single, storage_options)
            single = []
            if _has_magic(item):
                yield from _remote_glob(item, storage_options)
            else:
                single = [item]
        elif path is None:
            check_credentials(item)
            yield Listed(item, _last_name(item))
        else:
            yield from _asked(single, storage_options)
            single = []
            yield from _local(os.path.expanduser(path))  # noqa: PTH111  strings are what there is
    yield from _asked(single, storage_options)


def _lines(inputs: Iterable[str]) -> Iterator[str]:
    for item in inputs:
        if item == STDIN:
            yield from _stripped(sys.stdin)
        elif item.startswith("@"):
            try:
                with Path(item[1:]).open(encoding="utf-8") as file:
                    yield from _stripped(file)
            except (OSError, UnicodeDecodeError) as error:
                reason = getattr(error, "strerror", None) or error
                raise SourceError(f"the list cannot be read: {reason}", location=item[1:]) from error
        else:
            yield item


def _stripped(lines: Iterable[str]) -> Iterator[str]:
    return (line.strip() for line in lines if line.strip() and not line.startswith("#"))


def _has_magic(url: str) -> bool:
    return any(character in url.partition("::")[0] for character in "*?[")


def _last_name(url: str) -> str:
    return url.partition("::")[0].rstrip("/").rpartition("/")[2]


# -- local ------------------------------------------------------------------------------------------------------------
def _local(path: str) -> Iterator[Listed]:
    if os.path.isdir(path):  # noqa: PTH112
        raise OptionError("is a directory; name its files, as in DIR/**/*.nc", location=path)
    if not _has_magic(path) or os.path.lexists(path):  # a name may hold brackets
        yield _local_file(path, Path(path).name)
        return
    base = _base(path)
    found = sorted({name for name in _matching("", path.split("/")) if not os.path.isdir(name)})  # noqa: PTH112
    if not found:
        raise OptionError("matches no file", location=path)
    for name in found:
        yield _local_file(name, name[len(base) :])


def _matching(folder: str, parts: list[str]) -> Iterator[str]:
    """Yield what matches a pattern in a folder; some of it more than once. Unlike ``glob``, no link is walked round."""
    plain = parts.index("**") if "**" in parts else len(parts)
    here, rest = parts[:plain], parts[plain + 1 :]
    if here == [""]:  # the pattern begins at the root
        found = iter(["/"])
    else:
        found = glob.iglob(glob.escape(folder) + "/".join(here)) if here else iter([folder.removesuffix("/")])  # noqa: PTH207
    for name in found:
        if plain == len(parts):
            yield name
            continue
        for below in _folders(name, frozenset()):
            yield from _matching(f"{below.rstrip('/')}/" if below else "", rest or ["*"])


def _folders(top: str, above: frozenset[str]) -> Iterator[str]:
    """Yield a folder and those below it, hidden ones and links to one above apart; nothing of what is none."""
    real = os.path.realpath(top or ".")
    if real in above or not os.path.isdir(real):  # noqa: PTH112
        return
    yield top
    try:
        with os.scandir(real) as entries:
            inner = sorted((one.name, one.is_symlink()) for one in entries if one.is_dir() and one.name[0] != ".")
    except OSError:  # what may not be listed holds nothing for us, as in glob
        return
    for name, is_link in inner:
        target = os.path.realpath(f"{real}/{name}") if is_link else ""
        if not target or os.path.commonpath([real, target]) != target:
            yield from _folders(f"{top.rstrip('/')}/{name}" if top else name, above | {real})


def _base(pattern: str) -> str:
    """Return the part of a glob before the first name with a wildcard."""
    parts = pattern.split("/")
    plain = next(n for n, part in enumerate(parts) if _has_magic(part))
    return "".join(f"{part}/" for part in parts[:plain])


def _local_file(path: str, name: str) -> Listed:
    url = absolute_url(os.path.normpath(path))
    if any("\udc80" <= character <= "\udcff" for character in url):
        shown, shown_name = (text.encode("utf-8", "backslashreplace").decode() for text in (url, name))
        wrong = "its name is not UTF-8, and references have no way to say it: rename it"
        return Listed(shown, shown_name, wrong=wrong)
    try:
        status = os.stat(path)  # noqa: PTH116
    except FileNotFoundError:
        return Listed(url, name, is_there=False)
    except OSError:
        return Listed(url, name)  # the scan says what is wrong
    return Listed(url, name, status.st_size, modified=status.st_mtime)


# -- remote -----------------------------------------------------------------------------------------------------------
def _remote_glob(pattern: str, storage_options: Mapping[str, Any] | None) -> Iterator[Listed]:
    filesystem, inner = open_filesystem(pattern, storage_options)
    head, chained, rest = pattern.partition("::")
    try:
        found: dict[str, dict[str, Any]] = filesystem.glob(inner, detail=True)
    except Exception as error:
        raise SourceError(f"cannot be listed: {type(error).__name__}: {error}", location=pattern) from error
    base = _base(head)
    files = sorted(name for name, info in found.items() if info.get("type") != "directory")
    if not files:
        raise OptionError("matches no file", location=pattern)
    for name in files:
        full = str(filesystem.unstrip_protocol(name))
        yield _remote(f"{full}{chained}{rest}", full.removeprefix(base), found[name])


def _asked(urls: list[str], storage_options: Mapping[str, Any] | None) -> Iterator[Listed]:
    """Yield remote files that were named one by one, with what their stores say."""
    if urls:
        with ThreadPoolExecutor(min(ASKED_TOGETHER, len(urls))) as threads:
            yield from threads.map(lambda url: _asked_one(url, storage_options), urls)


def facts(urls: Iterable[str], storage_options: Mapping[str, Any] | None) -> Iterator[Listed]:
    """Yield what is known now of files by their URLs, in any order; stores are asked about several at a time."""
    places = {url: local_path(url) for url in urls}
    for url, path in places.items():
        if path is not None:
            yield replace(_local_file(path, url), url=url)
    yield from _asked([url for url, path in places.items() if path is None], storage_options)


def _asked_one(url: str, storage_options: Mapping[str, Any] | None) -> Listed:
    filesystem, inner = open_filesystem(url, storage_options)
    try:
        return _remote(url, _last_name(url), filesystem.info(inner))
    except FileNotFoundError:
        return Listed(url, _last_name(url), is_there=False)
    except Exception:  # noqa: BLE001  of any kind: not known to have changed; a scan would say more
        return Listed(url, _last_name(url))


def _remote(url: str, name: str, info: Mapping[str, Any]) -> Listed:
    size = info.get("size")
    etag, modified = tag_and_time(info)
    return Listed(url, name.lstrip("/"), size if isinstance(size, int) else None, etag, modified)
