"""Every codec decodes what the real HDF5 filter wrote into what libhdf5 reads back, byte for byte."""

from collections.abc import Sequence
from typing import Any

import h5py
import hdf5plugin
import numpy as np
import pytest
from codec_oracle import Chunk, pattern, written
from h5py import h5t

from refmaker.codecs import get_codec
from refmaker.scanners.hdf5.filters import filter_steps
from refmaker.scanners.hdf5.messages import Filter

INTEGERS = ["<i1", "<u1", "<i2", "<u2", "<i4", "<u4", "<i8", "<u8", ">i2", ">u2", ">i4", ">u4", ">i8", ">u8"]
FLOATS = ["<f4", "<f8", ">f4", ">f8"]
SHAPES = [(37, 53), (8,), (7,), (1,), (3000,), (6153,)]


def decoded(chunk: Chunk, codec_id: str, **parameters: Any) -> bytes:
    return get_codec({"id": codec_id, **parameters}).decode(chunk.raw).tobytes()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", ["u1", "i2", "f4", "f8", "c16", "S3", "S19"])
def test_shuffle_is_undone(dtype: str, shape: tuple[int, ...]) -> None:
    chunk = written(text(shape, dtype) if dtype[0] == "S" else pattern(dtype, shape), shuffle=True)
    itemsize = chunk.cd_values[0] if chunk.cd_values else 1
    assert decoded(chunk, "refmaker_hdf5_shuffle", itemsize=itemsize) == chunk.decoded


@pytest.mark.parametrize("dtype", ["i2", "f4", "f8", "c16"])
def test_shuffle_after_fletcher32_leaves_the_tail(dtype: str) -> None:
    values = pattern(dtype, (11, 3))
    chunk = written(values, setup=lambda plist: (plist.set_fletcher32(), plist.set_shuffle()))
    checksummed = decoded(chunk, "refmaker_hdf5_shuffle", itemsize=values.itemsize)
    assert checksummed[:-4] == chunk.decoded
    assert bytes(get_codec({"id": "fletcher32"}).decode(checksummed)) == chunk.decoded


@pytest.mark.parametrize("nbytes", [0, 512, 100])
@pytest.mark.parametrize("values", ["ramp", "noise", "zeros", "one"])
def test_lz4_blocks_compressed_raw_and_short_are_decoded(values: str, nbytes: int) -> None:
    data = {
        "ramp": pattern("i4"),
        "noise": np.random.default_rng(0).integers(0, 256, 5000, dtype="u1"),
        "zeros": np.zeros((100, 100)),
        "one": np.ones(1, "u1"),
    }[values]
    chunk = written(data, **hdf5plugin.LZ4(nbytes=nbytes))
    assert chunk.mask or decoded(chunk, "refmaker_hdf5_lz4") == chunk.decoded


def of_filter(number: int, cd_values: Sequence[int], values: np.ndarray) -> Any:
    """Return the codec that the scanner takes for one HDF5 filter over an array in one chunk."""
    [step] = filter_steps((Filter(number, "", tuple(cd_values)),), values.dtype, values.nbytes)
    [codec] = step.codecs
    return get_codec({"id": codec.id, **codec.configuration})


BITSHUFFLES = [
    {"cname": "none"},
    {"cname": "none", "nelems": 8},
    {"cname": "lz4"},
    {"cname": "lz4", "nelems": 64},
    {"cname": "zstd"},
    {"cname": "zstd", "nelems": 1024},
]


@pytest.mark.parametrize("options", BITSHUFFLES, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", ["u1", "i2", "f4", "f8", "c16", "S3"])
def test_bitshuffle_is_undone_and_done_alike(dtype: str, shape: tuple[int, ...], options: dict[str, Any]) -> None:
    values = text(shape, dtype) if dtype[0] == "S" else pattern(dtype, shape)
    chunk = written(values, **hdf5plugin.Bitshuffle(**options))
    codec = of_filter(32008, chunk.cd_values, values)
    assert codec.decode(chunk.raw).tobytes() == chunk.decoded
    assert codec.encode(chunk.decoded).tobytes() == chunk.raw


def integer_chunks(dtype: str) -> dict[str, np.ndarray]:
    limits = np.iinfo(dtype)
    rng = np.random.default_rng(1)
    full = rng.integers(limits.min, limits.max, (37, 53), dtype=np.dtype(dtype).newbyteorder("="), endpoint=True)
    full.flat[:2] = limits.min, limits.max
    ramp = pattern(dtype)
    return {"ramp": ramp, "zeros": ramp * 0, "sevens": ramp * 0 + 7, "full": full.astype(dtype), "third": full // 3}


@pytest.mark.parametrize("fill", [None, 7, 33])
@pytest.mark.parametrize("dtype", INTEGERS)
def test_scaleoffset_integers_are_exact(dtype: str, fill: int | None) -> None:
    for values in integer_chunks(dtype).values():
        for bits in (0, 4, 8 * np.dtype(dtype).itemsize):
            chunk = written(values.astype(dtype), setup=scaleoffset(2, bits, fill, dtype))
            assert decoded(chunk, "refmaker_hdf5_scaleoffset", cd_values=chunk.cd_values) == chunk.decoded


@pytest.mark.parametrize("fill", [None, 7, 33])
@pytest.mark.parametrize("dtype", FLOATS)
def test_scaleoffset_floats_are_exact(dtype: str, fill: int | None) -> None:
    ramp = pattern(dtype)
    for values in (ramp, ramp * 0, ramp * 0 + 7, -ramp, ramp * 1e6, ramp * 1e30):
        for decimals in (0, 1, 3, 7):
            chunk = written(values.astype(dtype), setup=scaleoffset(0, decimals, fill, dtype))
            assert decoded(chunk, "refmaker_hdf5_scaleoffset", cd_values=chunk.cd_values) == chunk.decoded


def scaleoffset(kind: int, factor: int, fill: int | None, dtype: str) -> Any:
    def setup(plist: h5py.h5p.PropDCID) -> None:
        if fill is not None:
            plist.set_fill_value(np.array(fill, dtype))
        plist.set_scaleoffset(kind, factor)

    return setup


def test_scaleoffset_with_fill_values_in_the_data() -> None:
    for dtype in (*INTEGERS, *FLOATS):
        values = pattern(dtype)
        values.flat[::7] = 99
        chunk = written(values, setup=scaleoffset(0 if "f" in dtype else 2, 2 if "f" in dtype else 0, 99, dtype))
        assert decoded(chunk, "refmaker_hdf5_scaleoffset", cd_values=chunk.cd_values) == chunk.decoded
        assert (chunk.values.flat[::7] == 99).all()


def test_scaleoffset_without_fill_value_of_equal_elements() -> None:
    parameters = [2, 0, 5, 0, 2, 1, 1, 0, *[0] * 12]
    chunk = bytes([0, 0, 0, 0, 8, *(-300).to_bytes(8, "little", signed=True), *bytes(8), 0])
    codec = get_codec({"id": "refmaker_hdf5_scaleoffset", "cd_values": parameters})
    assert codec.decode(chunk).view(">i2").tolist() == [-300] * 5


NBIT_BASES = {
    "<i1": h5t.STD_I8LE,
    "<u1": h5t.STD_U8LE,
    "<i2": h5t.STD_I16LE,
    ">u2": h5t.STD_U16BE,
    ">i4": h5t.STD_I32BE,
    "<u4": h5t.STD_U32LE,
    "<i8": h5t.STD_I64LE,
    ">u8": h5t.STD_U64BE,
}


def narrow(base: h5t.TypeIntegerID, precision: int, offset: int) -> h5t.TypeIntegerID:
    tid = base.copy()
    tid.set_precision(precision)
    tid.set_offset(offset)
    return tid


def nbit(plist: h5py.h5p.PropDCID) -> None:
    plist.set_filter(5, 0, ())


@pytest.mark.parametrize("dtype", NBIT_BASES)
def test_nbit_integers_are_exact(dtype: str) -> None:
    kind = np.dtype(dtype)
    size = 8 * kind.itemsize
    rng = np.random.default_rng(0)
    for precision, offset in ((size, 0), (size - 1, 0), (size - 3, 2), (size - 3, 3), (size // 2 + 1, size // 2 - 2)):
        low, high = (-(1 << precision - 1), 1 << precision - 1) if kind.kind == "i" else (0, 1 << precision)
        values = rng.integers(low, high - 1, (37, 53), dtype=kind.newbyteorder("="), endpoint=True).astype(kind)
        tid = narrow(NBIT_BASES[dtype], precision, offset)
        chunk, plain = written(values, tid=tid, setup=nbit), written(values, tid=tid)
        stored = decoded(chunk, "refmaker_hdf5_nbit", cd_values=chunk.cd_values)
        assert stored == plain.raw
        integer = get_codec(
            {
                "id": "refmaker_hdf5_integer",
                "itemsize": kind.itemsize,
                "byteorder": "big" if dtype[0] == ">" else "little",
                "precision": precision,
                "offset": offset,
                "signed": kind.kind == "i",
            }
        )
        assert integer.decode(stored).tobytes() == chunk.decoded == values.tobytes()


FLOAT20 = {
    "itemsize": 4,
    "sign_position": 26,
    "exponent_position": 20,
    "exponent_size": 6,
    "exponent_bias": 31,
    "mantissa_position": 7,
    "mantissa_size": 13,
    "to_itemsize": 4,
}
FLOAT40 = {
    "itemsize": 8,
    "sign_position": 39,
    "exponent_position": 31,
    "exponent_size": 8,
    "exponent_bias": 127,
    "mantissa_position": 0,
    "mantissa_size": 31,
    "to_itemsize": 8,
}
FLOAT_BASES = [
    (h5t.IEEE_F32LE, "little", FLOAT20),
    (h5t.IEEE_F32BE, "big", FLOAT20),
    (h5t.IEEE_F64LE, "little", FLOAT40),
    (h5t.IEEE_F64BE, "big", FLOAT40),
]


@pytest.mark.parametrize(("base", "byteorder", "layout"), FLOAT_BASES, ids=["20le", "20be", "40le", "40be"])
def test_nbit_floats_are_exact(base: h5t.TypeFloatID, byteorder: str, layout: dict[str, int]) -> None:
    tid = base.copy()
    lowest, highest = layout["mantissa_position"], layout["sign_position"]
    tid.set_fields(highest, layout["exponent_position"], layout["exponent_size"], lowest, layout["mantissa_size"])
    tid.set_offset(lowest)
    tid.set_precision(highest - lowest + 1)
    tid.set_size(layout["itemsize"])
    tid.set_ebias(layout["exponent_bias"])
    special = [0, -0.0, np.inf, -np.inf, np.nan, -np.nan, 1e-9, 2.0**-31, 2.0**-33, -(2.0**-36), 3.0e9, 1e12]
    values = np.concatenate([pattern("f4").ravel(), special]).astype(f"f{layout['itemsize']}")
    chunk, plain = written(values, tid=tid, setup=nbit), written(values, tid=tid)
    stored = decoded(chunk, "refmaker_hdf5_nbit", cd_values=chunk.cd_values)
    assert stored == plain.raw
    numbers = get_codec({"id": "refmaker_hdf5_float", "byteorder": byteorder, **layout}).decode(stored)
    assert numbers.tobytes() == chunk.decoded


def test_nbit_long_doubles_are_exact() -> None:
    chunk = written(np.arange(50, dtype="longdouble") / 3, tid=h5t.NATIVE_LDOUBLE, setup=nbit)
    if chunk.cd_values[1]:
        pytest.skip("no long double here")
    assert decoded(chunk, "refmaker_hdf5_nbit", cd_values=chunk.cd_values) == chunk.decoded


@pytest.mark.parametrize("values", [np.arange(50) % 2 == 0, np.array([b"abc", b"de"] * 10), pattern("f8")], ids=str)
def test_nbit_that_does_nothing_is_the_identity(values: np.ndarray) -> None:
    chunk = written(values, setup=nbit)
    assert chunk.cd_values[1] == 1
    assert decoded(chunk, "refmaker_hdf5_nbit", cd_values=chunk.cd_values) == chunk.decoded


def compound(size: int, **members: tuple[int, h5t.TypeID]) -> h5t.TypeCompoundID:
    tid = h5t.create(h5t.COMPOUND, size)
    for name, (offset, member) in members.items():
        tid.insert(name.encode(), offset, member)
    return tid


def test_nbit_compounds_arrays_and_strings_are_exact() -> None:
    string = h5t.C_S1.copy()
    string.set_size(3)
    tid = compound(
        36,
        a=(2, narrow(h5t.STD_I16LE, 12, 1)),
        b=(4, narrow(h5t.STD_I32BE, 20, 0)),
        s=(9, string),
        arr=(12, h5t.array_create(narrow(h5t.STD_I16LE, 9, 3), (3,))),
        inner=(20, compound(4, x=(1, narrow(h5t.STD_U8LE, 3, 2)), y=(2, h5t.STD_I16BE))),
        z=(24, h5t.IEEE_F64LE),
    )
    memory = np.dtype(
        [("a", "i2"), ("b", "i4"), ("s", "S3"), ("arr", "i2", 3), ("inner", [("x", "u1"), ("y", "i2")]), ("z", "f8")]
    )
    values = np.zeros(51, memory)
    rng = np.random.default_rng(1)
    for name in ("a", "b", "arr", "z"):
        values[name] = rng.integers(0, 100, values[name].shape)
    values["s"] = b"xyz"
    values["inner"]["x"], values["inner"]["y"] = np.arange(51) % 8, -5
    known = h5t.py_create(memory)
    chunk, plain = written(values, tid=tid, setup=nbit, memory=known), written(values, tid=tid, memory=known)
    assert len(chunk.raw) < len(plain.raw)
    assert decoded(chunk, "refmaker_hdf5_nbit", cd_values=chunk.cd_values) == plain.raw


@pytest.mark.parametrize("options", [("nn", 8), ("nn", 32), ("ec", 16), ("ec", 4)], ids=str)
@pytest.mark.parametrize("dtype", ["u1", "i2", "i4", "i8", "f4", "f8", ">i2", ">i4", ">f4", ">f8"])
def test_szip_is_exact(dtype: str, options: tuple[str, int]) -> None:
    for shape in ((37, 53), (3000,), (10, 20, 33)):
        values = pattern(dtype, shape).round()
        chunk = written(values, compression="szip", compression_opts=options)
        assert chunk.mask or of_filter(4, chunk.cd_values, values).decode(chunk.raw).tobytes() == chunk.decoded


@pytest.mark.parametrize("dtype", ["u1", "i2", "f8", ">i4"])
def test_lzf_is_exact(dtype: str) -> None:
    chunk = written(np.sort(pattern(dtype), axis=None).round().reshape(37, 53), compression="lzf")
    assert not chunk.mask
    assert decoded(chunk, "refmaker_hdf5_lzf", nbytes=chunk.cd_values[2]) == chunk.decoded


ZFP_MODES = [{"reversible": True}, {"accuracy": 0.1}, {"rate": 8}, {"rate": 3.5}, {"precision": 10}]


@pytest.mark.parametrize("options", ZFP_MODES, ids=str)
@pytest.mark.parametrize("dtype", ["i4", "i8", "f4", "f8", ">i4", ">f4", ">f8"])
def test_zfp_is_exact(dtype: str, options: dict[str, Any]) -> None:
    for shape in ((37, 53), (3000,), (10, 20, 33), (4, 5, 6, 7)):
        chunk = written(pattern(dtype, shape), **hdf5plugin.Zfp(**options))
        assert decoded(chunk, "refmaker_hdf5_zfp", cd_values=chunk.cd_values) == chunk.decoded


BLOSC2S = [{}, {"cname": "zstd"}, {"cname": "lz4", "filters": 2}, {"filters": 3}, {"cname": "zlib", "clevel": 0}]


@pytest.mark.parametrize("options", BLOSC2S, ids=str)
@pytest.mark.parametrize("dtype", ["u1", "i2", "f4", ">f8", "S3"])
def test_blosc2_is_exact(dtype: str, options: dict[str, Any]) -> None:
    for shape in ((37, 53), (3000,), (10, 20, 33), (1,)):
        values = text(shape, dtype) if dtype[0] == "S" else pattern(dtype, shape)
        chunk = written(values, **hdf5plugin.Blosc2(**options))
        assert chunk.mask or decoded(chunk, "refmaker_hdf5_blosc2", nbytes=chunk.cd_values[3]) == chunk.decoded
    zeros = written(np.zeros((1000, 1000)), **hdf5plugin.Blosc2(**options))
    assert decoded(zeros, "refmaker_hdf5_blosc2", nbytes=zeros.cd_values[3]) == zeros.decoded


def text(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    words = np.array([b"abc", b"q", b"zz", b""])
    return words[np.arange(int(np.prod(shape))) % 4].reshape(shape).astype(dtype)


JUNK = [
    b"abc\0xyz ",
    b"full len",
    b"        ",
    b"a b     ",
    b" lead\0\0\0",
    b"\0junk!!!",
    b"tail \0  ",
    b"\0\0\0\0\0\0\0\0",
]


@pytest.mark.parametrize(
    ("padding", "strpad"), [("null-term", h5t.STR_NULLTERM), ("space", h5t.STR_SPACEPAD)], ids=["null-term", "space"]
)
def test_strings_end_where_h5py_ends_them(padding: str, strpad: int) -> None:
    tid = h5t.C_S1.copy()
    tid.set_size(8)
    tid.set_strpad(strpad)
    chunk = written(np.array(JUNK, "V8").view("S8"), tid=tid, memory=tid)
    assert chunk.raw == b"".join(JUNK)
    assert decoded(chunk, "refmaker_hdf5_string", itemsize=8, fields=[[0, 8, padding]]) == chunk.decoded


def test_compounds_are_packed_as_numpy_packs_them() -> None:
    holes = np.dtype(
        {"names": ["a", "b", "c", "d"], "formats": ["i1", "f8", "S3", ">i2"], "offsets": [1, 8, 16, 19], "itemsize": 24}
    )
    values = np.zeros(33, holes)
    values["a"], values["b"], values["c"], values["d"] = np.arange(33), np.arange(33) / 3, b"xyz", 258
    chunk = written(values)
    fields = [[holes.fields[name][1], holes.fields[name][0].itemsize] for name in holes.names]
    packed = np.dtype([(name, holes.fields[name][0]) for name in holes.names])
    assert decoded(chunk, "refmaker_hdf5_compound", itemsize=24, fields=fields) == values.astype(packed).tobytes()


def test_optional_reads_the_masked_and_the_filtered_chunks_of_one_dataset() -> None:
    easy, hard = np.zeros((32, 32), "u1"), np.random.default_rng(0).integers(0, 256, (32, 32), dtype="u1")
    masks = set()
    for values in (easy, hard):
        chunk = written(values, compression="lzf")
        masks.add(chunk.mask)
        inner = [{"id": "refmaker_hdf5_lzf", "nbytes": 1024}]
        assert decoded(chunk, "refmaker_optional", codecs=inner, nbytes=1024) == chunk.decoded
    assert masks == {0, 1}
