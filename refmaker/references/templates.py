"""Templates of kerchunk JSON: text with ``{{expressions}}``, in a closed grammar that only computes numbers and text.

Specification: kerchunk, "References specification", version 1, which speaks of Jinja2. These are the forms it shows::

    text        = { literal | "{{" expression "}}" }
    expression  = product { ("+" | "-") product }
    product     = factor { ("*" | "//" | "%") factor }
    factor      = "-" factor | integer | string | name [ call ] | "(" expression ")"
    call        = "(" [ name "=" expression { "," name "=" expression } ] ")"

A name is a dimension of a generator or a template; a call gives a template its names. ``"%03d" % i`` pads a number.
No attributes, no indices, no filters, no statements: nothing can be run, and every result is bounded.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from refmaker.errors import BrokenReferencesError, OptionError

__all__ = ["Environment", "Template", "Value", "compiled", "shared_prefixes"]

Value: TypeAlias = int | str
Evaluate = Callable[["Environment"], Value]

MAXIMUM_DEPTH = 16
"""Parentheses in parentheses, and templates that call templates."""
MAXIMUM_EXPRESSION = 1_000
MAXIMUM_TEXT = 100_000
"""Characters of an expression, and of what a template gives."""
MAXIMUM_NUMBER = 1 << 63

HOLE = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
TOKEN = re.compile(r"\s*(?:(\d{1,18})|([A-Za-z_]\w*)|'([^'\\]*)'|\"([^\"\\]*)\"|(//|[-+*%(),=]))", re.ASCII)
PADDING = re.compile(r"([^%]*)%(0?\d{0,2})d([^%]*)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Environment:
    """What names stand for: ``names`` win over ``templates``; ``depth`` counts the calls around."""

    names: Mapping[str, Value] = field(default_factory=dict)
    templates: Mapping[str, "Template"] = field(default_factory=dict)
    depth: int = 0


@dataclass(frozen=True, slots=True)
class Template:
    """A compiled template: literals and expressions in turn."""

    source: str
    parts: tuple[str | Evaluate, ...]

    def __call__(self, environment: Environment) -> str:
        """Return the text.

        Raises:
            BrokenReferencesError: an unknown name, or a result beyond all bounds.
        """
        if environment.depth > MAXIMUM_DEPTH:
            raise BrokenReferencesError(f"templates call each other without end: {self.source!r:.100}")
        text = "".join(part if isinstance(part, str) else str(part(environment)) for part in self.parts)
        if len(text) > MAXIMUM_TEXT:
            raise BrokenReferencesError(f"the template {self.source!r:.100} gives {len(text)} characters")
        return text


def compiled(source: str) -> Template:
    """Return the template that a text is.

    Raises:
        BrokenReferencesError: an expression is not of the grammar.
    """
    parts: list[str | Evaluate] = []
    at = 0
    for hole in HOLE.finditer(source):
        parts += [source[at : hole.start()], _Parser(hole[1]).parsed()]
        at = hole.end()
    return Template(source, (*parts, source[at:]))


class _Parser:
    """Recursive descent over the tokens of one expression."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens: list[tuple[str, str]] = []
        self.next = 0
        self.depth = 0
        at, text = 0, text.rstrip()
        while at < len(text):
            match = TOKEN.match(text, at) if len(text) <= MAXIMUM_EXPRESSION else None
            if match is None:
                raise self._broken()
            kind = ("", "number", "name", "string", "string", "mark")[match.lastindex or 0]
            self.tokens.append((kind, match[match.lastindex or 0]))
            at = match.end()

    def _broken(self) -> BrokenReferencesError:
        return BrokenReferencesError(f"{{{{{self.text:.100}}}}} is not an expression that references may have")

    def parsed(self) -> Evaluate:
        found = self._sum()
        if self.next < len(self.tokens):
            raise self._broken()
        return found

    def _accept(self, *marks: str) -> str:
        if self.next < len(self.tokens) and self.tokens[self.next] in {("mark", mark) for mark in marks}:
            self.next += 1
            return self.tokens[self.next - 1][1]
        return ""

    def _take(self, kind: str) -> str:
        if self.next == len(self.tokens) or self.tokens[self.next][0] != kind:
            raise self._broken()
        self.next += 1
        return self.tokens[self.next - 1][1]

    def _sum(self) -> Evaluate:
        self.depth += 1
        if self.depth > MAXIMUM_DEPTH:
            raise self._broken()
        left = self._product()
        while mark := self._accept("+", "-"):
            left = _operation(mark, left, self._product())
        self.depth -= 1
        return left

    def _product(self) -> Evaluate:
        left = self._factor()
        while mark := self._accept("*", "//", "%"):
            left = _operation(mark, left, self._factor())
        return left

    def _factor(self) -> Evaluate:
        negative = False
        while self._accept("-"):
            negative = not negative
        found = self._atom()
        return _operation("-", lambda _: 0, found) if negative else found

    def _atom(self) -> Evaluate:
        if self._accept("("):
            inner = self._sum()
            if not self._accept(")"):
                raise self._broken()
            return inner
        kind = self.tokens[self.next][0] if self.next < len(self.tokens) else ""
        if kind == "number":
            number = int(self._take("number"))
            return lambda _: number
        if kind == "string":
            text = self._take("string")
            return lambda _: text
        name = self._take("name")
        if not self._accept("("):
            return lambda environment: _named(name, environment)
        arguments: dict[str, Evaluate] = {}
        while not self._accept(")"):
            if arguments and not self._accept(","):
                raise self._broken()
            given = self._take("name")
            if not self._accept("="):
                raise self._broken()
            arguments[given] = self._sum()
        return lambda environment: _called(name, arguments, environment)


def _named(name: str, environment: Environment) -> Value:
    if name in environment.names:
        return environment.names[name]
    if name in environment.templates:
        return environment.templates[name].source  # as it is: only a call fills it in
    raise BrokenReferencesError(f"the unknown template {name!r:.100} is used")


def _called(name: str, arguments: Mapping[str, Evaluate], environment: Environment) -> Value:
    if name not in environment.templates:
        raise BrokenReferencesError(f"the unknown template {name!r:.100} is used")
    names = {given: value(environment) for given, value in arguments.items()}
    return environment.templates[name](Environment(names, environment.templates, environment.depth + 1))


def _operation(mark: str, left: Evaluate, right: Evaluate) -> Evaluate:
    def evaluate(environment: Environment) -> Value:
        a, b = left(environment), right(environment)
        if isinstance(a, str):
            return _text_operation(mark, a, b)
        if isinstance(b, str) or (mark in {"//", "%"} and b == 0):
            raise BrokenReferencesError(f"{a!r:.40} {mark} {b!r:.40} has no value")
        if mark == "+":
            value = a + b
        elif mark == "-":
            value = a - b
        elif mark == "*":
            value = a * b
        else:
            value = a // b if mark == "//" else a % b
        if abs(value) >= MAXIMUM_NUMBER:
            raise BrokenReferencesError(f"{a} {mark} {b} is beyond all offsets")
        return value

    return evaluate


def _text_operation(mark: str, a: str, b: Value) -> str:
    if mark == "+" and isinstance(b, str) and len(a) + len(b) <= MAXIMUM_TEXT:
        return a + b
    match = PADDING.fullmatch(a)
    if mark == "%" and isinstance(b, int) and match:
        return f"{match[1]}{b:{match[2]}d}{match[3]}"
    raise BrokenReferencesError(f"{a!r:.40} {mark} {b!r:.40} has no value")


def shared_prefixes(urls: list[str], least: int = 2) -> tuple[dict[str, str], list[str]]:
    """Return templates for the directories that at least so many URLs share, and the URLs in terms of them.

    URLs with braces stay as they are: readers would take those for templates.
    """
    if any("{{" in url for url in urls):
        raise OptionError("a URL has '{{', which readers take for a template")
    counts: dict[str, int] = {}
    folders = [url[: url.rfind("/") + 1] if "{" not in url and "}" not in url else "" for url in urls]
    for folder in folders:
        counts[folder] = counts.get(folder, 0) + 1
    names = {folder: f"t{n}" for n, folder in enumerate(f for f, c in counts.items() if f and c >= least)}
    short = [
        f"{{{{{names[folder]}}}}}{url[len(folder) :]}" if folder in names else url
        for url, folder in zip(urls, folders, strict=True)
    ]
    return {name: folder for folder, name in names.items()}, short
