"""Attribute values as JSON: the table of every kind of value."""

import math
from typing import Any

import numpy as np
import pytest

from refmaker.errors import OptionError, UnsupportedError
from refmaker.model.attributes import attribute_json, text_of
from refmaker.model.group import VirtualGroup

PAIR = np.dtype([("x", "<i4"), ("y", "S3")])

VALUES: list[tuple[str, Any, Any]] = [
    ("text", "é", "é"),
    ("UTF-8", "é".encode(), "é"),
    ("Latin-1", b"\xe9", "é"),
    ("surrogates of UTF-8", "\udcc3\udca9", "é"),
    ("surrogates of Latin-1", "\udce9", "é"),
    ("numpy text", np.str_("a"), "a"),
    ("numpy bytes", np.bytes_(b"a"), "a"),
    ("bool", np.True_, True),
    ("integer", np.int8(-3), -3),
    ("largest integer", np.uint64(2**64 - 1), 2**64 - 1),
    ("half", np.float16(0.5), 0.5),
    ("float", np.float32(0.1), float(np.float32(0.1))),
    ("infinity", np.float64("inf"), math.inf),
    ("exact longdouble", np.longdouble(0.5), 0.5),
    ("complex", np.complex64(1 + 2j), [1.0, 2.0]),
    ("none", None, None),
    ("one element", np.array([5], ">i2"), 5),
    ("one element of many axes", np.array([[[5]]]), 5),
    ("no element", np.array([], "i4"), []),
    ("no element of two axes", np.zeros((2, 0)), [[], []]),
    ("vector", np.array([1, 2], ">i2"), [1, 2]),
    ("matrix", np.arange(4).reshape(2, 2), [[0, 1], [2, 3]]),
    ("text vector", np.array(["a", "b"]), ["a", "b"]),
    ("bytes vector", np.array([b"a", b"\xe9"]), ["a", "é"]),
    ("object vector", np.array(["a", "bé"], object), ["a", "bé"]),
    ("complex vector", np.array([1j, 2]), [[0.0, 1.0], [2.0, 0.0]]),
    ("compound", np.array((1, b"ab"), PAIR)[()], {"x": 1, "y": "ab"}),
    ("compounds", np.zeros(2, PAIR), [{"x": 0, "y": ""}] * 2),
    ("tuple", (1, "a"), [1, "a"]),
]


@pytest.mark.parametrize(("value", "expected"), [row[1:] for row in VALUES], ids=[row[0] for row in VALUES])
def test_values_keep_shape_and_numbers(value: Any, expected: Any) -> None:
    found = attribute_json(value)
    assert found == expected
    assert type(found) is type(expected)


def test_not_a_number_stays_one() -> None:
    assert math.isnan(attribute_json(np.float32("nan")))  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [np.void(b"ab"), np.timedelta64(1, "s"), object(), {1}])
def test_what_has_no_json_is_refused(value: Any) -> None:
    with pytest.raises(UnsupportedError) as caught:
        attribute_json(value)
    assert caught.value.code == "attribute"


def test_a_longdouble_that_no_double_has_is_refused() -> None:
    third = np.longdouble(1) / 3
    if np.longdouble(float(third)) == third:
        pytest.skip("longdouble is double here")
    with pytest.raises(UnsupportedError):
        attribute_json(third)


def test_text_without_surrogates_is_itself() -> None:
    assert text_of("plain") == "plain"


@pytest.mark.parametrize("name", ["", ".", "..", "...", "a/b", "a\\b", "a\0", ".zarray", "zarr.json"])
def test_names_that_readers_do_not_find_are_refused(name: str) -> None:
    with pytest.raises(OptionError):
        VirtualGroup(groups={name: VirtualGroup()})
