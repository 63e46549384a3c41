"""How inputs are broken: a few bytes, whole regions, numbers that overflow, a cut; of JSON and Parquet also values."""

import gzip
import io
import json
import struct
from collections.abc import Callable
from copy import deepcopy
from random import Random
from typing import Any

import numcodecs
import pyarrow as pa
import pyarrow.parquet as pq

__all__ = ["mutated", "mutated_bytes"]

NUMBERS = (0, 1, 2, 7, 8, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 40, (1 << 63) - 1)
"""Lengths and offsets that parsers trip over."""
HEAD = 2048
"""Where structures are densest."""


def _place(rng: Random, size: int) -> int:
    return rng.randrange(min(size, HEAD) if rng.random() < 0.5 else size)


def _byte(data: bytearray, rng: Random) -> None:
    place = _place(rng, len(data))
    data[place] = rng.choice(
        (0, 0xFF, rng.randrange(256), data[place] ^ (1 << rng.randrange(8)), (data[place] + 1) & 0xFF)
    )


def _number(data: bytearray, rng: Random) -> None:
    place = _place(rng, len(data))
    kind = rng.choice("BHIQ")
    number = rng.choice((*NUMBERS, len(data), len(data) - 1, place)) & ((1 << 8 * struct.calcsize(kind)) - 1)
    packed = struct.pack(rng.choice("<>") + kind, number)
    data[place : place + len(packed)] = packed


def _copied(data: bytearray, rng: Random) -> None:
    length = rng.choice((1, 4, 8, 64, 500))
    start, place = _place(rng, len(data)), _place(rng, len(data))
    piece = data[start : start + length]
    data[place : place + len(piece)] = piece


def _removed(data: bytearray, rng: Random) -> None:
    place = _place(rng, len(data))
    del data[place : place + rng.choice((1, 2, 8, 100))]


def _inserted(data: bytearray, rng: Random) -> None:
    place = _place(rng, len(data))
    data[place:place] = rng.randbytes(rng.choice((1, 2, 8, 100)))


def _cut(data: bytearray, rng: Random) -> None:
    del data[rng.randrange(len(data)) :]


STEPS = (_byte, _byte, _byte, _byte, _number, _number, _number, _copied, _removed, _inserted, _cut)


def mutated(data: bytes, rng: Random) -> bytes:
    """Return a file with something broken in it: its bytes, or what they say where that is JSON or Parquet."""
    way = next((way for magic, way in CONTENTS.items() if data.startswith(magic)), None)
    if way is not None and rng.random() < 0.7:
        try:
            return way(data, rng)
        except (ValueError, OSError, EOFError, RuntimeError, RecursionError, pa.ArrowException):
            pass  # it was broken before
    return mutated_bytes(data, rng)


def mutated_bytes(data: bytes, rng: Random) -> bytes:
    """Return some bytes with something broken in them."""
    broken = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4, 16))):
        if broken:
            rng.choice(STEPS)(broken, rng)
    return bytes(broken)


HOSTILE: tuple[Any, ...] = (
    *(None, True, -1, 0, 1, 2**31, 2**63, 2**64, 10**30, 0.5, 1e400, "", "0", "x", "..", "/", "a/b", "\x00", "é" * 9),
    *("base64:", "base64:!", "{{a}}", "{{", "|O", "|V0", "<f16", "<M8[ns]", "file:///etc/hostname", "]" * 50),
    *([], {}, [[]], [0], [-1, -1], [2**40] * 3, [""], {"id": "pickle"}, {"id": "zlib"}, {"": ""}, [[[[[]]]]]),
    *(["file:///nowhere"], ["file:///nowhere", 0, 2**62], [None, 0, 1], ["", -1, 5]),
)


def _json(data: bytes, rng: Random) -> bytes:
    """Return a JSON document with some values replaced, moved or removed, also inside texts that are documents."""
    content = json.loads(data)
    for _ in range(rng.choice((1, 1, 2, 4))):
        _break(content, rng)
    return json.dumps(content).encode()


def _break(node: Any, rng: Random) -> None:
    while True:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        if not keys:
            return
        key = rng.choice(keys)
        inner = node[key]
        if isinstance(inner, str) and inner.startswith("{") and rng.random() < 0.9:
            try:
                document = json.loads(inner)
            except ValueError:
                document = None
            if document:
                _break(document, rng)
                node[key] = json.dumps(document)
                return
        if isinstance(inner, dict | list) and inner and rng.random() < 0.8:
            node = inner
            continue
        step = rng.randrange(4)
        if step == 0:
            del node[key]
        elif step == 1:
            node[key] = deepcopy(node[rng.choice(keys)])
        elif step == 2 and isinstance(inner, int):
            node[key] = rng.choice((*NUMBERS, inner + 1, inner - 1, -inner))
        else:
            node[key] = deepcopy(rng.choice(HOSTILE))  # it may be broken further
        return


def _gzip(data: bytes, rng: Random) -> bytes:
    return gzip.compress(mutated(gzip.decompress(data), rng), 1)


def _zstd(data: bytes, rng: Random) -> bytes:
    inner = pa.CompressedInputStream(io.BytesIO(data), "zstd").read()
    return bytes(numcodecs.Zstd(level=1).encode(mutated(inner, rng)))


COLUMNS: tuple[tuple[str, tuple[Any, ...]], ...] = (
    ("path", (None, "", "x", "../x", "s3://a/b", "file:///etc/hostname", "http://[::1", "\x00", "%00", "é")),
    ("offset", (None, 0, 1, -1, 1 << 31, 1 << 62, (1 << 63) - 1, -(1 << 63))),
    ("size", (None, 0, 1, -1, 1 << 31, 1 << 62, (1 << 63) - 1, -(1 << 63))),
    ("raw", (None, b"", b"x", b"base64:", b"base64:!", b"base64:AA==", b"\xff" * 9, b"{")),
)
KINDS: tuple[Any, ...] = (
    *(pa.null(), pa.int8(), pa.uint64(), pa.float32(), pa.float64(), pa.bool_(), pa.string(), pa.large_binary()),
    *(pa.timestamp("ns"), pa.decimal128(20, 2), pa.dictionary(pa.int8(), pa.string()), pa.date32()),
)


def _parquet(data: bytes, rng: Random) -> bytes:
    """Return a Parquet file with other values, types, names, rows or pages than it had."""
    table = pq.read_table(io.BytesIO(data))
    for _ in range(rng.choice((1, 1, 2, 4))):
        number = rng.randrange(max(table.num_columns, 1))
        name = table.column_names[number] if table.num_columns else ""
        step = rng.randrange(7)
        if step == 0:
            table = table.slice(rng.randrange(table.num_rows + 1), rng.choice((0, 1, table.num_rows)))
        elif step == 1:
            table = pa.concat_tables([table, table.slice(0, rng.randrange(table.num_rows + 1))])
        elif not name:
            continue
        elif step == 2:
            table = table.remove_column(number)
        elif step == 3:
            table = table.rename_columns([rng.choice(("path", "", "x", one)) for one in table.column_names])
        elif step == 4:
            column = rng.choice((table.column(number), pa.chunked_array([pa.nulls(table.num_rows)])))
            table = table.set_column(number, name, column.cast(rng.choice(KINDS), safe=False))
        else:
            values = table.column(number).to_pylist()
            choices = dict(COLUMNS).get(name, (None,))
            for row in range(table.num_rows):
                if rng.random() < rng.choice((0.01, 0.2, 1)):
                    values[row] = rng.choice(choices)
            table = table.set_column(number, name, pa.array(values))
    sink = io.BytesIO()
    pq.write_table(
        table, sink, compression=rng.choice(("none", "zstd", "snappy")), row_group_size=rng.choice((None, 1, 7))
    )
    return sink.getvalue()


CONTENTS: dict[bytes, Callable[[bytes, Random], bytes]] = {
    b"{": _json,
    b"PAR1": _parquet,
    b"\x1f\x8b": _gzip,
    b"\x28\xb5\x2f\xfd": _zstd,
}
"""How files start whose values can be broken, not only their bytes."""
