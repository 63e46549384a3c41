"""Datatypes: numbers of every kind, enumerations, compounds, arrays, bit fields, opaque bytes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import netCDF4
import numpy as np
import pytest
from h5py import h5d, h5p, h5s, h5t, h5z

from refmaker import UnsupportedError, scan
from tests.scanners.hdf5.comparing import Case, array_of, check, made, outcomes, through_references

SHAPE = (4, 6)
INLINED = {"d": "inlined"}
LARGE = (120, 100)
"""More than 64 kB of numbers: values that need a codec are then not inlined."""


def numbers(dtype: Any, shape: tuple[int, ...] = SHAPE) -> np.ndarray[Any, Any]:
    """Return values that differ, and are negative, fractional or complex where the type can be."""
    dtype = np.dtype(dtype)
    values = np.arange(np.prod(shape, dtype=int)).reshape(shape) % 60
    if dtype.kind in "ifc":
        values = values - 30
    if dtype.kind in "fc":
        values = values * 0.375
    if dtype.kind == "c":
        values = values + 2.5j
    return values.astype(dtype)


def holding(values: Any, **options: Any) -> Callable[[h5py.File], object]:
    """Return a maker of a dataset with these values."""
    return lambda file: file.create_dataset("d", data=values, **options)


def of_type(
    file_type: h5t.TypeID, values: Any, *, nbit: bool = False, chunks: tuple[int, ...] | None = None
) -> Callable[[h5py.File], object]:
    """Return a maker of a dataset of an HDF5 datatype that numpy has not, converted from ``values``."""

    def make(file: h5py.File) -> None:
        properties = h5p.create(h5p.DATASET_CREATE)
        if nbit or chunks:
            properties.set_chunk(chunks or values.shape)
        if nbit:
            properties.set_filter(h5z.FILTER_NBIT)
        created = h5d.create(file.id, b"d", file_type, h5s.create_simple(values.shape), properties)
        created.write(h5s.ALL, h5s.ALL, np.ascontiguousarray(values))

    return make


def raw(file_type: h5t.TypeID, data: bytes, shape: tuple[int, ...]) -> Callable[[h5py.File], object]:
    """Return a maker of a dataset whose bytes are these, whatever the type says of them."""

    def make(file: h5py.File) -> None:
        created = h5d.create(file.id, b"d", file_type, h5s.create_simple(shape))
        created.write(h5s.ALL, h5s.ALL, np.frombuffer(data, np.uint8).copy(), mtype=file_type)

    return make


PLAIN = [
    f"{order}{kind}" for order in "<>" for kind in ("i2", "i4", "i8", "u2", "u4", "u8", "f2", "f4", "f8", "c8", "c16")
]
SPECIAL = np.array([np.nan, np.inf, -np.inf, -0.0, 5e-324, 1.7976931348623157e308])


def precise(base: h5t.TypeID, precision: int, offset: int = 0) -> h5t.TypeID:
    """Return an integer type of fewer bits than its bytes have."""
    made = base.copy()
    made.set_precision(precision)
    made.set_offset(offset)
    return made


def custom_float(size: int, bits: tuple[int, int, int, int, int], bias: int, base: h5t.TypeID) -> h5t.TypeID:
    """Return a floating-point type of other fields than IEEE's."""
    made = base.copy()
    made.set_fields(*bits)
    made.set_ebias(bias)
    if made.get_size() != size:
        made.set_precision(8 * size)
        made.set_size(size)
    return made


PRECISIONS = [
    ("12 bits", h5t.STD_I16LE, 12, 0),
    ("12 bits from bit 3", h5t.STD_I16LE, 12, 3),
    ("20 bits, big-endian", h5t.STD_I32BE, 20, 0),
    ("unsigned 20 bits from bit 5", h5t.STD_U32LE, 20, 5),
    ("5 bits", h5t.STD_I8LE, 5, 0),
    ("50 bits", h5t.STD_I64LE, 50, 0),
]
BFLOAT16 = custom_float(2, (15, 7, 8, 0, 7), 127, h5t.IEEE_F32LE)
FLOAT24 = custom_float(3, (23, 15, 8, 0, 15), 127, h5t.IEEE_F32LE)


def number_cases() -> list[Case]:
    cases = [Case(f"{dtype}", holding(numbers(dtype))) for dtype in ("i1", "u1", "?", *PLAIN)]
    cases += [Case(f"{dtype}, filtered", holding(numbers(dtype), compression=4, shuffle=True)) for dtype in PLAIN]
    cases += [Case(f"special values, {dtype}", holding(SPECIAL.astype(dtype))) for dtype in ("<f8", ">f8")]
    cases.append(Case("long double", holding(numbers(np.longdouble)), {"d": "skipped: dtype"}))
    cases.append(Case("complex long double", holding(numbers(np.clongdouble)), {"d": "skipped: dtype"}))
    for name, base, precision, offset in PRECISIONS:
        file_type, dtype = precise(base, precision, offset), base.dtype
        values = (numbers(dtype) // (4 if dtype.itemsize == 1 else 1)).astype(dtype)
        cases.append(Case(f"{name}, small", of_type(file_type, values), INLINED))
        large = (numbers(dtype, LARGE) // (4 if dtype.itemsize == 1 else 1)).astype(dtype)
        if large.nbytes > 64 << 10:
            needs = ("refmaker_hdf5_integer",)
            cases.append(Case(f"{name}, large", of_type(file_type, large), needs=needs))
            cases.append(
                Case(f"{name}, large, n-bit", of_type(file_type, large, nbit=True, chunks=(50, 30)),
                     needs=("refmaker_hdf5_integer", "refmaker_hdf5_nbit"))
            )  # fmt: skip
    cases += [
        Case("bfloat16", of_type(BFLOAT16, numbers("<f4")), INLINED),
        Case("a float of 3 bytes", of_type(FLOAT24, numbers("<f4")), INLINED),
        Case("a float of 3 bytes, n-bit", of_type(FLOAT24, numbers("<f4"), nbit=True), INLINED),
        Case("an integer of 3 bytes", of_type(sized_integer(3), numbers("<i4")), {"d": "skipped: dtype"}),
        Case("native complex", of_type(h5t.COMPLEX_IEEE_F32LE, numbers("<c8")), libver="latest"),
        Case(
            "native complex, big-endian", raw(h5t.COMPLEX_IEEE_F64BE, numbers(">c16").tobytes(), SHAPE), libver="latest"
        ),
    ]
    return cases


def sized_integer(size: int) -> h5t.TypeID:
    made = h5t.STD_I32LE.copy()
    made.set_precision(8 * size)
    made.set_size(size)
    return made


@pytest.mark.parametrize("case", number_cases(), ids=str)
def test_numbers_of_every_type_read_as_h5py_reads_them(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)


# -- enumerations ------------------------------------------------------------------------------------------------------
def test_enumerations_keep_values_and_names(tmp_path: Path) -> None:
    enum = h5py.enum_dtype({"calm": 0, "fresh breeze": 5, "storm": -1}, "i2")
    case = Case("", lambda file: file.create_dataset("d", data=[[0, 5], [-1, 0]], dtype=enum))
    attributes = array_of(check(case, tmp_path)).metadata.attributes
    meanings = dict(zip(attributes["flag_meanings"].split(), attributes["flag_values"], strict=True))
    assert meanings == {"calm": 0, "fresh_breeze": 5, "storm": -1}


def test_a_users_own_flags_are_not_overwritten_by_an_enumeration(tmp_path: Path) -> None:
    def make(file: h5py.File) -> None:
        created = file.create_dataset("d", data=[0, 1], dtype=h5py.enum_dtype({"a": 0, "b": 1}, "u1"))
        created.attrs["flag_meanings"] = "off on"

    attributes = array_of(check(Case("", make), tmp_path)).metadata.attributes
    assert attributes == {"flag_values": [0, 1], "flag_meanings": "off on"}


def precise_enumeration(file: h5py.File) -> None:
    kind = h5t.enum_create(precise(h5t.STD_I16LE, 12))
    kind.enum_insert(b"minus one", -1)
    raw(kind, b"\xff\x0f\1\0", (2,))(file)


ENUMERATIONS = [
    Case("boolean", holding(np.array([[True, False], [False, True]]))),
    Case("boolean, scalar", holding(True)),
    Case("boolean, never written", lambda file: file.create_dataset("d", (3,), "?")),
    Case("big-endian enumeration", holding([1, 2], dtype=h5py.enum_dtype({"x": 1, "y": 2}, ">i4"))),
    Case("enumeration of 64 bits", holding([1, 2**62], dtype=h5py.enum_dtype({"x": 1, "y": 2**62}, "u8"))),
    Case("enumeration of 12 bits", precise_enumeration, INLINED),
]


@pytest.mark.parametrize("case", ENUMERATIONS, ids=str)
def test_enumerations_read_as_h5py_reads_them(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)


# -- compounds ---------------------------------------------------------------------------------------------------------
def records(dtype: Any, count: int = 5) -> np.ndarray[Any, Any]:
    """Return structured values, numbers and strings."""
    values = np.zeros(count, dtype)
    for name in values.dtype.names:
        field = values.dtype[name]
        values[name] = [b"a", b"bcd", b"", b"ef", b"g"][:count] if field.kind == "S" else numbers(field, (count,))
    return values


PACKED = [("a", "<i4"), ("b", "<f8"), ("c", "u1")]
PADDED = np.dtype({"names": ["a", "b"], "formats": ["u1", "<f8"], "offsets": [3, 12], "itemsize": 24})
MIXED = [("little", "<i4"), ("big", ">i4"), ("bigger", ">f8"), ("text", "S5")]
SWAPPED = np.dtype({"names": ["second", "first"], "formats": ["<i4", "<i2"], "offsets": [0, 4], "itemsize": 6})


def junk_strings(strings: list[bytes], padding: int, *, utf8: bool = False) -> tuple[h5t.TypeID, bytes]:
    """Return (string type, the strings' bytes as they are)."""
    kind = h5t.C_S1.copy()
    kind.set_size(len(strings[0]))
    kind.set_strpad(padding)
    kind.set_cset(h5t.CSET_UTF8 if utf8 else h5t.CSET_ASCII)
    return kind, b"".join(strings)


def compound_with_junk(file: h5py.File) -> None:
    """A null-terminated string with junk behind its end, between numbers."""
    text, _ = junk_strings([b"abc\0def"], h5t.STR_NULLTERM)
    kind = h5t.create(h5t.COMPOUND, 16)
    kind.insert(b"n", 0, h5t.STD_I32LE)
    kind.insert(b"text", 4, text)
    kind.insert(b"m", 12, h5t.STD_I32BE)
    rows = [(7).to_bytes(4, "little") + b"abc\0def" + b"?" + n.to_bytes(4, "big") for n in range(4)]
    raw(kind, b"".join(rows), (4,))(file)


def large_compound_with_junk(file: h5py.File) -> None:
    text, _ = junk_strings([b"abc\0def"], h5t.STR_NULLTERM)
    kind = h5t.create(h5t.COMPOUND, 16)
    kind.insert(b"text", 4, text)
    kind.insert(b"n", 0, h5t.STD_I32LE)
    raw(kind, b"".join(n.to_bytes(4, "little") + b"abc\0def12345" for n in range(5000)), (5000,))(file)


COMPOUNDS = [
    Case("packed", holding(records(PACKED))),
    Case("packed, filtered", holding(records(PACKED), chunks=(2,), compression=1, shuffle=True)),
    Case("one member", holding(records([("only", ">f4")]))),
    Case("padded, small", holding(records(PADDED)), INLINED),
    Case("padded, large", holding(records(PADDED, 4000)), needs=("refmaker_hdf5_compound",)),
    Case(
        "padded, large, filtered",
        holding(records(PADDED, 4000), chunks=(300,), compression=1, shuffle=True),
        needs=("refmaker_hdf5_compound",),
    ),
    Case("mixed byte orders", holding(records(MIXED))),
    Case("scalar", holding(records(PACKED)[1])),
    Case("strings with junk behind their end", compound_with_junk, INLINED),
    Case(
        "many strings with junk, members out of order",
        large_compound_with_junk,
        needs=("refmaker_hdf5_compound", "refmaker_hdf5_string"),
    ),
    Case("never written", lambda file: file.create_dataset("d", (3,), PACKED)),
    Case("complex and boolean members", holding(records([("z", "<c16"), ("t", "?")]))),
    Case("names that are not ASCII", holding(records([("é ü", "<i2"), ("b c", "<i2")]))),
    Case("an enumeration inside", holding(records([("e", h5py.enum_dtype({"x": 1}, "i2"))]))),
    Case("nested", holding(np.zeros(2, [("a", "<i4"), ("in", [("b", "<f4")])])), {"d": "skipped: dtype"}),
    Case("an array inside", holding(np.zeros(2, [("a", "<i4"), ("row", "<f4", 3)])), {"d": "skipped: dtype"}),
    Case(
        "variable-length text inside",
        lambda file: file.create_dataset("d", 2, [("a", "<i4"), ("t", h5py.string_dtype())]),
        {"d": "skipped: dtype"},
    ),
    Case("long double inside", holding(np.zeros(2, [("a", np.longdouble)])), {"d": "skipped: dtype"}),
    Case(
        "a reference inside", lambda file: file.create_dataset("d", 2, [("r", h5py.ref_dtype)]), {"d": "skipped: dtype"}
    ),
]


@pytest.mark.parametrize("case", COMPOUNDS, ids=str)
def test_compounds_read_as_h5py_reads_them(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)


# -- arrays, bit fields, opaque bytes ----------------------------------------------------------------------------------
def array_type(base: h5t.TypeID, *shape: int) -> h5t.TypeID:
    return h5t.array_create(base, shape)


def precise_array(file: h5py.File) -> None:
    kind = array_type(precise(h5t.STD_I16LE, 12), 2)
    raw(kind, (np.arange(-8, 8, dtype="<i2") & 0xFFF).tobytes(), (8,))(file)


TRIPLES = np.arange(24, dtype=">i4").reshape(4, 2, 3)
OTHERS = [
    Case("array", raw(array_type(h5t.STD_I32BE, 2, 3), TRIPLES.tobytes(), (4,))),
    Case("array of arrays", raw(array_type(array_type(h5t.STD_I32BE, 3), 2), TRIPLES.tobytes(), (4,))),
    Case("array, never written", lambda file: file.create_dataset("d", (4,), np.dtype(("<f4", (2, 3))))),
    Case("array, chunked", lambda file: file.create_dataset("d", (4,), np.dtype(("<f4", (2, 3))), chunks=(3,))),
    Case("array of precise integers", precise_array, INLINED),
    Case("opaque", holding(np.array([b"abc", b"\0\1\2"], "V3"))),
    Case("opaque, tagged", raw(h5t.create(h5t.OPAQUE, 2), b"abcd", (2,))),
    Case(
        "dates as h5py keeps them", holding(np.array(["2020-01-01", "NaT"], "M8[s]").astype(h5py.opaque_dtype("M8[s]")))
    ),
    *(
        Case(
            f"bit field of {kind.get_size()} bytes, order {kind.get_order()}",
            raw(kind, bytes(range(16)), (16 // kind.get_size(),)),
        )
        for kind in (
            h5t.STD_B8LE,
            h5t.STD_B16LE,
            h5t.STD_B16BE,
            h5t.STD_B32LE,
            h5t.STD_B32BE,
            h5t.STD_B64LE,
            h5t.STD_B64BE,
        )
    ),
    Case("time", raw(h5t.UNIX_D32LE, bytes(8), (2,)), {"d": "skipped: dtype"}),
]


@pytest.mark.parametrize("case", OTHERS, ids=str)
def test_arrays_bit_fields_and_opaque_bytes_read_as_h5py_reads_them(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)


def test_array_datatypes_become_the_last_dimensions(tmp_path: Path) -> None:
    path = made(OTHERS[0], tmp_path)
    metadata = array_of(scan(str(path))).metadata
    assert metadata.shape == (4, 2, 3)
    assert len(set(metadata.dimension_names)) == 3


# -- what has no Zarr form ---------------------------------------------------------------------------------------------
RAGGED = h5py.vlen_dtype("<i4")


def test_what_cannot_be_expressed_is_refused_by_name_reason_and_way_out(tmp_path: Path) -> None:
    def make(file: h5py.File) -> None:
        file.create_dataset("ragged", (2,), RAGGED)[0] = [1, 2, 3]
        file["null"] = h5py.Empty("f4")
        file["fine"] = 1

    path = made(Case("", make), tmp_path)
    with pytest.raises(UnsupportedError, match="on_unsupported='skip'") as caught:
        scan(str(path))
    assert (caught.value.path, caught.value.code, caught.value.location) == ("null", "null-dataspace", f"file://{path}")
    references = scan(str(path), on_unsupported="skip")
    assert outcomes(references) == {
        "ragged": "skipped: ragged", "null": "skipped: null-dataspace", "fine": "referenced",
    }  # fmt: skip
    assert through_references(references).keys() == {"fine"}


def test_netcdf_user_types_read_as_netcdf4_reads_them(tmp_path: Path) -> None:
    path = tmp_path / "types.nc"
    point = np.dtype([("x", "<f4"), ("y", "<f8"), ("n", "<i2")], align=True)
    with netCDF4.Dataset(path, "w") as file:
        file.createDimension("k", 3)
        kind = file.createCompoundType(point, "point")
        values = np.array([(1.5, 2.5, 3), (4, 5, 6), (7, 8, 9)], point)
        file.createVariable("points", kind, ("k",))[:] = values
        ragged = file.createVLType("i4", "ragged_t")
        file.createVariable("ragged", ragged, ("k",))[0] = np.array([1, 2], "i4")
    references = scan(str(path), on_unsupported="skip")
    assert outcomes(references) == {"points": "inlined", "ragged": "skipped: ragged"}
    got = through_references(references)["points"]
    assert {name: got[name].tolist() for name in "xyn"} == {name: values[name].tolist() for name in "xyn"}
