"""Reading regular references as columns gives what the generic parser gives, in every dialect, or leaves it to that."""

import contextlib
import itertools
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import ujson

from refmaker import ReferenceSet, RefmakerError
from refmaker.references import kerchunk_read, regular_references
from refmaker.references.kerchunk_json import json_text
from refmaker.references.kerchunk_read import parse_document, read_json
from refmaker.references.options import WriteOptions
from refmaker.references.regular_references import find_regular
from tests.references.encodings import chunks_of
from tests.references.test_kerchunk_read import GROUP, ZARRAY
from tests.virtual import sample


@pytest.fixture(autouse=True)
def _columns_for_every_document(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kerchunk_read, "SMALL", 0)


@pytest.fixture(params=[1 << 22, 64, 1000])
def window(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Windows so small that entries lie across their edges."""
    monkeypatch.setattr(regular_references, "WINDOW", request.param)
    monkeypatch.setattr(regular_references, "REACH", 400)
    return request.param


def regular(count: int = 40, **more: Any) -> dict[str, Any]:
    refs: dict[str, Any] = {
        ".zgroup": GROUP,
        "a/.zarray": json.dumps({**ZARRAY, "shape": [100, 20], "chunks": [1, 1]}),
        "a/.zattrs": '{"_ARRAY_DIMENSIONS":["y","x"],"tricky":"\\":[\\"u\\",1,2],"}',
        "deep/er/b c/.zarray": json.dumps({**ZARRAY, "shape": [9], "chunks": [1]}),
    }
    for n in range(count):
        refs[f"a/{n}.{n % 20}"] = [f"s3://bucket/{'long/' * (n % 3)}{n // 7}.nc", n * 10**9, n + 1]
        if n % 11 == 5:
            refs[f"deep/er/b c/{n // 11}"] = ["file:///ü é\\.nc", n, 5]
        if n % 13 == 7:
            refs[f"a/{n}.19"] = "base64:AAEC"
    return {**refs, **more}


def spaced(document: Any) -> str:
    return json.dumps(document, indent=1)


DIALECTS: dict[str, Callable[[Any], str]] = {
    "ujson": ujson.dumps,
    "ujson without escapes": lambda document: ujson.dumps(document, escape_forward_slashes=False),
    "ujson in utf-8": lambda document: ujson.dumps(document, ensure_ascii=False),
    "json": json.dumps,
    "compact json": lambda document: json.dumps(document, separators=(",", ":")),
    "json in utf-8": lambda document: json.dumps(document, ensure_ascii=False),
    "indented": spaced,
    "indented much": lambda document: json.dumps(document, indent=8),
    "lines": lambda document: json.dumps(document).replace("], ", "],\r\n\t"),
}


@pytest.mark.parametrize("version", [0, 1])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_dialect_is_read_as_the_generic_parser_reads_it(dialect: str, version: int, window: int) -> None:
    document = regular() if version == 0 else {"version": 1, "refs": regular()}
    data = DIALECTS[dialect](document).encode()
    found = find_regular(data)
    assert found is not None
    assert found.url.size > 30
    assert len(found.rest) < len(data)
    want, got = parse_document(document), read_json(data)
    assert chunks_of(got) == chunks_of(want)
    assert {s.url for s in got.sources} == {s.url for s in want.sources}


@pytest.mark.parametrize(
    "options", [WriteOptions(), WriteOptions(zarr_format=3), WriteOptions(templates=True)], ids=str
)
def test_what_we_write_is_read_as_columns(options: WriteOptions, tmp_path: Path, window: int) -> None:
    references = sample(tmp_path)
    data = b"".join(json_text(references, options))
    assert chunks_of(read_json(data, str(tmp_path / "x.json"))) == chunks_of(references)


ODD: list[tuple[str, Any]] = [
    ("a/50.1", ["s3://x", -1, 5]),
    ("a/50.1", ["s3://x", 1 << 70, 5]),
    ("a/50.1", ["s3://x", 1.5, 5]),
    ("a/050.1", ["s3://x", 1, 5]),
    ("a/50.01", ["s3://x", 1, 5]),
    ("a/50.20", ["s3://x", 1, 5]),
    ("a/50", ["s3://x", 1, 5]),
    ("a/50.1.1", ["s3://x", 1, 5]),
    ("a/50.x", ["s3://x", 1, 5]),
    ("a/99999999999999999999.1", ["s3://x", 1, 5]),
    ("a/.1", ["s3://x", 1, 5]),
    ("a/", ["s3://x", 1, 5]),
    ("a/b/0", ["s3://x", 1, 5]),
    ("z/0", ["s3://x", 1, 5]),
    ("0", ["s3://x", 1, 5]),
    ("/0", ["s3://x", 1, 5]),
    ("a/50.1", ["s3://x\n", 1, 5]),
    ("a/50.1", [None, 1, 5]),
    ("a/50.1", ["s3://x", 1, 5, 6]),
    ("a/50.1", ["s3://x", 1]),
    ("a/50.1", {"x": ["s3://x", 1, 5]}),
    ("a/.zattrs", {"a/51.1": ["s3://x", 1, 5], "a/52.1": ["s3://x", 1, 5]}),
    ("a/.zattrs", json.dumps({"a/51.1": ["s3://x", 1, 5], "a/52.1": ["s3://x", 1, 5]})),
    ("a/50.1", ["s3://" + "x" * 70_000, 1, 5]),
    ("a/50.1", ["", 1, 5]),
    ("a/50.1", ["s3://\\", 1, 5]),
    ('a/50.1"', ["s3://x", 1, 5]),
    ("a\\/50.1", ["s3://x", 1, 5]),
    ("a/50.1", '":["u",1,2],"b":["u",1,2],'),
    ("a/50.1", [":[", ",1,2],"]),
]


@pytest.mark.parametrize(("key", "value"), ODD, ids=lambda value: str(value)[:30])
def test_odd_references_among_regular_ones_have_the_outcome_of_the_generic_parser(key: str, value: Any) -> None:
    refs = regular(60)
    items = list(refs.items())
    document = {"version": 1, "refs": dict([*items[:30], (key, value), *[i for i in items[30:] if i[0] != key]])}

    def outcome(read: Callable[[], ReferenceSet]) -> Any:
        try:
            return chunks_of(read())
        except RefmakerError as error:
            return type(error)

    assert outcome(lambda: read_json(json.dumps(document).encode())) == outcome(lambda: parse_document(document))


def test_two_references_of_the_same_chunk_are_refused() -> None:
    text = json.dumps(regular(20)).replace('"a/5.5"', '"a/4.4"')
    with pytest.raises(RefmakerError, match="same position"):
        read_json(text.encode())


def test_what_is_cut_anywhere_is_refused() -> None:
    text = json.dumps(regular(12)).encode()
    for end in range(len(text)):
        with pytest.raises(RefmakerError):
            read_json(text[:end])


def test_mutated_documents_are_read_alike_or_refused() -> None:
    """Either parser takes a mutated document or refuses it; where both take it, they see the same chunks."""
    text = json.dumps(regular(20)).encode()
    chance = random.Random(7)
    for _ in range(600):
        changed = bytearray(text)
        for _ in range(chance.randint(1, 3)):
            at = chance.randrange(len(changed))
            changed[at : at + chance.randint(0, 2)] = bytes(
                chance.choices(b'"\\,:[]{}/0159 \x00\xffa', k=chance.randint(0, 2))
            )
        found = generic = None
        with contextlib.suppress(RefmakerError):
            found = read_json(bytes(changed))
        with contextlib.suppress(RefmakerError, ValueError):
            generic = parse_document(json.loads(bytes(changed)))
        if found is not None and generic is not None:
            assert chunks_of(found) == chunks_of(generic)


def test_zarr_v3_keys_are_read() -> None:
    array = {
        "zarr_format": 3, "node_type": "array", "shape": [6, 8], "data_type": "int16", "fill_value": 0,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [2, 2]}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "codecs": [{"name": "bytes", "configuration": {"endian": "big"}}],
    }  # fmt: skip
    keys = itertools.product(range(3), range(4))
    refs = {"zarr.json": '{"zarr_format":3,"node_type":"group"}', "g/a/zarr.json": json.dumps(array)}
    refs |= {f"g/a/c/{y}/{x}": ["s3://b", 10 * y + x, 8] for y, x in keys}  # type: ignore[misc]
    for text in (json.dumps(refs), ujson.dumps(refs)):
        found = read_json(text.encode())
        assert found.root.groups["g"].arrays["a"].metadata.data_type == ">i2"
        assert [offset for _, offset, _ in chunks_of(found)["g/a"]] == [10 * y + x for y in range(3) for x in range(4)]
