"""Laws of the codecs that go both ways, and of the bit stream, on inputs that hypothesis makes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refmaker.codecs import get_codec
from refmaker.codecs.bits import unpack_bits
from refmaker.codecs.hdf5_lz4 import encode_lz4
from refmaker.errors import BrokenFileError, OptionError, RefmakerError, TruncatedFileError

data = st.binary(max_size=600) | st.builds(lambda part, times: part * times, st.binary(max_size=9), st.integers(0, 200))


@given(data, st.integers(1, 40))
def test_shuffle_goes_both_ways_and_keeps_the_length(raw: bytes, itemsize: int) -> None:
    codec = get_codec({"id": "refmaker_hdf5_shuffle", "itemsize": itemsize})
    encoded = codec.encode(raw).tobytes()
    assert codec.decode(encoded).tobytes() == raw
    assert sorted(encoded) == sorted(raw)


@given(data, st.integers(1, 40))
def test_shuffle_is_that_of_numcodecs_on_whole_elements(raw: bytes, itemsize: int) -> None:
    whole = raw[: len(raw) // itemsize * itemsize]
    ours = get_codec({"id": "refmaker_hdf5_shuffle", "itemsize": itemsize}).encode(whole)
    assert ours.tobytes() == bytes(get_codec({"id": "shuffle", "elementsize": itemsize}).encode(whole))


@given(data, st.integers(1, 700))
def test_lz4_goes_both_ways_in_blocks_of_any_length(raw: bytes, block_nbytes: int) -> None:
    codec = get_codec({"id": "refmaker_hdf5_lz4"})
    assert codec.decode(encode_lz4(np.frombuffer(raw, "u1"), block_nbytes=block_nbytes)).tobytes() == raw
    assert codec.decode(codec.encode(raw)).tobytes() == raw


@settings(max_examples=200)
@given(data, st.integers(1, 17), st.integers(0, 6), st.sampled_from(["none", "lz4", "zstd"]))
def test_bitshuffle_goes_both_ways(raw: bytes, itemsize: int, eights: int, compression: str) -> None:
    whole = raw[: len(raw) // itemsize * itemsize]
    config = {"itemsize": itemsize, "block_size": 8 * eights, "compression": compression}
    codec = get_codec({"id": "refmaker_hdf5_bitshuffle", **config})
    assert codec.decode(codec.encode(whole)).tobytes() == whole


@given(st.integers(1, 64), st.integers(0, 70), st.integers(0, 40), st.integers(0, 40), st.randoms())
def test_bits_are_those_of_the_stream_as_one_number(
    width: int, gap: int, start: int, count: int, random: object
) -> None:
    stride = width + gap
    nbytes = -(-(start + stride * max(count, 1)) // 8)
    raw = bytes(random.getrandbits(8) for _ in range(nbytes))  # type: ignore[attr-defined]
    number = int.from_bytes(raw, "big")
    shifts = [8 * nbytes - start - i * stride - width for i in range(count)]
    values = unpack_bits(np.frombuffer(raw, "u1"), start=start, stride=stride, width=width, count=count, name="t")
    assert values.tolist() == [number >> shift & ((1 << width) - 1) for shift in shifts]


def test_bits_past_the_end_are_an_error() -> None:
    with pytest.raises(TruncatedFileError, match="2 bytes found, 3 expected"):
        unpack_bits(np.zeros(2, "u1"), start=0, stride=17, width=17, count=1, name="t")


@given(data, st.integers(0, 700))
def test_pad_gives_the_length_or_an_error(raw: bytes, nbytes: int) -> None:
    codec = get_codec({"id": "refmaker_pad", "nbytes": nbytes})
    if len(raw) > nbytes:
        with pytest.raises(BrokenFileError, match="at most"):
            codec.decode(raw)
    else:
        assert codec.decode(raw).tobytes() == raw.ljust(nbytes, b"\0")
    assert codec.encode(raw).tobytes() == raw


CHAINS = [
    [{"id": "zlib", "level": 1}],
    [{"id": "refmaker_hdf5_shuffle", "itemsize": 4}, {"id": "zlib", "level": 1}, {"id": "fletcher32"}],
    [{"id": "fletcher32"}, {"id": "zlib", "level": 1}, {"id": "zlib", "level": 1}],
]


@given(data.filter(len), st.sampled_from(CHAINS))
def test_optional_goes_both_ways_and_passes_raw_chunks(raw: bytes, chain: list[dict[str, object]]) -> None:
    codec = get_codec({"id": "refmaker_optional", "codecs": chain, "nbytes": len(raw)})
    assert codec.decode(codec.encode(raw)).tobytes() == raw
    assert codec.decode(raw).tobytes() == raw
    with pytest.raises(OptionError):
        codec.encode(raw + b"x")
    with pytest.raises(RefmakerError):
        codec.decode(raw + b"x")


@given(st.lists(st.binary(max_size=7), max_size=20))
def test_strings_end_as_python_ends_them(words: list[bytes]) -> None:
    raw = b"".join(word.ljust(7, b" ") for word in words)
    terminated = (
        get_codec({"id": "refmaker_hdf5_string", "itemsize": 7, "fields": [[0, 7, "null-term"]]}).decode(raw).tobytes()
    )
    assert terminated == b"".join(word.ljust(7, b" ").partition(b"\0")[0].ljust(7, b"\0") for word in words)
    codec = get_codec({"id": "refmaker_hdf5_string", "itemsize": 7, "fields": [[0, 7, "space"]]})
    spaced = codec.decode(raw).tobytes()
    assert spaced == b"".join(word.rstrip(b" ").ljust(7, b"\0") for word in words)
    assert codec.decode(codec.encode(spaced)).tobytes() == spaced


def test_strings_among_other_members_leave_those_alone() -> None:
    codec = get_codec({"id": "refmaker_hdf5_string", "itemsize": 8, "fields": [[1, 3, "null-term"], [4, 3, "space"]]})
    assert codec.decode(b"\x01a\0bcd \x02" * 3).tobytes() == b"\x01a\0\0cd\0\x02" * 3


@st.composite
def layouts(draw: st.DrawFn) -> tuple[int, list[list[int]]]:
    position, fields = 0, []
    for gap, length in draw(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 9)), min_size=1, max_size=6)):
        fields.append([position + gap, length])
        position += gap + length
    return position + draw(st.integers(0, 5)), draw(st.permutations(fields))


@given(layouts(), st.integers(0, 9), st.randoms())
def test_compounds_go_both_ways_and_hold_the_members_in_order(
    layout: tuple[int, list[list[int]]], count: int, random: object
) -> None:
    itemsize, fields = layout
    raw = bytes(random.getrandbits(8) for _ in range(itemsize * count))  # type: ignore[attr-defined]
    codec = get_codec({"id": "refmaker_hdf5_compound", "itemsize": itemsize, "fields": fields})
    packed = codec.decode(raw).tobytes()
    elements = [raw[at : at + itemsize] for at in range(0, len(raw), itemsize)]
    assert packed == b"".join(element[at : at + length] for element in elements for at, length in fields)
    assert codec.decode(codec.encode(packed)).tobytes() == packed


@given(st.binary(min_size=1, max_size=80), st.integers(1, 12), st.integers(2, 9))
def test_partial_items_are_an_error(raw: bytes, length: int, itemsize: int) -> None:
    configs = [
        {"id": "refmaker_hdf5_string", "itemsize": itemsize, "fields": [[0, itemsize, "space"]]},
        {"id": "refmaker_hdf5_compound", "itemsize": itemsize, "fields": [[0, 1]]},
        {"id": "refmaker_hdf5_bitshuffle", "itemsize": itemsize},
    ]
    for config in configs:
        codec = get_codec(config)
        if len(raw) % itemsize:
            with pytest.raises(BrokenFileError, match="whole number"):
                codec.decode(raw)
        else:
            codec.decode(raw)
