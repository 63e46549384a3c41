"""Classic files packed by hand, rule by rule of the specification, so that wrong ones can be packed too."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

STREAMING = -1
DTYPES = dict(enumerate(["i1", "S1", ">i2", ">i4", ">f4", ">f8", "u1", ">u2", ">u4", ">i8", ">u8"], start=1))


@dataclass
class Att:
    """An attribute: values are bytes for type 2 (NC_CHAR), else a list of numbers."""

    name: str | bytes
    type: int
    values: Any


@dataclass
class Var:
    """A variable and all of its elements in C order; the fields after ``attributes`` override what is packed."""

    name: str | bytes
    dims: Sequence[int]
    type: int
    values: Any
    attributes: Sequence[Att] = field(default_factory=tuple)
    vsize: int | None = None
    begin: int | None = None


def pack(
    version: int = 1,
    dims: Sequence[tuple[str | bytes, int]] = (),
    attributes: Sequence[Att] = (),
    variables: Sequence[Var] = (),
    *,
    numrecs: int = 0,
    numrecs_field: int | None = None,
    last_padding: bool = True,
) -> bytes:
    """Return the bytes of a file; ``numrecs_field`` is what the header says of ``numrecs`` records."""
    count = "q" if version == 5 else "i"
    offset = "i" if version == 1 else "q"

    def number(form: str, value: int) -> bytes:
        return struct.pack(">" + form, value)

    def pad(data: bytes) -> bytes:
        return data + b"\0" * (-len(data) % 4)

    def name(text: str | bytes) -> bytes:
        raw = text.encode() if isinstance(text, str) else text
        return number(count, len(raw)) + pad(raw)

    def listed(tag: int, items: Sequence[bytes]) -> bytes:
        return number("i", tag if items else 0) + number(count, len(items)) + b"".join(items)

    def att(a: Att) -> bytes:
        raw = a.values if a.type == 2 else np.array(a.values, DTYPES.get(a.type, "u1")).tobytes()
        nelems = len(raw) // np.dtype(DTYPES.get(a.type, "u1")).itemsize
        return name(a.name) + number("i", a.type) + number(count, nelems) + pad(raw)

    lengths = [length for _, length in dims]
    records = [v for v in variables if v.dims and v.dims[0] < len(dims) and lengths[v.dims[0]] == 0]
    pieces: dict[int, list[bytes]] = {}
    for v in variables:
        raw = np.array(v.values, DTYPES.get(v.type, "u1")).tobytes()
        n = numrecs if v in records else 1
        pieces[id(v)] = [raw[i * len(raw) // n : (i + 1) * len(raw) // n] for i in range(n)]

    def data_and_begins(start: int) -> tuple[bytes, dict[int, int]]:
        body, begins = b"", {}
        for v in variables:
            if v not in records:
                begins[id(v)] = start + len(body)
                body += pad(pieces[id(v)][0])
        widths = [(v, len(pieces[id(v)][0]) if pieces[id(v)] else 0) for v in records]
        at = start + len(body)
        for v, width in widths:
            begins[id(v)] = at
            at += -(-width // 4) * 4
        for i in range(numrecs):
            for v in records:
                piece = pieces[id(v)][i]
                body += piece if len(records) == 1 else pad(piece)
        return body, begins

    def head(begins: dict[int, int]) -> bytes:
        packed = []
        for v in variables:
            size = len(pad(pieces[id(v)][0])) if pieces[id(v)] else 0
            packed.append(
                name(v.name)
                + number(count, len(v.dims))
                + b"".join(number(count, d) for d in v.dims)
                + listed(12, [att(a) for a in v.attributes])
                + number("i", v.type)
                + number(count, size if v.vsize is None else v.vsize)
                + number(offset, begins.get(id(v), 0) if v.begin is None else v.begin)
            )
        return (
            b"CDF"
            + bytes([version])
            + number(count, numrecs if numrecs_field is None else numrecs_field)
            + listed(10, [name(n) + number(count, length) for n, length in dims])
            + listed(12, [att(a) for a in attributes])
            + listed(11, packed)
        )

    body, begins = data_and_begins(len(head({})))
    whole = head(begins) + body
    if not last_padding and records:
        width = len(pieces[id(records[-1])][0])
        whole = whole[: len(whole) - (-width % 4 if len(records) > 1 else 0)]
    return whole


def samples() -> dict[str, bytes]:
    """Return the classic files worth keeping as samples, by name; the same bytes every time."""
    time, x, y, text = ("time", 0), ("x", 5), ("y", 3), ("text", 7)
    rng = np.random.default_rng(3)

    def ints(*shape: int, low: int = 0, high: int = 100) -> np.ndarray[Any, Any]:
        return rng.integers(low, high, shape)

    kinds = [
        Att("title", 2, b"records of several types"),
        Att("latin", 2, "Températures à l'équateur".encode("latin-1")),
        Att("utf8", 2, "Temperaturen in °C".encode()),
        Att("closed", 2, b"with a NUL\0\0"),
        Att("empty", 2, b""),
        Att("byte", 1, [-1]),
        Att("shorts", 3, [1, -2, 3]),
        Att("int", 4, [2_000_000_000]),
        Att("float", 5, [0.1]),
        Att("doubles", 6, [0.1, np.nan, np.inf, -0.0]),
        Att("none", 6, []),
    ]
    several = [
        Var("time", [0], 6, ints(4), [Att("units", 2, b"days since 2000-01-01"), Att("calendar", 2, b"standard")]),
        Var("x", [1], 5, ints(5)),
        Var("byte", [0, 1], 1, ints(4, 5), [Att("_FillValue", 1, [7])]),
        Var("char", [0, 3], 2, np.frombuffer(b"one\0\0\0\0two\0\0\0\0three\0\0fourfou", "S1").reshape(4, 7)),
        Var("short", [0, 2], 3, ints(4, 3), [Att("scale_factor", 6, [0.5]), Att("_FillValue", 3, [-1])]),
        Var("temperature", [0, 2, 1], 5, ints(4, 3, 5), [Att("_FillValue", 5, [9.0]), Att("missing_value", 5, [8.0])]),
        Var("wrong_fill", [2], 4, ints(3), [Att("_FillValue", 5, [1.0])]),
        Var("default_fill", [2], 5, [1.0, 9.969209968386869e36, 3.0]),
        Var("scalar", [], 4, [42]),
        Var("letter", [], 2, [b"q"]),
    ]
    every = [
        Var(f"type{code}", [0, 1] if code % 2 else [1], code, ints(*((2, 5) if code % 2 else (5,))).astype("S1"))
        if code == 2
        else Var(f"type{code}", [0, 1] if code % 2 else [1], code, ints(*((2, 5) if code % 2 else (5,))))
        for code in range(1, 12)
    ]
    wide = [Att(f"att{code}", code, [1, 2] if code % 2 else [3]) for code in range(1, 12) if code != 2]
    lone = [Var("x", [1], 5, ints(5)), Var("short", [0, 2], 3, ints(5, 3))]
    two = [Var("a", [0], 3, ints(7)), Var("b", [0, 2], 1, ints(7, 3))]
    return {
        "netcdf3_records.nc": pack(1, [time, x, y, text], kinds, several, numrecs=4),
        "netcdf3_lone_record.nc": pack(1, [time, x, y], (), lone, numrecs=5),
        "netcdf3_offset64.nc": pack(2, [time, x, y, text], kinds, several, numrecs=4),
        "netcdf3_data64.nc": pack(5, [time, x], wide, every, numrecs=2),
        "netcdf3_streaming.nc": pack(1, [time, x, y], (), two, numrecs=7, numrecs_field=STREAMING),
        "netcdf3_no_records.nc": pack(1, [time, x, y], (), [two[0], lone[0]], numrecs=0),
        "netcdf3_vsize_overflow.nc": pack(1, [time, x, y], (), [Var("a", [1], 4, ints(5), vsize=-1)]),
    }
