"""The three doors, each as a function that reads one array of references."""

from collections.abc import Callable, Mapping
from typing import Any

import fsspec
import numpy as np
import xarray as xr
import zarr

from refmaker.serve.options import ServeOptions
from refmaker.serve.store import RefStore

QUICK: dict[str, Any] = {"attempts": 4, "first_delay": 0.01, "timeout": 0.6}
"""Options that let tests of retries and timeouts end soon."""
Door = Callable[..., np.ndarray]


def split(options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return (serve options, the others) of a door's options."""
    own = {**QUICK, **options}
    return {k: own.pop(k) for k in list(own) if k in QUICK}, own


def engine(refs: Any, path: str, **options: Any) -> np.ndarray:
    group, _, name = path.rpartition("/")
    tuning, other = split(options)
    storage = {**tuning, **other.pop("target", {})}
    if "remote" in other:
        storage["storage_options"] = other.pop("remote")
    opened = xr.open_dataset(
        refs,
        engine="refmaker",
        group=group,
        mask_and_scale=False,
        decode_times=False,
        drop_variables=[] if name == "time" else ["time"],  # xarray reads index variables when it opens
        storage_options=storage,
        **other,
    )
    return opened[name].values


def filesystem(refs: Any, options: Mapping[str, Any], **more: Any) -> Any:
    tuning, other = split(options)
    return fsspec.filesystem(
        "refmaker",
        fo=refs,
        serve_options=tuning,
        target_options=other.pop("target", {}),
        storage_options=other.pop("remote", None),
        **other,
        **more,
    )


def zarr_pipeline(refs: Any, path: str, **options: Any) -> np.ndarray:
    store = zarr.storage.FsspecStore(filesystem(refs, options, asynchronous=True), read_only=True)
    return zarr.open_group(store, mode="r", zarr_format=2)[path][...]


def zarr_stock(refs: Any, path: str, **options: Any) -> np.ndarray:
    with zarr.config.set({"codec_pipeline.path": "zarr.core.codec_pipeline.BatchedCodecPipeline"}):
        fs = filesystem(refs, options, asynchronous=True, plan_selections=False)
        store = zarr.storage.FsspecStore(fs, read_only=True)
        return zarr.open_group(store, mode="r", zarr_format=2)[path][...]


def bytes_of(refs: Any, path: str, **options: Any) -> np.ndarray:
    """Read encoded chunks through fsspec alone, and decode them by hand: only arrays without gaps and edges."""
    fs = filesystem(refs, options)
    array = zarr.open_group(fs.get_mapper(""), mode="r", zarr_format=2)[path]
    keys = [key for key in fs.find(path) if not key.rpartition("/")[2].startswith(".")]
    assert fs.cat(keys, on_error="omit").keys() == set(keys)
    return array[...]


def ref_store(refs: Any, path: str, **options: Any) -> np.ndarray:
    tuning, other = split(options)
    target = other.pop("target", {})
    serve = ServeOptions(**tuning, source_options=other.pop("remote", {}), **other)
    return zarr.open_group(RefStore(refs, target_options=target, options=serve), mode="r", zarr_format=2)[path][...]


DOORS: dict[str, Door] = {
    "1 filesystem, zarr's pipeline": zarr_stock,
    "1 filesystem, our pipeline": zarr_pipeline,
    "1 filesystem, cat": bytes_of,
    "2 RefStore": ref_store,
    "3 engine": engine,
}
