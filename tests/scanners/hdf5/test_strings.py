"""Text: strings of fixed length in every padding and character set, strings of variable length, references as paths."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import netCDF4
import numpy as np
import pytest
from h5py import h5d, h5s, h5t

from refmaker import scan
from tests.scanners.hdf5.comparing import Case, array_of, assert_same_values, check, made, through_references

INLINED = {"d": "inlined"}
REFERENCED = {"d": "referenced"}
PADDINGS = {"null-term": h5t.STR_NULLTERM, "null-pad": h5t.STR_NULLPAD, "space-pad": h5t.STR_SPACEPAD}
STORED = [b"abcdef\0", b"abc\0\0\0\0", b"abc\0xyz", b"abc    ", b"  a b  ", b"\0\0\0\0\0\0\0", b"       ", b"\0bcdefg"]
"""Strings of 7 bytes as they lie in the file: full, short, with junk, padded with spaces, empty."""


def fixed(
    strings: list[bytes], padding: int, *, utf8: bool = False, chunks: bool = False
) -> Callable[[h5py.File], object]:
    """Return a maker of fixed-length strings whose bytes are exactly these."""

    def make(file: h5py.File) -> None:
        kind = h5t.C_S1.copy()
        kind.set_size(len(strings[0]))
        kind.set_strpad(padding)
        kind.set_cset(h5t.CSET_UTF8 if utf8 else h5t.CSET_ASCII)
        properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        if chunks:
            properties.set_chunk((3,))
            properties.set_deflate(4)
        created = h5d.create(file.id, b"d", kind, h5s.create_simple((len(strings),)), properties)
        created.write(h5s.ALL, h5s.ALL, np.frombuffer(b"".join(strings), np.uint8).copy(), mtype=kind)

    return make


FIXED = [
    Case("null-term", fixed(STORED, h5t.STR_NULLTERM), INLINED),
    Case("null-pad", fixed([s for s in STORED if s != b"abc\0xyz"], h5t.STR_NULLPAD)),
    Case("null-pad with NULs inside", fixed(STORED, h5t.STR_NULLPAD)),
    Case("space-pad", fixed(STORED, h5t.STR_SPACEPAD), INLINED),
    Case("null-term, nothing behind the end", fixed([b"abc\0\0", b"abcd\0", b"\0\0\0\0\0"], h5t.STR_NULLTERM)),
    Case("null-term, no room for a NUL", fixed([b"abc", b"de\0"], h5t.STR_NULLTERM)),
    Case("space-pad without spaces", fixed([b"abc", b"def"], h5t.STR_SPACEPAD)),
    Case("null-term, filtered", fixed(STORED, h5t.STR_NULLTERM, chunks=True), INLINED),
    *(
        Case(f"many, {name}", fixed(STORED * 1500, padding), needs=("refmaker_hdf5_string",))
        for name, padding in PADDINGS.items()
        if name != "null-pad"
    ),
    *(
        Case(f"many, {name}, filtered", fixed(STORED * 1500, padding, chunks=True), needs=("refmaker_hdf5_string",))
        for name, padding in PADDINGS.items()
        if name != "null-pad"
    ),
    *(
        Case(f"UTF-8, {name}", fixed(["å".encode() + b"b\0\0", "日".encode() + b"\0\0"], padding, utf8=True))
        for name, padding in PADDINGS.items()
        if name != "space-pad"
    ),
    *(
        Case(f"of one byte, {name}", fixed([b"a", b"\0", b" "], p), INLINED if name == "space-pad" else REFERENCED)
        for name, p in PADDINGS.items()
    ),
    Case("Latin-1 bytes", fixed([b"\xe5bc", b"\xff\0\0"], h5t.STR_NULLPAD)),
    Case("scalar", lambda file: file.create_dataset("d", data=np.bytes_(b"abc"))),
    Case("never written", lambda file: file.create_dataset("d", (3,), "S5")),
    Case(
        "never written, with a fill value", lambda file: file.create_dataset("d", (3,), "S5", fillvalue=b"-"), INLINED
    ),
    Case("of two dimensions", lambda file: file.create_dataset("d", data=np.array([[b"a", b"bc"], [b"", b"d"]]))),
]


@pytest.mark.parametrize("case", FIXED, ids=str)
def test_fixed_strings_read_as_h5py_reads_them(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)


def test_the_character_set_is_kept(tmp_path: Path) -> None:
    path = made(Case("", fixed([b"abc"], h5t.STR_NULLPAD, utf8=True)), tmp_path)
    assert array_of(scan(str(path))).metadata.attributes == {"_Encoding": "utf-8"}
    path = made(Case("", fixed([b"abc"], h5t.STR_NULLPAD)), tmp_path)
    assert array_of(scan(str(path))).metadata.attributes == {}


# -- of variable length ------------------------------------------------------------------------------------------------
ASCII = h5py.string_dtype("ascii")
TEXT = h5py.string_dtype()


def vlen(values: Any, dtype: Any = TEXT, **options: Any) -> Callable[[h5py.File], object]:
    return lambda file: file.create_dataset("d", data=values, dtype=dtype, **options)


def some_written(file: h5py.File) -> None:
    file.create_dataset("d", (2, 3), TEXT, chunks=(1, 2))[1, 1] = "only this"


VARIABLE = [
    Case("UTF-8", vlen(["a", "", "ø日本", "x" * 300]), INLINED),
    Case("ASCII", vlen([b"a", b"", b"bc"], ASCII), INLINED),
    Case("scalar", vlen("one ø"), INLINED),
    Case("empty scalar", vlen(""), INLINED),
    Case("of two dimensions", vlen([["a", "b", "c"], ["d", "e", "f"]]), INLINED),
    Case(
        "of three dimensions, filtered", vlen(np.full((2, 3, 4), "w", object), chunks=(1, 2, 3), compression=4), INLINED
    ),
    Case("of no length", lambda file: file.create_dataset("d", (0,), TEXT), INLINED),
    Case("never written", lambda file: file.create_dataset("d", (3,), TEXT), INLINED),
    Case("never written, scalar", lambda file: file.create_dataset("d", (), TEXT), INLINED),
    Case("some written", some_written, INLINED),
    Case("bytes that are not UTF-8", vlen([b"\xff\xfe", b"ok", b""], ASCII), INLINED),
    Case("Latin-1 declared UTF-8", vlen([b"\xe5", b"ok"]), INLINED),
    Case("text that could be JSON or base64", vlen(["{}", "base64:AAAA", '"']), INLINED),
    Case("with a fill value", lambda file: file.create_dataset("d", (2,), TEXT, fillvalue="none"), INLINED),
]


@pytest.mark.parametrize("case", VARIABLE, ids=str)
def test_strings_of_variable_length_read_as_h5py_reads_them(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)


def test_only_bytes_that_are_no_text_are_kept_as_bytes(tmp_path: Path) -> None:
    ids = []
    for values in ([b"a", "å".encode()], [b"a", b"\xe5"]):
        path = made(Case("", vlen(values)), tmp_path)
        ids.append([codec.id for codec in array_of(scan(str(path))).metadata.codecs])
    assert ids == [["vlen-utf8"], ["vlen-bytes"]]


def test_netcdf_strings_read_as_netcdf4_reads_them(tmp_path: Path) -> None:
    path = tmp_path / "strings.nc"
    with netCDF4.Dataset(path, "w") as file:
        file.createDimension("k", 3)
        file.createDimension("n", 4)
        file.createVariable("words", str, ("k",))[:] = np.array(["a", "", "øy"], object)
        file.createVariable("unlike", str, ("k",), fill_value="?")[1] = "set"
        file.createVariable("scalar", str, ())[...] = "alone"
        file.createVariable("unset", str, ("k",))
        file.createVariable("letters", "S1", ("k", "n"))[:] = netCDF4.stringtochar(np.array(["ab", "", "wxyz"], "S4"))
    got = through_references(scan(str(path)))
    with netCDF4.Dataset(path) as file:
        file.set_auto_mask(False)
        file.set_auto_chartostring(False)
        for name, variable in file.variables.items():
            values = variable[...]
            want = np.array(values, object) if isinstance(values, str) else values
            assert_same_values(got[name], want, name)


# -- references to objects ---------------------------------------------------------------------------------------------
def references_to_objects(file: h5py.File) -> None:
    file.create_group("group/inner")
    target = file.create_dataset("group/target", data=np.arange(6))
    created = file.create_dataset("objects", (2, 2), h5py.ref_dtype)
    created[0, 0], created[0, 1], created[1, 0] = file.ref, file["group/inner"].ref, target.ref
    file.create_dataset("one", data=target.ref, dtype=h5py.ref_dtype)
    file.create_dataset("none", (3,), h5py.ref_dtype)
    regions = file.create_dataset("regions", (2,), h5py.regionref_dtype)
    regions[0] = target.regionref[1:3]


def test_references_are_shown_as_paths(tmp_path: Path) -> None:
    becomes = dict.fromkeys(("none", "objects", "one", "regions"), "inlined") | {"group/target": "referenced"}
    got = through_references(check(Case("", references_to_objects, becomes, notes=("region",)), tmp_path))
    assert got["objects"].tolist() == [["/", "/group/inner"], ["/group/target", ""]]
    assert got["one"] == "/group/target"


def test_a_reference_to_something_unlinked_is_an_empty_path(tmp_path: Path) -> None:
    def make(file: h5py.File) -> None:
        file["gone"] = 1
        file.create_dataset("d", data=file["gone"].ref, dtype=h5py.ref_dtype)
        del file["gone"]

    assert through_references(check(Case("", make, INLINED), tmp_path))["d"] == ""
