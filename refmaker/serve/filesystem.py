"""``ReferenceFileSystem``: references as a read-only fsspec filesystem whose files are the keys of a Zarr v2 store.

``xr.open_zarr("refmaker://path/refs.json")``, ``"refmaker::s3://bucket/refs.json"``, ``zarr.open``, dask and every
fsspec user read through it. Filesystems of the sources are made by us, asynchronous where we are; no option is needed
for that. FileNotFoundError means that the references say "no such chunk", and only that.
"""

import errno
import io
import json
import os
import uuid
from collections.abc import Mapping
from typing import Any, NoReturn

import fsspec
from fsspec.asyn import AsyncFileSystem
from fsspec.core import split_protocol

from refmaker.errors import SourceError
from refmaker.model.chunks import ChunkRef
from refmaker.model.reference_set import ReferenceSet
from refmaker.references import open_references, read_references
from refmaker.references.kerchunk_json import json_text
from refmaker.references.kerchunk_read import parse_document
from refmaker.references.source_table import by_protocol
from refmaker.serve.catalog import Catalog
from refmaker.serve.targets import Targets
from refmaker.source.base import FsspecSource

__all__ = ["ReferenceFileSystem"]

PROTOCOL = "refmaker"


class ReferenceFileSystem(AsyncFileSystem):  # type: ignore[misc]
    """A Zarr v2 store over references; read-only.

    Args:
        fo: the references: a path or URL, a kerchunk dictionary, or a ReferenceSet.
        target_protocol: the protocol of ``fo``, where it has none of its own (fsspec's URL chains set it).
        target_options: options of the filesystem that ``fo`` is on.
        remote_protocol: the protocol that ``remote_options`` are for; None: whatever the sources have.
        remote_options: options of the filesystems that the sources are on.
        storage_options: the same by protocol, for sources in several stores: ``{"s3": {"anon": True}, "https": {}}``.
        asynchronous: whether coroutines are awaited in the caller's event loop.
        loop: the event loop of synchronous calls; None: fsspec's.
        kwargs: passed to fsspec's AsyncFileSystem.

    Raises:
        SourceError: the references cannot be read.
        BrokenReferencesError: they are malformed.
        UnsupportedError: they use what we do not read, or a codec that may run code.
    """

    protocol = PROTOCOL
    root_marker = ""
    cachable = False  # the file behind ``fo`` may change

    def __init__(
        self,
        fo: str | os.PathLike[str] | Mapping[str, Any] | ReferenceSet | None = None,
        target_protocol: str | None = None,
        target_options: Mapping[str, Any] | None = None,
        remote_protocol: str | None = None,
        remote_options: Mapping[str, Any] | None = None,
        storage_options: Mapping[str, Mapping[str, Any]] | None = None,
        *,
        asynchronous: bool = False,
        loop: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(asynchronous=asynchronous, loop=loop, **kwargs)
        self._source_options = {remote_protocol or "": dict(remote_options or {})}
        for protocol, options in (storage_options or {}).items():
            self._source_options[protocol] = {**self._source_options.get(protocol, {}), **options}
        self._options_for = by_protocol(self._source_options)
        if isinstance(fo, os.PathLike):
            fo = os.fspath(fo)
        self._token = None if isinstance(fo, str) else uuid.uuid4().hex
        self._in_memory = fo if isinstance(fo, ReferenceSet) else None
        self._catalog = Catalog(self._loaded(fo, target_protocol, target_options or {}))
        self._targets = Targets(self._options_for, None if asynchronous else self.loop)

    @property
    def references(self) -> ReferenceSet:
        """What this filesystem shows."""
        return self._catalog.references

    def _loaded(
        self, fo: str | Mapping[str, Any] | ReferenceSet | None, protocol: str | None, options: Mapping[str, Any]
    ) -> ReferenceSet:
        if isinstance(fo, ReferenceSet):
            return fo
        if fo is None:
            raise SourceError("no references given: refmaker://path/to/references.json, or fo=")
        if isinstance(fo, Mapping):
            return parse_document(dict(fo), options_for=self._options_for)
        options = {name: value for name, value in options.items() if name not in {"asynchronous", "loop"}}
        if protocol is None or split_protocol(fo)[0] == protocol:
            return open_references(fo, storage_options=options, source_options=self._source_options)
        source = FsspecSource(fsspec.filesystem(protocol, **options), fo)
        return read_references(source.read(0, source.size), source.location, options_for=self._options_for)

    # -- reading -------------------------------------------------------------------------------------------------
    async def _cat_file(self, path: str, start: int | None = None, end: int | None = None, **_: Any) -> bytes:
        """Return the bytes of a key, or those from ``start`` to ``end``, counted as a slice counts.

        Raises:
            FileNotFoundError: the references have no such key.
            ChunkReadError: they have it, and its bytes could not be read in full.
        """
        key = self._strip_protocol(path)
        found = self._found(key)
        if isinstance(found, bytes):
            return found[start:end]
        first, last, _step = slice(start, end).indices(found.length)
        if found.data is not None:
            return found.data[first:last]
        url = self._catalog.urls[found.location_id]
        return await self._targets.read(key, url, found.offset + first, max(last - first, 0))

    def _found(self, key: str) -> bytes | ChunkRef:
        found = self._catalog.find(key)
        if found is None:
            raise FileNotFoundError(errno.ENOENT, "the references have no such key", key)
        return found

    async def _cat(
        self, path: Any, recursive: bool = False, on_error: str = "raise", batch_size: int | None = None, **kwargs: Any
    ) -> Any:
        """Return the bytes of several keys; ``on_error="omit"`` leaves out absent keys, never chunks that failed."""
        if on_error != "omit":
            return await super()._cat(path, recursive, on_error, batch_size, **kwargs)
        found = await super()._cat(path, recursive, "return", batch_size, **kwargs)
        if not isinstance(found, dict):
            return found
        for answer in found.values():
            if isinstance(answer, Exception) and not isinstance(answer, FileNotFoundError):
                raise answer
        return {key: answer for key, answer in found.items() if not isinstance(answer, Exception)}

    def _open(self, path: str, mode: str = "rb", **_: Any) -> io.BytesIO:
        if mode != "rb":
            self._refuse_writing(path)
        return io.BytesIO(self.cat_file(path))

    # -- listing -------------------------------------------------------------------------------------------------
    async def _info(self, path: str, **_: Any) -> dict[str, Any]:
        key = self._strip_protocol(path)
        if key in self._catalog.nodes:
            return {"name": key, "size": 0, "type": "directory"}
        found = self._found(key)
        return {"name": key, "size": len(found) if isinstance(found, bytes) else found.length, "type": "file"}

    async def _ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        """List a node; names begin with a slash where ``path`` does, as zarr 3.1 expects."""
        key = self._strip_protocol(path)
        slash = "/" if path.startswith("/") else ""
        if key not in self._catalog.nodes:
            info = await self._info(path)
            return [{**info, "name": slash + key}] if detail else [slash + key]
        if not detail:
            return [slash + name for name, _ in self._catalog.members(key)]
        return [
            {"name": slash + name, "size": size or 0, "type": "directory" if size is None else "file"}
            for name, size in self._catalog.members(key)
        ]

    # -- names ---------------------------------------------------------------------------------------------------
    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        """Return the key; what follows ``refmaker://`` names the references, so that is the root."""
        if isinstance(path, list):
            return [cls._strip_protocol(one) for one in path]
        text = fsspec.utils.stringify_path(path)
        return "" if text.startswith(f"{PROTOCOL}://") else text.strip("/")

    @staticmethod
    def _get_kwargs_from_urls(path: str) -> dict[str, Any]:
        """Return ``fo`` as ``refmaker://fo`` names it."""
        location = path.removeprefix(f"{PROTOCOL}://")
        return {"fo": location} if location and location != path else {}

    # -- identity ------------------------------------------------------------------------------------------------
    @property
    def _fs_token(self) -> str:
        """A name for this filesystem: by arguments, but references in memory are only like themselves."""
        return self._token or str(self._fs_token_)

    def to_dict(self, *, include_password: bool = True) -> dict[str, Any]:
        """Return the arguments as JSON can have them (zarr 3.1 copies filesystems that way)."""
        if self._in_memory is None:
            arguments: dict[str, Any] = super().to_dict(include_password=include_password)
            return arguments
        document = json.loads(b"".join(json_text(self._in_memory)))
        kind = f"{type(self).__module__}:{type(self).__name__}"
        return {**self.storage_options, "cls": kind, "protocol": PROTOCOL, "args": [], "fo": document}

    # -- writing is refused --------------------------------------------------------------------------------------
    def _refuse_writing(self, path: Any, *_: Any, **__: Any) -> NoReturn:
        raise OSError(errno.EROFS, "references are read-only", str(path))

    async def _refuse(self, path: Any = "", *_: Any, **__: Any) -> NoReturn:
        self._refuse_writing(path)

    _pipe_file = _put_file = _rm_file = _rm = _mkdir = _makedirs = _cp_file = _refuse
    rmdir = touch = mv = _refuse_writing
