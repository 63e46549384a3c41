"""Every encoding that references can be written in, and the ways to read them with other programs."""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import zarr
from fsspec.implementations.asyn_wrapper import AsyncFileSystemWrapper

from refmaker import ReferenceSet, VirtualArray, open_references, write_references
from refmaker.model.group import walk
from refmaker.model.reference_set import SourceFile


@dataclass(frozen=True)
class Way:
    """An encoding, and options of ``write_references``."""

    name: str
    suffix: str
    options: Mapping[str, Any]

    def write(self, references: ReferenceSet, folder: Path) -> Path:
        path = folder / f"refs{self.suffix}"
        write_references(references, path, **self.options)
        return path

    @property
    def zarr_format(self) -> Any:
        return self.options.get("zarr_format", 2)


WAYS = (
    Way("json", ".json", {}),
    Way("json-v3", ".json", {"zarr_format": 3}),
    Way("json-gz", ".json.gz", {}),
    Way("json-zst", ".json.zst", {}),
    Way("templates", ".json", {"templates": True}),
    Way("parquet", ".parq", {}),
    Way("parquet-3", ".parquet", {"record_size": 3}),
)
"""Small partitions show what happens at their edges."""
V2_WAYS = tuple(way for way in WAYS if way.zarr_format == 2)


def stock_store(path: Path, **options: Any) -> Any:
    """Return a zarr store over fsspec's own ``reference://``."""
    compression = {".gz": "gzip"}.get(path.suffix)
    inner = fsspec.filesystem(
        "reference",
        fo=str(path),
        target_options={"compression": compression} if compression else None,
        remote_protocol="file",
        remote_options={"asynchronous": True},
        asynchronous=True,
        skip_instance_cache=True,
        **options,
    )
    wrapped = inner if inner.async_impl else AsyncFileSystemWrapper(inner, asynchronous=True)
    return zarr.storage.FsspecStore(wrapped, read_only=True)


def through(store: Any, zarr_format: Any = 2) -> dict[str, np.ndarray]:
    """Return every array that zarr reads from a store, by path."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*Zarr (V|version )3 specification.*|.*deprecated.*")
        root = zarr.open_group(store, mode="r", zarr_format=zarr_format)
        members = root.members(max_depth=None)
        return {name: np.asarray(member[...]) for name, member in members if isinstance(member, zarr.Array)}


def assert_same_arrays(got: Mapping[str, np.ndarray], want: Mapping[str, np.ndarray]) -> None:
    assert got.keys() == want.keys()
    for path, values in want.items():
        found = got[path]
        assert found.shape == values.shape, path
        if values.dtype.kind in "OTV" or found.dtype.kind in "OTV":
            assert repr(found.tolist()) == repr(values.tolist()), path
        else:
            np.testing.assert_array_equal(found, values, err_msg=path)


def chunks_of(references: ReferenceSet) -> dict[str, list[Any]]:
    """Return what every array's chunks are: inlined bytes, (url, offset, length), or None, by position."""
    found: dict[str, list[Any]] = {}
    for path, node in walk(references.root):
        if isinstance(node, VirtualArray):
            found[path] = [chunk(references, node, n) for n in range(len(node.manifest))]
    return found


def chunk(references: ReferenceSet, array: VirtualArray, position: int) -> Any:
    found = array.manifest.lookup(position)
    if found is None or found.data is not None:
        return found and found.data
    if not found.length:
        return b""
    source: SourceFile = references.sources[found.location_id]
    return source.url, found.offset, found.length


Read = Callable[[Path], ReferenceSet]
read: Read = open_references
