"""``ReferenceFileSystem``: references as a read-only fsspec filesystem whose files are the keys of a Zarr v2 store.

``xr.open_zarr("refmaker://path/refs.json")``, ``"refmaker::s3://bucket/refs.json"``, ``zarr.open``, dask and every
fsspec user read through it. Filesystems of the sources are made by us, asynchronous where we are; no option is needed
for that. FileNotFoundError means that the references say "no such chunk", and only that.
"""

import asyncio
import difflib
import errno
import inspect
import io
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import fsspec
from fsspec.asyn import AsyncFileSystem

from refmaker.errors import OptionError
from refmaker.model.chunks import ChunkRef
from refmaker.model.reference_set import ReferenceSet
from refmaker.references.kerchunk_json import json_text
from refmaker.serve.opened import OpenedReferences, open_given
from refmaker.serve.options import OnStale, ServeOptions
from refmaker.serve.selecting import select_pipeline

__all__ = ["ReferenceFileSystem"]

PROTOCOL = "refmaker"
POSITIONAL = ("fo", "target_protocol", "target_options", "remote_protocol", "remote_options", "storage_options")
"""Names of the arguments that may be given by position."""
FSSPEC_OPTIONS = frozenset({
    "batch_size", "listings_expiry_time", "max_paths", "skip_instance_cache", "use_listings_cache",
})  # fmt: skip
"""Options that fsspec itself takes for any filesystem."""


class ReferenceFileSystem(AsyncFileSystem):  # type: ignore[misc]
    """A Zarr v2 store over references; read-only.

    Args:
        fo: the references: a path or URL, a kerchunk dictionary, a ReferenceSet, or OpenedReferences.
        target_protocol: the protocol of ``fo``, where it has none of its own (fsspec's URL chains set it).
        target_options: options of the filesystem that ``fo`` is on.
        remote_protocol: the protocol that ``remote_options`` are for; None: whatever the sources have.
        remote_options: options of the filesystems that the sources are on.
        storage_options: the same by protocol, for sources in several stores: ``{"s3": {"anon": True}, "https": {}}``.
        on_stale: when a source is no longer the file that was scanned: ``"raise"``, ``"warn"`` or ``"ignore"``.
        allow: URL prefixes that sources may lie under beside those that are allowed anyway; ``["*"]``: all.
        serve_options: other fields of ``ServeOptions`` by name.
        plan_selections: whether zarr, if it still has its default codec pipeline, is given ours, which reads all
            chunks of a selection at once (and leaves other stores to zarr's).
        asynchronous: whether coroutines are awaited in the caller's event loop.
        loop: the event loop of synchronous calls; None: fsspec's.
        kwargs: those of fsspec's AsyncFileSystem that are in ``FSSPEC_OPTIONS``.

    Raises:
        OptionError: there is no such option.
        SourceError: the references cannot be read.
        BrokenReferencesError: they are malformed.
        UnsupportedError: they use what we do not read, or a codec that may run code.
    """

    protocol = PROTOCOL
    root_marker = ""
    cachable = False  # the file behind ``fo`` may change

    def __init__(
        self,
        fo: str | os.PathLike[str] | Mapping[str, Any] | ReferenceSet | OpenedReferences | None = None,
        target_protocol: str | None = None,
        target_options: Mapping[str, Any] | None = None,
        remote_protocol: str | None = None,
        remote_options: Mapping[str, Any] | None = None,
        storage_options: Mapping[str, Mapping[str, Any]] | None = None,
        *,
        on_stale: OnStale = "raise",
        allow: Sequence[str] = (),
        serve_options: Mapping[str, Any] | None = None,
        plan_selections: bool = True,
        asynchronous: bool = False,
        loop: Any = None,
        **kwargs: Any,
    ) -> None:
        if unknown := sorted(kwargs.keys() - FSSPEC_OPTIONS):
            known = inspect.signature(ReferenceFileSystem.__init__).parameters.keys() - {"self", "kwargs"}
            near = difflib.get_close_matches(unknown[0], known, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(sorted(known))}"
            raise OptionError(f"refmaker:// has no option {unknown[0]!r}; {hint}")
        super().__init__(asynchronous=asynchronous, loop=loop, **kwargs)
        source_options = {remote_protocol or "": dict(remote_options or {})}
        for protocol, own in (storage_options or {}).items():
            source_options[protocol] = {**source_options.get(protocol, {}), **own}
        options = ServeOptions(
            on_stale=on_stale, allow=tuple(allow), source_options=source_options, **(serve_options or {})
        )
        target = {k: v for k, v in (target_options or {}).items() if k not in {"asynchronous", "loop"}}
        self.opened = open_given(fo, target_protocol=target_protocol, target_options=target, options=options)
        self._catalog = self.opened.catalog
        if plan_selections:
            select_pipeline()

    @property
    def references(self) -> ReferenceSet:
        """What this filesystem shows."""
        return self.opened.references

    # -- reading -------------------------------------------------------------------------------------------------
    async def _cat_file(self, path: str, start: int | None = None, end: int | None = None, **_: Any) -> bytes:
        """Return the bytes of a key, or those from ``start`` to ``end``, counted as a slice counts.

        Raises:
            FileNotFoundError: the references have no such key.
            ChunkReadError: they have it, and its bytes could not be read in full.
        """
        key = self._strip_protocol(path)
        found = await self._found(key)
        if isinstance(found, bytes):
            return found[start:end]
        first, last, _step = slice(start, end).indices(found.length)
        if found.data is not None:
            return found.data[first:last]
        return await self.opened.reader.read_chunk(key, found, first, last)

    async def _found(self, key: str) -> bytes | ChunkRef:
        found = await self.opened.find(key)
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

    async def _cat_ranges(
        self,
        paths: list[str],
        starts: Any,
        ends: Any,
        max_gap: int | None = None,  # noqa: ARG002  the reading core merges, by its own options
        batch_size: int | None = None,  # noqa: ARG002
        on_error: str = "return",
        **_: Any,
    ) -> list[Any]:
        """Return parts of keys, all asked for at once, so that neighbours in remote files come with one request."""
        starts = [starts] * len(paths) if starts is None or isinstance(starts, int) else starts
        ends = [ends] * len(paths) if ends is None or isinstance(ends, int) else ends
        wanted = [self._cat_file(*one) for one in zip(paths, starts, ends, strict=True)]
        found: list[Any] = await asyncio.gather(*wanted, return_exceptions=True)
        if on_error == "raise":
            for answer in found:
                if isinstance(answer, BaseException):
                    raise answer
        return found

    def _open(self, path: str, mode: str = "rb", **_: Any) -> io.BytesIO:
        if mode != "rb":
            self._refuse_writing(path)
        return io.BytesIO(self.cat_file(path))

    # -- listing -------------------------------------------------------------------------------------------------
    async def _info(self, path: str, **_: Any) -> dict[str, Any]:
        key = self._strip_protocol(path)
        if key in self._catalog.nodes:
            return {"name": key, "size": 0, "type": "directory"}
        found = await self._found(key)
        return {"name": key, "size": len(found) if isinstance(found, bytes) else found.length, "type": "file"}

    async def _ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        """List a node; names begin with a slash where ``path`` does, as zarr 3.1 expects."""
        key = self._strip_protocol(path)
        slash = "/" if path.startswith("/") else ""
        if key not in self._catalog.nodes:
            info = await self._info(path)
            return [{**info, "name": slash + key}] if detail else [slash + key]
        members = await self.opened.members(key)
        if not detail:
            return [slash + name for name, _ in members]
        return [
            {"name": slash + name, "size": size or 0, "type": "directory" if size is None else "file"}
            for name, size in members
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
        """A name for this filesystem: references and options; references in memory are only like themselves."""
        return self.opened.token

    def _arguments(self) -> dict[str, Any]:
        """Return the arguments by name, without those that say where the references are."""
        given = {**dict(zip(POSITIONAL, self.storage_args, strict=False)), **self.storage_options}
        return {name: value for name, value in given.items() if name not in {"fo", "target_protocol", "loop"}}

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as the arguments, with references from a file as where they come from."""
        return _rebuild, (type(self), {**self._arguments(), "fo": self.opened})

    def to_dict(self, *, include_password: bool = True) -> dict[str, Any]:  # noqa: ARG002  fsspec's signature
        """Return the arguments as JSON can have them (zarr 3.1 copies filesystems that way)."""
        origin = self.opened.origin
        fo = origin.url if origin else json.loads(b"".join(json_text(self.references)))
        kind = f"{type(self).__module__}:{type(self).__name__}"
        return {**self._arguments(), "cls": kind, "protocol": PROTOCOL, "args": [], "fo": fo}

    # -- writing is refused --------------------------------------------------------------------------------------
    def _refuse_writing(self, path: Any, *_: Any, **__: Any) -> NoReturn:
        raise OSError(errno.EROFS, "references are read-only", str(path))

    async def _refuse(self, path: Any = "", *_: Any, **__: Any) -> NoReturn:
        self._refuse_writing(path)

    _pipe_file = _put_file = _rm_file = _rm = _mkdir = _makedirs = _cp_file = _refuse
    rmdir = touch = mv = _refuse_writing


def _rebuild(kind: type[ReferenceFileSystem], options: dict[str, Any]) -> ReferenceFileSystem:
    return kind(**options)
