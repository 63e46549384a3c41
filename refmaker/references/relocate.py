"""Moving references: the same chunks in files that lie elsewhere. Costs O(files), whatever the number of chunks."""

import posixpath
from collections.abc import Callable, Mapping
from dataclasses import replace

from refmaker.model.reference_set import ReferenceSet
from refmaker.source.location import absolute_url, local_path

__all__ = ["relative_to", "relocate", "resolved_against"]


def relocate(references: ReferenceSet, new_url: Mapping[str, str] | Callable[[str], str]) -> ReferenceSet:
    """Return the references with their sources' URLs replaced.

    Args:
        references: what to move.
        new_url: a function from old URL to new; or a mapping from URLs, or prefixes of URLs that end at a ``/``, to
            what replaces them. The longest that fits wins; other URLs stay.
    """
    renamed = new_url if callable(new_url) else _by_prefix(new_url)
    return replace(references, sources=tuple(replace(s, url=renamed(s.url)) for s in references.sources))


def _by_prefix(mapping: Mapping[str, str]) -> Callable[[str], str]:
    longest_first = sorted(mapping, key=len, reverse=True)

    def renamed(url: str) -> str:
        for old in longest_first:
            rest = url.removeprefix(old)
            if url.startswith(old) and (not rest or old.endswith("/") or rest.startswith("/")):
                return mapping[old] + rest
        return url

    return renamed


def relative_to(directory: str) -> Callable[[str], str]:
    """Return the function that makes URLs below ``directory`` (a path or URL) relative to it."""
    base = _normal(absolute_url(directory)).removesuffix("/") + "/"

    def renamed(url: str) -> str:
        return url.removeprefix(base) if len(url) > len(base) else url

    return renamed


def resolved_against(location: str) -> Callable[[str], str]:
    """Return the function that makes relative URLs absolute, as seen from the file at ``location``."""
    scheme, separator, path = absolute_url(location).partition("://")
    folder = posixpath.dirname(path.partition("?")[0] if scheme.endswith(("http", "https")) else path)

    def renamed(url: str) -> str:
        if url.startswith("/"):
            return f"file://{url}"
        if url.startswith("file://") or (relative := local_path(url)) is None:
            return url
        return _normal(scheme + separator + posixpath.join(folder, relative))

    return renamed


def _normal(url: str) -> str:
    """Return a URL without ``.`` and ``..`` in its path."""
    scheme, separator, path = url.partition("://")
    return scheme + separator + posixpath.normpath(path)
