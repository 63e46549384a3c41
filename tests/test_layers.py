"""Imports point one way, modules stay short, and nothing is called utils: DESIGN's and STYLE's rules on files."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "refmaker"
MODULES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))
LAYERS = (
    "errors", "model", "source", "codecs", "scanners", "combine", "references", "serve", "verify", "batch", "cli",
)  # fmt: skip
"""A layer imports from itself and from what stands left of it."""
ONLY = {"codecs": {"codecs", "errors"}}
"""Layers that may import less: decoders run inside other people's readers."""
MOST_LINES = 400
NOUNLESS = {"utils", "util", "helpers", "helper", "common", "misc"}


def layer(module: str) -> str:
    return module.partition("/")[0].removesuffix(".py")


def imported(source: str) -> set[tuple[str, str]]:
    """Return (module, name) of everything that a module imports, wherever in it; relative imports as ``("", ...)``."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {(alias.name, "") for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {("" if node.level else node.module or "", alias.name) for alias in node.names}
    return found


def wrong_imports(module: str, source: str) -> list[str]:
    """Return the imports that the layers do not allow to ``module`` (a path below the package).

    The public names are for ``cli`` only; the version is everybody's.
    """
    mine = layer(module)
    if mine in {"__init__", "__main__"}:
        return []
    allowed = ONLY.get(mine, set(LAYERS[: LAYERS.index(mine) + 1]))
    wrong = []
    for name, what in imported(source):
        top, _, rest = name.partition(".")
        asked = rest.partition(".")[0] or what
        public = asked == "__version__" or mine == "cli"
        if not top or (top == "refmaker" and asked not in allowed and (rest or not public)):
            wrong.append(f"from {name or '.'} import {what}")
    return wrong


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_left(module: str) -> None:
    assert wrong_imports(module, (PACKAGE / module).read_text()) == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("model/a.py", "from refmaker.source.base import ByteSource"),
        ("source/a.py", "def f():\n    import refmaker.scanners.registry"),
        ("codecs/a.py", "from refmaker.model.array import Codec"),
        ("scanners/a.py", "from refmaker import write_references"),
        ("serve/a.py", "from . import store"),
    ],
)
def test_an_import_that_points_right_is_noticed(module: str, source: str) -> None:
    assert wrong_imports(module, source)


@pytest.mark.parametrize("module", MODULES)
def test_modules_are_short_and_named_by_nouns(module: str) -> None:
    path = PACKAGE / module
    assert len(path.read_text().splitlines()) <= MOST_LINES
    assert path.stem not in NOUNLESS


def test_every_module_belongs_to_a_layer() -> None:
    assert {layer(module) for module in MODULES} <= {"__init__", "__main__", *LAYERS}
