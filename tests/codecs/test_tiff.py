"""TIFF's codecs decode what imagecodecs decodes, byte for byte, for every width, order and number of samples."""

from typing import Any

import imagecodecs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refmaker.codecs import get_codec
from refmaker.errors import BrokenFileError

RNG = np.random.default_rng(0)
ORDERS = {"<": "little", ">": "big"}


def noise(nbytes: int) -> np.ndarray:
    return RNG.integers(0, 256, nbytes, dtype="u1")


def samples(dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    return noise(int(np.prod(shape)) * np.dtype(dtype).itemsize).view(dtype).reshape(shape)


@pytest.mark.parametrize("count", [1, 3, 4])
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("kind", ["u1", "u2", "i2", "u4", "f4", "u8", "f8"])
def test_predictor_2_adds_rows_up(kind: str, order: str, count: int) -> None:
    stored = samples(order + kind, (5, 11, count))
    want = imagecodecs.delta_decode(stored.astype("=" + kind), axis=-2)
    layout = {"itemsize": stored.itemsize, "byteorder": ORDERS[order], "width": 11, "samples": count}
    codec = get_codec({"id": "refmaker_tiff_predictor2", **layout})
    got = codec.decode(stored).view(order + kind).reshape(stored.shape)
    assert got.astype("=" + kind).tobytes() == want.tobytes()
    assert codec.encode(got).tobytes() == stored.tobytes()


@pytest.mark.parametrize("distance", [1, 2, 4])
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("kind", ["f2", "f4", "f8"])
def test_predictor_3_sorts_bytes_back(kind: str, count: int, distance: int) -> None:
    stored = samples("<" + kind, (5, 8, count))
    want = imagecodecs.floatpred_decode(stored, axis=-2, dist=distance)
    layout = {"itemsize": stored.itemsize, "width": 8, "samples": count, "distance": distance}
    codec = get_codec({"id": "refmaker_tiff_predictor3", **layout})
    got = codec.decode(stored)
    assert got.view(">" + kind).astype("<" + kind).tobytes() == want.tobytes()
    assert codec.encode(got).tobytes() == stored.tobytes()


@pytest.mark.parametrize("distance", [1, 2, 4])
def test_predictor_2_goes_both_ways_at_any_distance(distance: int) -> None:
    layout = {"itemsize": 2, "byteorder": "big", "width": 8, "samples": 3, "distance": distance}
    codec = get_codec({"id": "refmaker_tiff_predictor2", **layout})
    raw = noise(4 * 8 * 3 * 2)
    assert codec.decode(codec.encode(raw)).tobytes() == raw.tobytes()


@pytest.mark.parametrize("length", [1, 7, 8, 13, 64])
@pytest.mark.parametrize("bits", [bits for bits in range(1, 33) if bits not in {8, 16, 32}])
def test_packed_samples_are_unpacked(bits: int, length: int) -> None:
    kind = np.dtype("?" if bits == 1 else "u1" if bits < 8 else "u2" if bits < 16 else "u4")
    data = noise(-(-bits * length // 8) * 5)
    want = imagecodecs.packints_decode(data.tobytes(), kind, bits, runlen=length)
    codec = get_codec({"id": "refmaker_tiff_bitunpack", "bits": bits, "length": length, "itemsize": kind.itemsize})
    np.testing.assert_array_equal(codec.decode(data).view(kind), want)


@pytest.mark.parametrize("order", "<>")
def test_24_bit_floats_are_widened(order: str) -> None:
    every = np.arange(0, 1 << 24, 37, dtype="<u4").view("u1").reshape(-1, 4)[:, :3]
    data = np.ascontiguousarray(every if order == "<" else every[:, ::-1]).tobytes()
    got = get_codec({"id": "refmaker_tiff_float24", "byteorder": ORDERS[order]}).decode(data).view(order + "f4")
    np.testing.assert_array_equal(got, imagecodecs.float24_decode(data, byteorder=order))


def test_bits_are_turned_round() -> None:
    data = noise(500)
    codec = get_codec({"id": "refmaker_tiff_fillorder"})
    assert codec.decode(data).tobytes() == imagecodecs.bitorder_decode(data.tobytes())
    assert codec.encode(codec.decode(data)).tobytes() == data.tobytes()


@given(st.binary(max_size=300))
def test_packbits_undoes_what_imagecodecs_packs(raw: bytes) -> None:
    packed = imagecodecs.packbits_encode(raw)
    assert get_codec({"id": "refmaker_tiff_packbits"}).decode(packed).tobytes() == raw


@given(st.binary(max_size=300))
def test_packbits_makes_something_of_any_bytes(raw: bytes) -> None:
    assert get_codec({"id": "refmaker_tiff_packbits"}).decode(raw).size <= 64 * len(raw)


def test_a_short_last_segment_of_lzw_is_what_it_is() -> None:
    codec = get_codec({"id": "refmaker_tiff_lzw", "nbytes": 5000})
    assert codec.decode(imagecodecs.lzw_encode(b"abc" * 1000)).tobytes() == b"abc" * 1000
    assert get_codec({"id": "refmaker_tiff_lzw", "nbytes": 100}).decode(imagecodecs.lzw_encode(b"abc" * 99)).size == 100


@pytest.mark.parametrize("kind", ["png", "webp", "jpeg2k", "jpegxl"])
def test_a_smaller_picture_lies_in_the_corner_of_its_tile(kind: str) -> None:
    picture = np.ascontiguousarray(noise(6 * 5 * 3).reshape(6, 5, 3))
    options = {"jpeg2k": {"reversible": True, "level": 0}}.get(kind, {} if kind == "png" else {"lossless": True})
    encoded = getattr(imagecodecs, f"{kind}_encode")(picture, **options)
    got = get_codec({"id": f"refmaker_tiff_{kind}", "shape": [8, 7, 3], "itemsize": 1}).decode(encoded)
    want = np.zeros((8, 7, 3), "u1")
    want[:6, :5] = picture
    np.testing.assert_array_equal(got.reshape(8, 7, 3), want)


@pytest.mark.parametrize("shape", [[5, 5, 3], [6, 4, 3], [6, 5, 4], [6, 5, 1]], ids=str)
def test_a_picture_that_does_not_fit_its_tile_is_refused(shape: list[int]) -> None:
    encoded = imagecodecs.png_encode(np.ascontiguousarray(noise(6 * 5 * 3).reshape(6, 5, 3)))
    with pytest.raises(BrokenFileError, match="picture"):
        get_codec({"id": "refmaker_tiff_png", "shape": shape, "itemsize": 1}).decode(encoded)


@pytest.mark.parametrize(
    "config",
    [
        {"id": "refmaker_tiff_predictor2", "itemsize": 2, "byteorder": "little", "width": 4, "samples": 1},
        {"id": "refmaker_tiff_predictor3", "itemsize": 2, "width": 4, "samples": 1},
        {"id": "refmaker_tiff_complexint", "itemsize": 2, "byteorder": "little"},
        {"id": "refmaker_tiff_float24", "byteorder": "little"},
        {"id": "refmaker_tiff_bitunpack", "bits": 4, "length": 40, "itemsize": 1},
    ],
    ids=lambda config: config["id"],
)
def test_incomplete_rows_are_refused(config: dict[str, Any]) -> None:
    with pytest.raises(BrokenFileError, match="7 bytes found"):
        get_codec(config).decode(bytes(7))


def test_a_jpeg_larger_than_its_tile_is_refused_before_it_is_decoded() -> None:
    encoded = bytearray(imagecodecs.jpeg_encode(np.zeros((16, 16), "u1")))
    at = encoded.index(b"\xff\xc0")
    encoded[at + 5 : at + 9] = b"\xff\xdc" * 2
    with pytest.raises(BrokenFileError, match="samples found"):
        get_codec({"id": "refmaker_tiff_jpeg", "shape": [16, 16, 1], "itemsize": 1}).decode(bytes(encoded))
