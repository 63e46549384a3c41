"""Attributes: the same shapes and values as JSON, or dropped with a word in the report; the bookkeeping hidden."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import netCDF4
import numpy as np
import pytest
from h5py import h5a, h5s, h5t

from refmaker import ReferenceSet, scan
from tests.native import json_of
from tests.scanners.hdf5.comparing import array_of, assert_reads_as_h5py, stock_store, through_references

Writer = Callable[[Any], object]


class Kind(NamedTuple):
    """An attribute ``a`` of some kind and its JSON; DROPPED where there is none."""

    name: str
    write: Writer
    json: Any

    def __str__(self) -> str:
        return self.name


DROPPED = "dropped, and the report says so"


def value(of: Any, dtype: Any = None) -> Writer:
    """Return what writes an attribute through h5py."""
    return lambda owner: owner.attrs.create("a", of, dtype=dtype)


def low_level(kind: h5t.TypeID, data: bytes, shape: tuple[int, ...] | None = ()) -> Writer:
    """Return what writes an attribute's bytes as they are; shape None: a null dataspace."""

    def write(owner: Any) -> None:
        space = h5s.create(h5s.NULL if shape is None else h5s.SCALAR) if not shape else h5s.create_simple(shape)
        made = h5a.create(owner.id, b"a", kind, space)
        if data:
            made.write(np.frombuffer(data, np.uint8).copy(), mtype=kind)

    return write


def string(data: bytes, padding: int = h5t.STR_NULLTERM, *, utf8: bool = False) -> Writer:
    """Return what writes a fixed-length string."""
    kind = h5t.C_S1.copy()
    kind.set_size(len(data))
    kind.set_strpad(padding)
    kind.set_cset(h5t.CSET_UTF8 if utf8 else h5t.CSET_ASCII)
    return low_level(kind, data)


def references(*paths: str) -> Writer:
    return lambda owner: owner.attrs.create(
        "a", [owner.file[path].ref for path in paths], (len(paths),), h5py.ref_dtype
    )


def ragged(owner: Any) -> None:
    rows = np.array([np.array([1, 2], "i4"), np.array([3], "i4")], object)
    owner.attrs.create("a", rows, dtype=h5py.vlen_dtype("i4"))


def reference_rows(owner: Any) -> None:
    """Rows of references under another name than the one that dimension scales use."""
    rows = np.empty(2, object)
    rows[0] = np.array([owner.file["group"].ref], h5py.ref_dtype)
    rows[1] = np.array([owner.file["group"].ref, owner.file["d"].ref], h5py.ref_dtype)
    owner.attrs.create("a", rows, dtype=h5py.vlen_dtype(h5py.ref_dtype))


POINT = np.array((1, 2.5, b"ab"), [("n", ">i4"), ("x", "<f8"), ("s", "S3")])
TEXT_POINT = np.array([("ø", 1)], [("t", h5py.string_dtype()), ("n", "u1")])
INNER = np.array([((1, 2.5), [3, 4])], [("in", [("a", "u1"), ("b", "<f4")]), ("row", "<i2", 2)])

KINDS = [
    Kind("text", value("naïve ☃"), "naïve ☃"),
    Kind("empty text", value(""), ""),
    Kind("bytes", value(np.bytes_(b"abc")), "abc"),
    Kind("null-terminated, with junk", string(b"abc\0junk"), "abc"),
    Kind("null-padded", string(b"abc\0\0", h5t.STR_NULLPAD), "abc"),
    Kind("space-padded", string(b"abc  ", h5t.STR_SPACEPAD), "abc"),
    Kind("UTF-8 bytes declared ASCII", string("å".encode()), "å"),
    Kind("Latin-1 bytes", string(b"\xc5ngstr\xf6m"), "Ångström"),
    Kind("Latin-1 bytes declared UTF-8", string(b"\xc5ngstr\xf6m", utf8=True), "Ångström"),
    Kind("Latin-1 bytes of variable length", value(b"\xc5ngstr\xf6m", h5py.string_dtype()), "Ångström"),
    Kind("several texts", value(["x", "", "zzø"], h5py.string_dtype()), ["x", "", "zzø"]),
    Kind("one text in an array", value(["x"], h5py.string_dtype()), "x"),
    Kind("fixed texts", value(np.array([b"a", b"bcd"])), ["a", "bcd"]),
    Kind("texts of two dimensions", value([["a", "b"], ["c", "d"]], h5py.string_dtype()), [["a", "b"], ["c", "d"]]),
    Kind("integer", value(np.int16(-7)), -7),
    Kind("unsigned 64 bits", value(np.uint64(2**64 - 1)), 2**64 - 1),
    Kind("big-endian float", value(np.array(2.5, ">f4")), 2.5),
    Kind("float of 32 bits", value(np.float32(0.1)), float(np.float32(0.1))),
    Kind("half", value(np.float16(0.5)), 0.5),
    Kind("NaN", value(math.nan), math.nan),
    Kind("infinite", value([math.inf, -math.inf, 1.5]), [math.inf, -math.inf, 1.5]),
    Kind("array", value(np.array([1, 2, 3], ">i4")), [1, 2, 3]),
    Kind("array of one", value(np.array([7])), 7),
    Kind("array of one, two dimensions", value(np.array([[7]])), 7),
    Kind("matrix", value(np.arange(6).reshape(2, 3)), [[0, 1, 2], [3, 4, 5]]),
    Kind("three dimensions", value(np.arange(8).reshape(2, 2, 2)), [[[0, 1], [2, 3]], [[4, 5], [6, 7]]]),
    Kind("array datatype", low_level(h5t.array_create(h5t.STD_I8LE, (3,)), b"\1\2\3"), [1, 2, 3]),
    Kind("array of arrays", low_level(h5t.array_create(h5t.STD_I8LE, (2,)), b"\1\2\3\4", (2,)), [[1, 2], [3, 4]]),
    Kind("of no length", value(np.empty(0, "i4")), []),
    Kind("empty", value(h5py.Empty("f4")), []),
    Kind("empty text space", value(h5py.Empty("S4")), ""),
    Kind("boolean", value(np.True_), True),
    Kind("booleans", value(np.array([True, False])), [True, False]),
    Kind("enumeration", value(np.array([0, 5]), h5py.enum_dtype({"a": 0, "b": 5}, "i2")), [0, 5]),
    Kind("complex", value(1.5 - 2j), [1.5, -2.0]),
    Kind("complex array", value(np.array([1j, 2 + 0j])), [[0.0, 1.0], [2.0, 0.0]]),
    Kind("compound", value(POINT), {"n": 1, "x": 2.5, "s": "ab"}),
    Kind("compounds", value(np.array([POINT, POINT])), [{"n": 1, "x": 2.5, "s": "ab"}] * 2),
    Kind("compound with text", value(TEXT_POINT), {"t": "ø", "n": 1}),
    Kind("compound in compound", value(INNER), {"in": {"a": 1, "b": 2.5}, "row": [3, 4]}),
    Kind("reference", references("group"), "/group"),
    Kind("references", references("group", "d"), ["/group", "/d"]),
    Kind("rows of references", reference_rows, [["/group"], ["/group", "/d"]]),
    Kind("ragged", ragged, [[1, 2], [3]]),
    Kind("opaque", value(np.void(b"\0\1\2")), DROPPED),
    Kind("long double that is a double", value(np.longdouble(2.5)), 2.5),
    Kind("long double", value(np.nextafter(np.longdouble(1), np.longdouble(2))), DROPPED),
    Kind("bit field", low_level(h5t.STD_B8LE, b"\x81"), 0x81),
    Kind("time", low_level(h5t.UNIX_D32LE, bytes(4)), DROPPED),
    Kind("large", value(np.arange(5000, dtype="i4")), list(range(5000))),
]  # fmt: skip


def owners(path: Path, kind: Kind, libver: str) -> None:
    """Write the attribute to a group, the root and a dataset."""
    with h5py.File(path, "w", libver=(libver, "latest")) as file:
        group, dataset = file.create_group("group"), file.create_dataset("d", data=np.arange(3))
        for owner in (file, group, dataset):
            owner.attrs["before"] = 1
            kind.write(owner)
            owner.attrs["later"] = 2


@pytest.mark.parametrize("libver", ["earliest", "latest"])
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_an_attribute_keeps_its_value_or_is_dropped_with_a_word(kind: Kind, libver: str, tmp_path: Path) -> None:
    path = tmp_path / "attributes.h5"
    owners(path, kind, "latest" if kind.name == "large" else libver)
    result = scan(str(path))
    for owner, where in ((result.root, "/"), (result.root.groups["group"], "group"), (array_of(result).metadata, "d")):
        attributes = dict(owner.attributes)
        assert attributes.pop("before") == 1
        assert attributes.pop("later") == 2
        told = [note for note in result.report.notes if note.path == where and "'a'" in note.sentence]
        if kind.json is DROPPED:
            assert attributes == {}
            assert [note.code for note in told] == ["attribute"]
        else:
            assert told == []
            np.testing.assert_equal(attributes, {"a": kind.json})
            assert type(attributes["a"]) is type(kind.json)
    assert_reads_as_h5py(result, path)
    written = json.loads(path.with_suffix(".json").read_bytes(), parse_constant=pytest.fail)
    assert "a" in json.loads(written["refs"]["d/.zattrs"]) or kind.json is DROPPED


def test_many_attributes_and_odd_names_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "many.h5"
    names = [f"number {i}" for i in range(200)] + ["é ☃", "a/b", ".", "with\nnewline", "_ARRAY", "CLASS_"]
    with h5py.File(path, "w", libver="latest", track_order=True) as file:
        for number, name in enumerate(names):
            file.attrs[name] = number
    assert scan(str(path)).root.attributes == {name: number for number, name in enumerate(names)}


def test_an_attribute_that_zarr_needs_for_itself_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "reserved.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("d", data=[1, 2]).attrs["_ARRAY_DIMENSIONS"] = ["mine"]
    result = scan(str(path))
    assert array_of(result).metadata.attributes == {}
    assert ["_ARRAY_DIMENSIONS" in note.sentence for note in result.report.notes] == [True]


# -- bookkeeping -------------------------------------------------------------------------------------------------------
def test_the_bookkeeping_of_dimension_scales_is_hidden(tmp_path: Path) -> None:
    path = tmp_path / "scales.h5"
    with h5py.File(path, "w") as file:
        x, d = file.create_dataset("x", data=np.arange(3)), file.create_dataset("d", data=np.zeros(3))
        x.make_scale("the x axis")
        d.dims[0].attach_scale(x)
        x.attrs["units"] = d.attrs["units"] = "m"
    result = scan(str(path))
    assert [array_of(result, name).metadata.attributes for name in "xd"] == [{"units": "m"}] * 2


OWN = {
    "CLASS": "economy", "NAME": "Ada", "DIMENSION_LIST": [1, 2], "REFERENCE_LIST": "books", "_Netcdf4Dimid": "text",
    "_Netcdf4Coordinates": 1.5, "_nc3_strict": "yes", "DIMENSION_LABELS": ["time", ""],
}  # fmt: skip


def test_a_users_own_attributes_of_such_names_are_shown(tmp_path: Path) -> None:
    path = tmp_path / "own.h5"
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset("d", data=np.arange(3))
        for name, content in OWN.items():
            dataset.attrs[name] = content
        file.create_group("g").attrs["_NCProperties"] = "mine"
        file.attrs["_NCProperties"] = "version=2"
    result = scan(str(path))
    assert array_of(result).metadata.attributes == OWN
    assert result.root.groups["g"].attributes == {"_NCProperties": "mine"}
    assert result.root.attributes == {}


def netcdf_kinds(file: netCDF4.Dataset) -> None:
    file.createDimension("k", 2)
    variable = file.createVariable("v", "f4", ("k",), fill_value=-1)
    for owner in (file, variable, file.createGroup("g")):
        owner.setncatts(
            {
                "text": "ø", "number": np.int16(3), "numbers": np.array([1.5, 2.5], "f4"), "one": np.array([9]),
                "empty": "", "large": np.arange(3, dtype="i8"), "char": b"x",
            }
        )  # fmt: skip
        owner.setncattr_string("string", "variable length")
        owner.setncattr_string("strings", ["a", "b c"])


@pytest.mark.parametrize("data_model", ["NETCDF4", "NETCDF4_CLASSIC"])
def test_attributes_are_what_netcdf4_python_reports(data_model: str, tmp_path: Path) -> None:
    path = tmp_path / "kinds.nc"
    with netCDF4.Dataset(path, "w", format=data_model) as file:
        if data_model == "NETCDF4":
            netcdf_kinds(file)
        else:
            file.createDimension("k", 2)
            file.createVariable("v", "f4", ("k",)).setncatts({"text": "ø", "numbers": np.array([1.5, 2.5])})
            file.title = "classic"
    result = scan(str(path))
    with netCDF4.Dataset(path) as file:
        pairs = [(file, result.root), (file["v"], array_of(result, "v").metadata)]
        pairs += [(group, result.root.groups[name]) for name, group in file.groups.items()]
        for native, ours in pairs:
            assert ours.attributes == {name: json_of(native.getncattr(name)) for name in native.ncattrs()}


def test_attributes_that_the_library_cannot_read_lose_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "broken.h5"
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset("d", data=np.arange(3))
        dataset.attrs["fine"] = 1
        dataset.attrs["broken"] = "text of variable length"
        file.flush()
    data = bytearray(path.read_bytes())
    heap = data.index(b"GCOL")
    data[heap : heap + 4] = b"LOST"
    path.write_bytes(data)
    result = scan(str(path))
    assert array_of(result).metadata.attributes == {"fine": 1}
    assert [(note.path, note.code) for note in result.report.notes] == [("d", "attribute")]
    assert through_references(result)["d"].tolist() == [0, 1, 2]


def test_readers_see_the_attributes(tmp_path: Path) -> None:
    import zarr

    path = tmp_path / "seen.h5"
    owners(path, Kind("text", value("naïve ☃"), "naïve ☃"), "earliest")
    result: ReferenceSet = scan(str(path))
    assert_reads_as_h5py(result, path)
    root = zarr.open_group(stock_store(path.with_suffix(".json")), mode="r", zarr_format=2)
    for node in (root, root["group"], root["d"]):
        assert node.attrs["a"] == "naïve ☃"
