"""How inputs are broken: a few bytes, whole regions, numbers that overflow, a cut; of JSON also its values."""

import json
import struct
from copy import deepcopy
from random import Random
from typing import Any

__all__ = ["mutated", "mutated_json"]

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


def mutated_json(data: bytes, rng: Random) -> bytes:
    """Return a JSON document with some values replaced, moved or removed, also inside texts that are documents."""
    if rng.random() < 0.3:
        return mutated(data, rng)
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
