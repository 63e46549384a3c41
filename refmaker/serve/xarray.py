"""``engine="refmaker"``: xarray opens references, or a file that is scanned on the spot, without zarr in the loop."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
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

Decoding = bool | Mapping[str, bool] | None
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
        mask_and_scale: Decoding = True,
        decode_times: Any = True,
        concat_characters: Decoding = True,
        decode_coords: Any = True,
        drop_variables: str | Iterable[str] | None = None,
        use_cftime: Decoding = None,
        decode_timedelta: Any = None,
        group: str | None = None,
        storage_options: Mapping[str, Any] | None = None,
        on_stale: OnStale = "raise",
        allow: Sequence[str] = (),
    ) -> Dataset:
        """Open one group as a dataset."""
        opened = _opened(filename_or_obj, storage_options, on_stale, allow)
        decoding = _decoding(
            mask_and_scale, decode_times, concat_characters, decode_coords, use_cftime, decode_timedelta
        )
        return _dataset(opened, (group or "").strip("/"), drop_variables, decoding)

    def open_datatree(
        self,
        filename_or_obj: Any,
        *,
        mask_and_scale: Decoding = True,
        decode_times: Any = True,
        concat_characters: Decoding = True,
        decode_coords: Any = True,
        drop_variables: str | Iterable[str] | None = None,
        use_cftime: Decoding = None,
        decode_timedelta: Any = None,
        group: str | None = None,
        storage_options: Mapping[str, Any] | None = None,
        on_stale: OnStale = "raise",
        allow: Sequence[str] = (),
    ) -> DataTree:
        """Open all groups as a tree."""
        opened = _opened(filename_or_obj, storage_options, on_stale, allow)
        decoding = _decoding(
            mask_and_scale, decode_times, concat_characters, decode_coords, use_cftime, decode_timedelta
        )
        return DataTree.from_dict(_datasets(opened, (group or "").strip("/"), drop_variables, decoding))

    def open_groups_as_dict(
        self,
        filename_or_obj: Any,
        *,
        mask_and_scale: Decoding = True,
        decode_times: Any = True,
        concat_characters: Decoding = True,
        decode_coords: Any = True,
        drop_variables: str | Iterable[str] | None = None,
        use_cftime: Decoding = None,
        decode_timedelta: Any = None,
        group: str | None = None,
        storage_options: Mapping[str, Any] | None = None,
        on_stale: OnStale = "raise",
        allow: Sequence[str] = (),
    ) -> dict[str, Dataset]:
        """Open every group as a dataset of its own, by path."""
        opened = _opened(filename_or_obj, storage_options, on_stale, allow)
        decoding = _decoding(
            mask_and_scale, decode_times, concat_characters, decode_coords, use_cftime, decode_timedelta
        )
        return _datasets(opened, (group or "").strip("/"), drop_variables, decoding)


def _decoding(
    mask_and_scale: Any,
    decode_times: Any,
    concat_characters: Any,
    decode_coords: Any,
    use_cftime: Any,
    decode_timedelta: Any,
) -> dict[str, Any]:
    """Return the switches of xarray's CF decoding by name."""
    return {
        "mask_and_scale": mask_and_scale,
        "decode_times": decode_times,
        "concat_characters": concat_characters,
        "decode_coords": decode_coords,
        "use_cftime": use_cftime,
        "decode_timedelta": decode_timedelta,
    }


def _dataset(
    opened: OpenedReferences, path: str, drop_variables: str | Iterable[str] | None, decoding: Mapping[str, Any]
) -> Dataset:
    left_out = [drop_variables] if isinstance(drop_variables, str) else list(drop_variables or ())
    store: Any = GroupDataStore(opened, path, left_out)
    return StoreBackendEntrypoint().open_dataset(store, drop_variables=left_out, **decoding)


def _datasets(
    opened: OpenedReferences, path: str, drop_variables: str | Iterable[str] | None, decoding: Mapping[str, Any]
) -> dict[str, Dataset]:
    names = drop_variables if isinstance(drop_variables, str | None) else list(drop_variables)
    return {
        f"/{inner}": _dataset(opened, f"{path}/{inner}".strip("/"), names, decoding)
        for inner in group_paths(opened, path)
    }


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
