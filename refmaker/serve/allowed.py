"""Which locations references may point to.

References are data, often somebody else's, and reading them makes this process open whatever they name, with its
user's rights and credentials. By default:

* local files (and this process's memory) only if the references themselves are local;
* remote references only name stores (HTTP, S3, GCS, Azure), and no address of this machine or of a private network,
  unless the references come from that same host;
* nobody names link-local addresses: there, clouds hand out credentials;
* where the document's own source table records scanned files, every other location must lie under the same scheme and
  root (host or bucket) as one of them.

``allow`` adds URL prefixes; ``"*"`` allows everything.
"""

import ipaddress
import posixpath
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

from refmaker.errors import SourceError
from refmaker.model.reference_set import SourceFile
from refmaker.serve.options import EVERYWHERE, ServeOptions
from refmaker.source.location import absolute_url, local_path

__all__ = ["AllowedLocations", "AllowedOptions"]

LOCAL = frozenset({"file", "local", "memory"})
"""Protocols of this machine."""
STORES = frozenset(
    {"http", "https", "s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oss", "tos", "hf", "osf", "data"}
)
"""Protocols that remote references may name."""
WRAPPERS = frozenset({"simplecache", "filecache", "blockcache", "cached", "zip", "tar"})
"""Protocols that stand before another one in a chain (``zip://member::s3://...``)."""
METADATA_HOSTS = frozenset({"metadata", "metadata.google.internal", "instance-data"})
LOOPBACK_HOSTS = frozenset({"localhost", "ip6-localhost"})


class AllowedLocations:
    """The policy for one set of references.

    Args:
        references: URL of the document; None if a program made them, which counts as local.
        recorded: the document's source table.
        allow: further URL prefixes.
    """

    def __init__(self, references: str | None, recorded: Iterable[SourceFile], allow: Iterable[str] = ()) -> None:
        self._references = references
        self._recorded = recorded
        self._allow = tuple(allow)
        self._prefixes = tuple(_normal(absolute_url(prefix)) for prefix in self._allow if prefix != EVERYWHERE)

    def check(self, url: str, *, recorded: bool = False) -> None:
        """Raise SourceError unless a source may lie at ``url``.

        Args:
            url: absolute URL, or chain of URLs.
            recorded: whether the source table says that this very file was scanned.
        """
        if EVERYWHERE in self._allow:
            return
        url = absolute_url(url)
        if any(_below(_normal(url), prefix) for prefix in self._prefixes):
            return
        for link in url.split("::"):
            self._check_link(link, url)
        if not recorded and self._roots and _root(url) not in self._roots:
            raise _refused(url, "it was not scanned, and lies under another root than the files that were")

    def check_host(self, url: str) -> None:
        """Raise SourceError if ``url``, to which a server sent us on, is at an address that nobody may name."""
        if EVERYWHERE not in self._allow and not any(_below(_normal(url), prefix) for prefix in self._prefixes):
            self._check_address(url, url)

    @cached_property
    def _remote(self) -> bool:
        return self._references is not None and _protocol(self._references.rpartition("::")[2]) not in LOCAL

    @cached_property
    def _roots(self) -> frozenset[str]:
        return frozenset(_root(file.url) for file in self._recorded if file.scanner is not None)

    def _check_link(self, link: str, url: str) -> None:
        protocol = _protocol(link)
        if protocol in LOCAL:
            if self._remote:
                raise _refused(url, f"it is local, and the references ({self._references}) are not")
            return
        if self._remote and protocol not in STORES | WRAPPERS and protocol != _protocol(self._references or ""):
            raise _refused(url, f"remote references may not name {protocol!r} locations")
        if protocol in {"http", "https"}:
            self._check_address(link, url)

    def _check_address(self, link: str, url: str) -> None:
        try:
            host = (urlsplit(link).hostname or "").rstrip(".")
        except ValueError as error:
            raise _refused(url, f"its host is malformed ({error})") from error
        address = _address(host)
        if host in METADATA_HOSTS or (address is not None and (address.is_link_local or address.is_unspecified)):
            raise _refused(url, "it is an address at which machines get credentials")
        inner = host in LOOPBACK_HOSTS or (address is not None and not address.is_global)
        if inner and self._remote and host != (urlsplit(self._references or "").hostname or ""):
            raise _refused(url, f"it is an address of a private network, and the references ({self._references}) not")


@dataclass(frozen=True, slots=True)
class AllowedOptions:
    """Filesystem options by URL for reading the document at ``references``, which may look up the sizes of files.

    That happens before its source table is known: only what the table would not allow is not refused yet.
    """

    references: str
    options: ServeOptions

    def __call__(self, url: str) -> Mapping[str, Any]:
        """Return the options for a URL.

        Raises:
            SourceError: references may not point there.
        """
        AllowedLocations(self.references, (), self.options.allow).check(url)
        return self.options.options_for(url)


def _refused(url: str, why: str) -> SourceError:
    return SourceError(f"is no allowed location: {why}; pass allow=[a URL prefix] if you trust it", location=url)


def _protocol(link: str) -> str:
    if link.lower() in STORES | WRAPPERS:  # a link of a chain may be a bare protocol
        return link.lower()
    if local_path(link) is not None:
        return "file"
    return re.split("://|::|:", link, maxsplit=1)[0].lower()


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return the address that a host name spells, however: 169.254.169.254 is also 2852039166 and 0xa9fea9fe."""
    try:
        if re.fullmatch(r"0x[0-9a-f]+|\d+", host):
            return ipaddress.ip_address(int(host, 0 if host.startswith("0x") else 10))
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped or address


def _root(url: str) -> str:
    """Return scheme and host or bucket; of a chain, its last link's."""
    link = absolute_url(url.rpartition("::")[2])
    scheme, _, rest = link.partition("://")
    return f"{scheme}://" if scheme in LOCAL else f"{scheme}://{rest.partition('/')[0]}"


def _normal(url: str) -> str:
    """Return a URL without ``.`` and ``..``, so that prefixes mean what they say."""
    scheme, separator, rest = url.partition("://")
    slash = "/" if rest.endswith("/") else ""
    return f"{scheme}{separator}{posixpath.normpath(rest)}{slash}" if rest else url


def _below(url: str, prefix: str) -> bool:
    return url.startswith(prefix) and (url == prefix or prefix.endswith("/") or url[len(prefix)] == "/")
