"""Bytes that real filters wrote once, pinned for ever: see golden.json (encoded and decoded in hexadecimal)."""

import json
from pathlib import Path
from typing import Any

import pytest

from refmaker.codecs import CODECS, get_codec

CASES = json.loads(Path(__file__).with_name("golden.json").read_text())


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_pinned_bytes_decode_to_pinned_bytes(case: dict[str, Any]) -> None:
    decoded = get_codec(case["config"]).decode(bytes.fromhex(case["encoded"]))
    assert decoded.tobytes().hex() == case["decoded"]


def test_every_codec_is_pinned() -> None:
    assert {case["config"]["id"] for case in CASES} == set(CODECS)
