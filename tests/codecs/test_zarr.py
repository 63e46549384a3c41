"""zarr-python reads arrays whose chunks these codecs decode, in both formats, and writes the v3 ones back."""

import json
from typing import Any

import hdf5plugin
import numpy as np
import pytest
import zarr
from codec_oracle import pattern, register_with_numcodecs, written
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync
from zarr.storage import MemoryStore

from refmaker.codecs import CODECS
from refmaker.codecs.zarr_v3 import PREFIX, RefmakerCodec, register
from refmaker.errors import BrokenFileError, UnsupportedError


@pytest.fixture(autouse=True)
def _registered() -> None:
    register_with_numcodecs()
    register()


def opened(zarr_format: int, codecs: list[dict[str, Any]], values: np.ndarray, chunks: dict[str, bytes]) -> zarr.Array:
    """An array of one or more chunks (the first axis is cut), with ``codecs`` as numcodecs configurations."""
    rows = -(-values.shape[0] // len(chunks))
    shape, chunk_shape = list(values.shape), [rows, *values.shape[1:]]
    if zarr_format == 2:
        meta = {"zarr_format": 2, "shape": shape, "chunks": chunk_shape, "dtype": values.dtype.str, "order": "C"}
        key, meta = ".zarray", meta | {"fill_value": 0, "compressor": None, "filters": codecs}
    else:
        endian = {"name": "bytes", "configuration": {"endian": "little"}}
        named = [{"name": PREFIX + c["id"], "configuration": {k: c[k] for k in c if k != "id"}} for c in codecs]
        meta = {"zarr_format": 3, "node_type": "array", "shape": shape, "data_type": values.dtype.name} | {
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunk_shape}},
            "chunk_key_encoding": {"name": "v2"},
            "fill_value": 0,
            "codecs": [endian, *named],
        }
        key = "zarr.json"
    store = MemoryStore()
    buffer = default_buffer_prototype().buffer
    for name, data in {key: json.dumps(meta).encode(), **chunks}.items():
        sync(store.set(name, buffer.from_bytes(data)))
    return zarr.open_array(store, mode="r", zarr_format=zarr_format)


formats = pytest.mark.parametrize("zarr_format", [2, 3])


@formats
def test_bitshuffled_chunks_are_read(zarr_format: int) -> None:
    values = pattern("f8")
    chunk = written(values, **hdf5plugin.Bitshuffle())
    codec = {"id": "refmaker_hdf5_bitshuffle", "itemsize": 8, "block_size": 0, "compression": "lz4"}
    np.testing.assert_array_equal(opened(zarr_format, [codec], values, {"0.0": chunk.raw})[...], values)


@formats
def test_short_last_strips_are_read(zarr_format: int) -> None:
    values = pattern("<i2", (10, 7))
    chunks = {"0.0": values[:6].tobytes(), "1.0": values[6:].tobytes()}
    array = opened(zarr_format, [{"id": "refmaker_pad", "nbytes": 84}], pattern("<i2", (12, 7)), chunks)
    np.testing.assert_array_equal(array[:10], values)


@formats
def test_two_codecs_decode_from_last_to_first(zarr_format: int) -> None:
    values = pattern("<i4", (20, 30))
    raw = written(values[:10], compression="lzf", shuffle=True)
    other = written(np.random.default_rng(0).integers(0, 2**31, (10, 30), dtype="i4"), compression="lzf", shuffle=True)
    lzf = {"id": "refmaker_optional", "codecs": [{"id": "refmaker_hdf5_lzf", "nbytes": 1200}], "nbytes": 1200}
    codecs = [{"id": "refmaker_hdf5_shuffle", "itemsize": 4}, lzf]
    assert (raw.mask, other.mask) == (0, 2)
    array = opened(zarr_format, codecs, values, {"0.0": raw.raw, "1.0": other.raw})
    np.testing.assert_array_equal(array[...], np.concatenate([values[:10], other.values]))


@formats
def test_broken_chunks_raise_our_error(zarr_format: int) -> None:
    array = opened(zarr_format, [{"id": "refmaker_hdf5_lz4"}], pattern("f8"), {"0.0": b"short"})
    with pytest.raises(BrokenFileError):
        array[...]


def test_v3_arrays_are_written_and_read_back() -> None:
    store = MemoryStore()
    codecs = [RefmakerCodec("refmaker_hdf5_shuffle", {"itemsize": 4}), RefmakerCodec("refmaker_hdf5_lz4", {})]
    array = zarr.create_array(store, shape=(10,), chunks=(4,), dtype="i4", zarr_format=3, compressors=codecs)
    array[:] = np.arange(10)
    again = zarr.open_array(store, mode="r")
    np.testing.assert_array_equal(again[...], np.arange(10))
    named = json.loads(sync(store.get("zarr.json", default_buffer_prototype())).to_bytes())["codecs"][1:]
    assert named == [codec.to_dict() for codec in codecs]


@pytest.mark.parametrize("codec_id", CODECS)
def test_every_codec_is_registered_with_zarr(codec_id: str) -> None:
    assert zarr.registry.get_codec_class(PREFIX + codec_id) is RefmakerCodec


def test_v3_names_that_are_not_ours_are_refused() -> None:
    with pytest.raises(UnsupportedError, match="zlib"):
        RefmakerCodec("zlib", {})
