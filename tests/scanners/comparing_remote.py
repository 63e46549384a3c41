"""The same file scanned where it lies and over HTTP: what came of it, in a form that must be equal."""

from pathlib import Path
from typing import Any

import refmaker
from refmaker.model.array import VirtualArray
from refmaker.model.group import VirtualGroup, walk
from tests.remote_server import RemoteServer


def told(result: refmaker.ReferenceSet | refmaker.RefmakerError, base: str) -> Any:
    """Return all that a scan tells, without what depends on where the file lies."""
    if isinstance(result, refmaker.RefmakerError):
        return type(result), result.message.replace(base, ""), result.path, result.offset
    nodes = dict(walk(result.root))
    arrays = {path: (repr(x.metadata), x.manifest) for path, x in nodes.items() if isinstance(x, VirtualArray)}
    groups = {path: repr(x.attributes) for path, x in nodes.items() if isinstance(x, VirtualGroup)}
    sources = [(source.url.replace(base, ""), source.size, source.scanner) for source in result.sources]
    notes = [(note.path, note.code, note.sentence.replace(base, "")) for note in result.report.notes]
    return arrays, groups, sources, result.report.datasets, notes


def scanned(url: str) -> refmaker.ReferenceSet | refmaker.RefmakerError:
    try:
        return refmaker.scan(url, on_unsupported="skip")
    except refmaker.RefmakerError as error:
        return error


def both(path: Path, server: RemoteServer) -> tuple[Any, Any]:
    """Return what scanning a file of the server's folder tells, locally and over HTTP."""
    local = told(scanned(str(path)), f"file://{server.folder}")
    remote = told(scanned(f"{server.url}/{path.relative_to(server.folder)}"), server.url)
    return local, remote
