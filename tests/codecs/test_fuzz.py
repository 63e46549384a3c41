"""Cut and mutated chunks decode to bytes of a bounded length, or raise a RefmakerError; nothing crashes."""

import json
import random
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from refmaker.codecs import get_codec
from refmaker.errors import BrokenFileError, RefmakerError

CASES = json.loads(Path(__file__).with_name("golden.json").read_text())
BOUND = 1 << 27
"""Bytes that no mutated golden chunk may decode to more than: they are at most 400 bytes long."""
EVERY = {"refmaker_tiff_jpegxr": 15}
"""Of some codecs only every so many inputs run: each that is refused costs a process."""


def survives(codec: Any, data: bytes) -> None:
    try:
        decoded = codec.decode(data)
    except RefmakerError:
        return
    assert decoded.dtype == np.uint8
    assert decoded.size < BOUND


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_chunks_cut_at_every_length(case: dict[str, Any]) -> None:
    codec = get_codec(case["config"])
    data = bytes.fromhex(case["encoded"])
    for length in range(0, len(data), EVERY.get(codec.codec_id, 1)):
        survives(codec, data[:length])


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_mutated_chunks(case: dict[str, Any]) -> None:
    codec = get_codec(case["config"])
    data = bytes.fromhex(case["encoded"])
    source = random.Random(case["name"])
    for _ in range(300 // EVERY.get(codec.codec_id, 1)):
        mutated = bytearray(data)
        for _ in range(source.choice((1, 1, 2, 8))):
            position = source.randrange(min(len(data), 32) if source.random() < 0.5 else len(data))
            mutated[position] = source.choice((0, 255, source.randrange(256), mutated[position] ^ 1))
        survives(codec, bytes(mutated) + source.randbytes(source.choice((0, 0, 0, 9))))


@pytest.mark.parametrize(
    ("config", "chunk"),
    [
        ({"id": "refmaker_hdf5_lz4"}, struct.pack(">QI", 1 << 60, 1 << 20) + bytes(40)),
        ({"id": "refmaker_hdf5_lz4"}, struct.pack(">QI", 1 << 60, 1)),
        ({"id": "refmaker_hdf5_lz4"}, struct.pack(">QII", 1 << 31, 1 << 31, 40) + bytes(40)),
        ({"id": "refmaker_hdf5_lz4"}, struct.pack(">QI", 100, 0) + bytes(40)),
        ({"id": "refmaker_hdf5_bitshuffle", "itemsize": 4, "compression": "lz4"}, struct.pack(">QI", 1 << 60, 8192)),
        (
            {"id": "refmaker_hdf5_bitshuffle", "itemsize": 4, "compression": "zstd"},
            struct.pack(">QI", 64, 0) + bytes(9),
        ),
        (
            {"id": "refmaker_hdf5_bitshuffle", "itemsize": 3, "compression": "lz4"},
            struct.pack(">QI", 48, 32) + bytes(9),
        ),
        ({"id": "refmaker_hdf5_lzf", "nbytes": 1 << 40}, bytes(40)),
        ({"id": "refmaker_hdf5_blosc2", "nbytes": 1 << 40}, bytes(140)),
        (
            {"options_mask": 169, "pixels_per_block": 8, "bits_per_pixel": 32, "pixels_per_scanline": 50}
            | {"id": "refmaker_hdf5_szip"},
            struct.pack("<I", 0xFFFFFFFF) + bytes(40),
        ),
        (
            {"id": "refmaker_hdf5_scaleoffset", "cd_values": [2, 0, 9, 0, 2, *[0] * 15]},
            struct.pack("<IB", 17, 8) + bytes(40),
        ),
        ({"id": "refmaker_hdf5_nbit", "cd_values": [8, 0, 0xFFFFFFFF, 1, 2, 0, 12, 0]}, bytes(40)),
    ],
    ids=str,
)
def test_impossible_sizes_are_refused_before_anything_is_allocated(config: dict[str, Any], chunk: bytes) -> None:
    with pytest.raises(BrokenFileError):
        get_codec(config).decode(chunk)


def zstd_chunk(frame: bytes, nbytes: int) -> bytes:
    return struct.pack(">QII", nbytes, 8192, len(frame)) + frame


@pytest.mark.parametrize("damage", ["two frames", "no size", "wrong size", "cut", "dictionary"])
def test_zstd_blocks_that_are_not_one_frame_of_the_right_size_are_refused(damage: str) -> None:
    frame = bytes(get_codec({"id": "zstd", "level": 1}).encode(bytes(4096)))
    nbytes = 4096
    broken = {
        "two frames": frame + frame,
        "no size": frame[:4] + b"\x00\x58" + frame[7:],
        "wrong size": bytes(get_codec({"id": "zstd", "level": 1}).encode(bytes(5000))),
        "cut": frame[:-2],
        "dictionary": frame[:4] + bytes([frame[4] | 1]) + frame[5:],
    }[damage]
    codec = get_codec({"id": "refmaker_hdf5_bitshuffle", "itemsize": 4, "compression": "zstd"})
    assert codec.decode(zstd_chunk(frame, nbytes)).size == nbytes
    with pytest.raises(BrokenFileError, match="Zstandard"):
        codec.decode(zstd_chunk(broken, nbytes))


def test_optional_names_the_codec_that_failed() -> None:
    codec = get_codec({"id": "refmaker_optional", "codecs": [{"id": "zlib"}], "nbytes": 100})
    with pytest.raises(BrokenFileError, match="zlib cannot decode"):
        codec.decode(b"no zlib stream")
    with pytest.raises(BrokenFileError, match="4 bytes decoded, 100 expected"):
        codec.decode(get_codec({"id": "zlib"}).encode(b"four"))


def test_truncated_szip_is_never_uninitialised_memory() -> None:
    case = next(case for case in CASES if case["name"] == "szip")
    codec, chunk = get_codec(case["config"]), bytes.fromhex(case["encoded"])
    for length in range(5, len(chunk)):
        first = codec.decode(chunk[:length]).tobytes()
        np.full(1000, 0x55AA55AA)  # other memory to hand out
        assert codec.decode(chunk[:length]).tobytes() == first
