"""Moving references: the same chunks in files that lie elsewhere. Costs O(files), whatever the number of chunks."""

import os
import posixpath
from collections.abc import Callable, Mapping
from dataclasses import replace

from refmaker.model.reference_set import ReferenceSet, SourceFile
from refmaker.references.options import WriteOptions
from refmaker.source.location import absolute_url, check_credentials, local_path

__all__ = ["is_below", "prepared", "relative_to", "relocate", "resolved_against"]


def prepared(references: ReferenceSet, options: WriteOptions) -> ReferenceSet:
    """Return the references as they are to be written: relative where that is wanted, free of credentials.

    Raises:
        OptionError: a URL holds credentials, and they are not allowed.
        UnsupportedError: a URL is no text: the name of a file is not UTF-8.
    """
    if options.relative_to is not None:
        shortened = relative_to(os.fspath(options.relative_to))  # the same files: what identifies them stays
        sources = tuple(replace(source, url=shortened(source.url)) for source in references.sources)
        references = replace(references, sources=sources)
    if not options.allow_credentials:
        for source in references.sources:
            check_credentials(source.url)
    return references


def relocate(references: ReferenceSet, new_url: Mapping[str, str] | Callable[[str], str]) -> ReferenceSet:
    """Return the references with their sources' URLs replaced; what identifies a file by its place is forgotten.

    Args:
        references: what to move.
        new_url: a function from old URL to new; or a mapping from URLs, or prefixes of URLs that end at a ``/``, to
            what replaces them. The longest that fits wins; other URLs stay.
    """
    renamed = new_url if callable(new_url) else _by_prefix(new_url)
    return replace(references, sources=tuple(_moved(source, renamed(source.url)) for source in references.sources))


def _moved(source: SourceFile, url: str) -> SourceFile:
    """Return a file at another place: a copy keeps its size, but gets a new entity tag and modification time."""
    return source if url == source.url else replace(source, url=url, etag=None, last_modified=None)


def is_below(url: str, place: str) -> bool:
    """Whether a URL is ``place`` or lies below it: what is left of it begins at a slash."""
    rest = url.removeprefix(place)
    return url.startswith(place) and (not rest or place.endswith("/") or rest.startswith("/"))


def _by_prefix(mapping: Mapping[str, str]) -> Callable[[str], str]:
    longest_first = sorted(mapping, key=len, reverse=True)

    def renamed(url: str) -> str:
        for old in longest_first:
            if is_below(url, old):
                return mapping[old] + url.removeprefix(old)
        return url

    return renamed


def relative_to(directory: str) -> Callable[[str], str]:
    """Return the function that makes URLs below ``directory`` (a path or URL) relative to it."""
    base = _normal(absolute_url(directory)).removesuffix("/") + "/"

    def renamed(url: str) -> str:
        return url.removeprefix(base) if len(url) > len(base) else url

    return renamed


def resolved_against(location: str) -> Callable[[str], str]:
    """Return the function that makes relative URLs absolute: they start where the references at ``location`` lie.

    That is the directory that holds them, also where the references are a directory themselves: a URL is the same in
    ``x.json`` and in ``x.parq`` beside it.
    """
    scheme, separator, path = _normal(absolute_url(location)).partition("://")
    folder = posixpath.dirname(path.partition("?")[0] if scheme.endswith(("http", "https")) else path)

    def renamed(url: str) -> str:
        if "://" in url:
            return url
        if url.startswith("/"):
            return f"file://{url}"
        if (relative := local_path(url)) is None:
            return url
        return _normal(scheme + separator + posixpath.join(folder, relative))

    return renamed


def _normal(url: str) -> str:
    """Return a URL without ``.`` and ``..`` in its path."""
    scheme, separator, path = url.partition("://")
    return scheme + separator + posixpath.normpath(path)
