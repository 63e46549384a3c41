"""Templates and generated references: a closed grammar, bounded, and nothing of Jinja2."""

import time
from typing import Any

import fsspec
import pytest

from refmaker import BrokenReferencesError, RefmakerError, UnsupportedError
from refmaker.references.generators import generated
from refmaker.references.kerchunk_read import parse_document
from refmaker.references.templates import Environment, compiled, shared_prefixes
from tests.references.encodings import chunks_of
from tests.references.test_kerchunk_read import GROUP, ZARRAY

TEMPLATES = {"u": "s3://b", "f": "{{c}}", "g": "{{f(c='x')}}-{{i + 1}}", "loop": "{{loop()}}"}


def value(text: str, **names: Any) -> str:
    templates = {name: compiled(source) for name, source in TEMPLATES.items()}
    return compiled(text)(Environment(names, templates))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("{{u}}/x", "s3://b/x"),
        ("{{ u }}", "s3://b"),
        ("{{i}}", "7"),
        ("{{(i + 1) * 1000}}", "8000"),
        ("{{2 + 3 * i - 4}}", "19"),
        ("{{i // 2}}|{{i % 4}}", "3|3"),
        ("{{-i + 1}}", "-6"),
        ("{{--i}}", "7"),
        ("{{f(c='text')}}", "text"),
        ('{{f(c="a b")}}', "a b"),
        ("{{f(c=i * 2)}}", "14"),
        ("{{g(i=2)}}", "x-3"),
        ("{{'%03d' % i}}", "007"),
        ("{{'a%dz' % (i + 1)}}", "a8z"),
        ("{{'a' + 'b'}}", "ab"),
        ("{{name}}", "é"),
        ("{x}{{i}}{y}", "{x}7{y}"),
        ("{{i}}{{i}}", "77"),
        ("}}{{i}}{{", "}}7{{"),
    ],
)
def test_expressions_have_the_value_that_jinja_gives(text: str, expected: str) -> None:
    assert value(text, i=7, name="é") == expected


@pytest.mark.parametrize(
    "text",
    [
        "{{}}",
        "{{ }}",
        "{{1 +}}",
        "{{(1}}",
        "{{1)}}",
        "{{c.__class__}}",
        "{{c['x']}}",
        "{{c|upper}}",
        "{{missing}}",
        "{{missing()}}",
        "{{().__class__.__bases__}}",
        "{{'a' * 3}}",
        "{{1 // 0}}",
        "{{1 % 0}}",
        "{{10 ** 10}}",
        "{{1 / 2}}",
        "{{'%s' % 1}}",
        "{{'%d%d' % 1}}",
        "{{'a' + 1}}",
        "{{1 + 'a'}}",
        "{{f(1)}}",
        "{{f(c)}}",
        "{{f(c=1}}",
        "{{u(c=1, )}}",
        "{{f()}}",
        "{{loop()}}",
        "{{" + "(" * 50 + "1" + ")" * 50 + "}}",
        "{{" + "1+" * 2000 + "1}}",
        "{{1 2}}",
        "{{'a'}",
        "{{999999999999999999 * 999999999999999999}}",
        "{{99999999999999999999}}",
        "{{i if i else 2}}",
        "{{'\\x41'}}",
        "{{range(10)}}",
        "{{self}}",
        "{{config.items()}}",
        "{{1;2}}",
        "{{é}}",
        "{{" + "-" * 901 + "'a'}}",
    ],
)
def test_everything_else_is_refused(text: str) -> None:
    if text == "{{'a'}":
        assert value(text) == text
        return
    with pytest.raises(BrokenReferencesError):
        value(text)


def test_text_cannot_grow_without_end() -> None:
    bomb = {f"t{n}": compiled(f"{{{{t{n + 1}()}}}}" * 10) for n in range(12)} | {"t12": compiled("x" * 1000)}
    started = time.perf_counter()
    with pytest.raises(BrokenReferencesError):
        compiled("{{t0()}}")(Environment(templates=bomb))
    assert time.perf_counter() - started < 1


SPECIFICATION: dict[str, Any] = {
    "version": 1,
    "templates": {"u": "server.domain/path", "f": "{{c}}"},
    "gen": [
        {"key": "a/{{i}}.{{j}}", "url": "http://{{u}}_{{i}}", "offset": "{{(i + 1) * 1000}}", "length": "1000",
         "dimensions": {"i": {"stop": 2}, "j": [0, 2]}},
        {"key": "b/{{i}}", "url": "http://{{f(c='text')}}", "offset": "{{i}}", "length": "1",
         "dimensions": {"i": {"start": 1, "stop": 6, "step": 2}}},
    ],
    "refs": {".zgroup": GROUP, "a/.zarray": ZARRAY, "b/.zarray": {**ZARRAY, "shape": [6], "chunks": [1]},
             "a/1.1": ["http://{{u}}", 10000, 100], "b/0": "data"},
}  # fmt: skip
"""The specification's example, with keys of arrays."""


def test_generated_references_are_those_of_fsspec() -> None:
    pytest.importorskip("jinja2")
    stock = fsspec.filesystem("reference", fo=SPECIFICATION, simple_templates=False, remote_protocol="http")
    found = chunks_of(parse_document(SPECIFICATION))
    assert found["a"] == [
        tuple(stock.references[key]) if (key := f"a/{i}.{j}") in stock.references else None
        for i in range(2)
        for j in range(3)
    ]
    assert found["b"] == [b"data", *(("http://text", n, 1) if n % 2 else None for n in range(1, 6))]


@pytest.mark.parametrize(
    "gen",
    [
        5,
        {},
        [5],
        [{}],
        [{"key": "a", "url": "x"}],
        [{"key": "a", "dimensions": {}}],
        [{"key": "a", "url": "x", "offset": "1", "dimensions": {"i": [1]}}],
        [{"key": "a", "url": "x", "dimensions": {"i": {"stop": "9"}}}],
        [{"key": "a", "url": "x", "dimensions": {"i": {"stop": 9, "step": 0}}}],
        [{"key": "a", "url": "x", "dimensions": {"i": [[1]]}}],
        [{"key": "a", "url": "x", "dimensions": {"i": {}}}],
        [{"key": "{{i.x}}", "url": "x", "dimensions": {"i": [1]}}],
        [{"key": ["a"], "url": "x", "dimensions": {"i": [1]}}],
        [{"key": "a", "url": "x", "offset": "{{0 - i}}", "length": "1", "dimensions": {"i": [1]}}],
        [{"key": "a", "url": "x", "offset": "x", "length": "1", "dimensions": {"i": [1]}}],
    ],
)
def test_broken_generators_are_one_error(gen: Any) -> None:
    with pytest.raises(BrokenReferencesError):
        generated(gen, {})


@pytest.mark.parametrize(
    "dimensions",
    [
        {"i": {"stop": 10**9}},
        {"i": {"stop": 1 << 61}},
        {f"d{n}": {"stop": 1000} for n in range(50)},
        {"i": {"start": -(1 << 61), "stop": 1 << 61}},
    ],
)
def test_bombs_are_refused_at_once(dimensions: Any) -> None:
    started = time.perf_counter()
    with pytest.raises(UnsupportedError, match="more than"):
        generated([{"key": "a/{{i}}", "url": "x", "dimensions": dimensions}], {})
    assert time.perf_counter() - started < 0.5


def test_a_bomb_inside_a_document_names_the_document() -> None:
    with pytest.raises(RefmakerError, match=r"refs\.json"):
        parse_document({**SPECIFICATION, "gen": [{"dimensions": {"i": {"stop": 10**12}}}]}, "file:///refs.json")


def test_shared_directories_become_templates() -> None:
    urls = ["s3://a/b/1.nc", "s3://a/b/2.nc", "s3://a/c/3.nc", "s3://a/b/{x}.nc", "s3://a/{b}/4", "s3://a/{b}/5", "rel"]
    templates, short = shared_prefixes(urls)
    assert templates == {"t0": "s3://a/b/"}
    assert short == ["{{t0}}1.nc", "{{t0}}2.nc", *urls[2:]]
