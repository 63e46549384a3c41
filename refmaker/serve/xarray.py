"""``engine="refmaker"``: xarray opens references by their path.

A first form: through ``ReferenceFileSystem`` and xarray's own Zarr backend.
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from xarray.backends import BackendEntrypoint
from xarray.backends.zarr import ZarrBackendEntrypoint
from xarray.core.dataset import Dataset
from xarray.core.datatree import DataTree
from zarr.storage import FsspecStore

from refmaker.model.reference_set import ReferenceSet
from refmaker.serve.filesystem import ReferenceFileSystem
from refmaker.source.location import local_path

__all__ = ["RefmakerBackendEntrypoint"]

Decoding = bool | Mapping[str, bool] | None
MAGIC = b'{"version":1,\n"refmaker":'
"""How our JSON begins."""


class RefmakerBackendEntrypoint(BackendEntrypoint):
    """Opens reference files: a path, a URL, a kerchunk dictionary, or a ReferenceSet.

    ``storage_options`` are ReferenceFileSystem's: ``target_options`` for the file itself, ``remote_options`` or
    ``storage_options`` by protocol for the sources.
    """

    description = "Open references to chunks of other files (refmaker, kerchunk)"
    supports_groups = True

    def guess_can_open(self, filename_or_obj: Any) -> bool:
        """Whether it is a local JSON file that refmaker wrote: other references need ``engine="refmaker"``."""
        if not isinstance(filename_or_obj, str | os.PathLike):
            return False
        path = local_path(os.fspath(filename_or_obj))
        if path is None or not path.endswith(".json"):
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
    ) -> Dataset:
        """Open one group as a dataset."""
        return ZarrBackendEntrypoint().open_dataset(
            _store(filename_or_obj, storage_options),
            mask_and_scale=mask_and_scale,
            decode_times=decode_times,
            concat_characters=concat_characters,
            decode_coords=decode_coords,
            drop_variables=drop_variables,
            use_cftime=use_cftime,
            decode_timedelta=decode_timedelta,
            group=group,
            consolidated=True,
            zarr_format=2,
        )

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
    ) -> DataTree:
        """Open all groups as a tree."""
        return DataTree.from_dict(
            self.open_groups_as_dict(
                filename_or_obj,
                mask_and_scale=mask_and_scale,
                decode_times=decode_times,
                concat_characters=concat_characters,
                decode_coords=decode_coords,
                drop_variables=drop_variables,
                use_cftime=use_cftime,
                decode_timedelta=decode_timedelta,
                group=group,
                storage_options=storage_options,
            )
        )

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
    ) -> dict[str, Dataset]:
        """Open every group as a dataset of its own, by path."""
        return ZarrBackendEntrypoint().open_groups_as_dict(
            _store(filename_or_obj, storage_options),
            mask_and_scale=mask_and_scale,
            decode_times=decode_times,
            concat_characters=concat_characters,
            decode_coords=decode_coords,
            drop_variables=drop_variables,
            use_cftime=use_cftime,
            decode_timedelta=decode_timedelta,
            group=group,
            consolidated=True,
            zarr_format=2,
        )


def _store(filename_or_obj: Any, storage_options: Mapping[str, Any] | None) -> Any:
    fo = filename_or_obj if isinstance(filename_or_obj, Mapping | ReferenceSet) else os.fspath(filename_or_obj)
    filesystem = ReferenceFileSystem(fo=fo, asynchronous=True, **(storage_options or {}))
    return FsspecStore(filesystem, read_only=True, path="")
