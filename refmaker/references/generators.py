"""References that a document generates (``gen``): a key, a URL and a range for every point of some dimensions.

Specification: kerchunk, "References specification", version 1. Expansion is bounded; expressions are ``templates``'.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from refmaker.errors import BrokenReferencesError, UnsupportedError
from refmaker.references.templates import Environment, Template, Value, compiled

__all__ = ["MOST_GENERATED", "generated"]

MOST_GENERATED = 2_000_000
"""References that one document may generate: some seconds, some hundred megabytes."""


def generated(generators: Any, templates: Mapping[str, Template]) -> dict[str, list[Any]]:
    """Return the references that the value of ``gen`` describes: key to ``[url]`` or ``[url, offset, length]``.

    Raises:
        BrokenReferencesError: it is malformed.
        UnsupportedError: it would generate more than ``MOST_GENERATED`` references.
    """
    if not isinstance(generators, list):
        raise BrokenReferencesError("'gen' is not a list")
    found: dict[str, list[Any]] = {}
    left = MOST_GENERATED
    for number, generator in enumerate(generators):
        try:
            dimensions = _dimensions(generator)
            left -= math.prod(map(len, dimensions.values()))
            if left < 0:
                raise UnsupportedError(f"'gen' makes more than {MOST_GENERATED} references", code="gen")
            _expand(generator, dimensions, templates, found)
        except BrokenReferencesError as error:
            error.path = f"gen[{number}]"
            raise
    return found


def _dimensions(generator: Any) -> dict[str, Sequence[Value]]:
    if not isinstance(generator, dict) or not isinstance(generator.get("dimensions"), dict):
        raise BrokenReferencesError("has no dimensions")
    return {str(name): _values(name, spelled) for name, spelled in generator["dimensions"].items()}


def _values(name: str, spelled: Any) -> Sequence[Value]:
    if isinstance(spelled, list) and all(type(value) in {int, str} for value in spelled):
        return spelled
    if isinstance(spelled, dict):
        bounds = [spelled.get("start", 0), spelled.get("stop"), spelled.get("step", 1)]
        if all(type(bound) is int and abs(bound) < 1 << 62 for bound in bounds) and bounds[2]:
            values = range(*bounds)
            if values[-1:] and len(range(*bounds)) >= 1 << 31:
                raise UnsupportedError(f"'gen' makes more than {MOST_GENERATED} references", code="gen")
            return values
    raise BrokenReferencesError(f"the dimension {name!r:.60} is {spelled!r:.100}")


def _expand(
    generator: Mapping[str, Any],
    dimensions: Mapping[str, Sequence[Value]],
    templates: Mapping[str, Template],
    found: dict[str, list[Any]],
) -> None:
    spelled = {name: generator[name] for name in ("key", "url", "offset", "length") if name in generator}
    if not {"key", "url"} <= spelled.keys() or ("offset" in spelled) != ("length" in spelled):
        raise BrokenReferencesError("needs 'key' and 'url', and 'offset' and 'length' or neither")
    if not all(isinstance(value, str) or type(value) is int for value in spelled.values()):
        raise BrokenReferencesError("has something that is no text")
    key, *parts = (compiled(str(value)) for value in spelled.values())
    for point in itertools.product(*dimensions.values()):
        environment = Environment(dict(zip(dimensions, point, strict=True)), templates)
        url, *numbers = (part(environment) for part in parts)
        found[key(environment)] = [url, *map(_number, numbers)]


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise BrokenReferencesError(f"an offset or length is {text!r:.60}")
    return int(text)
