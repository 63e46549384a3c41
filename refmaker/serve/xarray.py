"""``engine="refmaker"``: xarray opens references, or a file that is scanned on the spot, without zarr in the loop."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from inspect import signature
from pathlib import Path
from typing import Any

from xarray.backends import BackendEntrypoint
from xarray.backends.store import StoreBackendEntrypoint
from xarray.core.dataset import Dataset
from xarray.core.datatree import DataTree

from refmaker.model.reference_set import ReferenceSet
from refmaker.serve.data_store import GroupDataStore, group_paths
from refmaker.serve.opened import OpenedReferences, open_given
from refmaker.serve.options import OnStale, ServeOptions
from refmaker.source.location import local_path

__all__ = ["RefmakerBackendEntrypoint"]

Names = str | Iterable[str] | None
PARAMETERS = (
    *signature(StoreBackendEntrypoint.open_dataset).parameters,
    "group",
    "storage_options",
    "on_stale",
    "allow",
)
MAGIC = b'{"version":1,\n"refmaker":'
"""How our JSON begins."""
DIRECTORIES = (".parq", ".parquet")
"""How the names of references in Parquet end."""
NAMES = frozenset({"target_options", "remote_protocol", "remote_options", "storage_options"})
"""What ``storage_options`` may hold beside a filesystem's own options: ``ReferenceFileSystem``'s arguments."""


class RefmakerBackendEntrypoint(BackendEntrypoint):
    """Opens a path or URL of references or of a source file, a kerchunk dictionary, or a ReferenceSet.

    ``storage_options`` are those of the filesystem of that path or URL, and of sources with the same protocol; or
    ReferenceFileSystem's: ``target_options`` for the file itself, ``remote_options`` or ``storage_options`` by protocol
    for the sources. A source file is scanned first; what references cannot express is left out, with a warning.
    """

    description = "Open references to chunks of other files (refmaker, kerchunk), or such files themselves"
    supports_groups = True
    open_dataset_parameters = PARAMETERS[1:]  # xarray asks the signature else, and takes none with ``**decoding``

    def guess_can_open(self, filename_or_obj: Any) -> bool:
        """Whether it is local references that refmaker wrote, or Parquet ones; others need ``engine="refmaker"``."""
        if isinstance(filename_or_obj, ReferenceSet | OpenedReferences):
            return True
        if not isinstance(filename_or_obj, str | os.PathLike):
            return False
        path = local_path(os.fspath(filename_or_obj))
        if path is None:
            return False
        if path.rstrip("/").endswith(DIRECTORIES):
            return (Path(path) / ".zmetadata").is_file()
        if not path.endswith(".json"):
            return False
        try:
            with Path(path).open("rb") as file:
                return file.read(len(MAGIC)) == MAGIC
        except OSError:
            return False

    def open_dataset(
        self,
        filename_or_obj: Any,
        *,
        group: str | None = None,
        drop_variables: Names = None,
        storage_options: Mapping[str, Any] | None = None,
        on_stale: OnStale = "raise",
        allow: Sequence[str] = (),
        **decoding: Any,
    ) -> Dataset:
        """Open one group as a dataset; ``decoding`` are xarray's own switches."""
        opened = _opened(filename_or_obj, storage_options, on_stale, allow)
        return _dataset(opened, (group or "").strip("/"), _listed(drop_variables), decoding)

    def open_groups_as_dict(
        self,
        filename_or_obj: Any,
        *,
        group: str | None = None,
        drop_variables: Names = None,
        storage_options: Mapping[str, Any] | None = None,
        on_stale: OnStale = "raise",
        allow: Sequence[str] = (),
        **decoding: Any,
    ) -> dict[str, Dataset]:
        """Open every group as a dataset of its own, by path."""
        opened = _opened(filename_or_obj, storage_options, on_stale, allow)
        path, left_out = (group or "").strip("/"), _listed(drop_variables)
        return {
            f"/{inner}": _dataset(opened, f"{path}/{inner}".strip("/"), left_out, decoding)
            for inner in group_paths(opened, path)
        }

    def open_datatree(self, filename_or_obj: Any, **options: Any) -> DataTree:
        """Open all groups as a tree; ``options`` as for ``open_groups_as_dict``."""
        return DataTree.from_dict(self.open_groups_as_dict(filename_or_obj, **options))


def _listed(names: Names) -> list[str]:
    return [names] if isinstance(names, str) else list(names or ())


def _dataset(opened: OpenedReferences, path: str, left_out: list[str], decoding: Mapping[str, Any]) -> Dataset:
    store: Any = GroupDataStore(opened, path, left_out)
    return StoreBackendEntrypoint().open_dataset(store, drop_variables=left_out, **decoding)


def _opened(
    given: Any, storage_options: Mapping[str, Any] | None, on_stale: OnStale, allow: Sequence[str]
) -> OpenedReferences:
    """Open what the user gave; see the class for what ``storage_options`` may be."""
    if not isinstance(given, Mapping | ReferenceSet | OpenedReferences):
        given = os.fspath(given).removeprefix("refmaker://").removeprefix("refmaker::")  # as zarr's engine needs it
    known = NAMES | {field.name for field in fields(ServeOptions)}
    all_options = dict(storage_options or {})
    plain = {name: value for name, value in all_options.items() if name not in known}
    ours = {name: value for name, value in all_options.items() if name in known}
    sources: dict[str, Mapping[str, Any]] = {}
    if plain and isinstance(given, str):
        sources[given.rpartition("::")[2].partition("://")[0]] = plain
    if remote := ours.pop("remote_options", None):
        sources[ours.get("remote_protocol") or ""] = remote
    ours.pop("remote_protocol", None)
    for protocol, options in (ours.pop("storage_options", None) or {}).items():
        sources[protocol] = {**sources.get(protocol, {}), **options}
    target = {**plain, **(ours.pop("target_options", None) or {})}
    options = ServeOptions(**{"on_stale": on_stale, "allow": tuple(allow), "source_options": sources, **ours})
    return open_given(given, target_options=target, options=options, scan_sources=True)
