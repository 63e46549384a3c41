"""The examples in docstrings run, in a folder with the samples; every public name has one, or is listed here."""

import doctest
import importlib
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import refmaker
from tests.samples import FOLDER

MODULES = sorted({*refmaker._HOME.values(), "refmaker"})
OPTIONS = doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL
FINDER = doctest.DocTestFinder(exclude_empty=True)
WITHOUT = {
    "DatasetState": "an enumeration: the report's example shows it",
    "SourceFile": "a row of the source table: the set's example shows it",
    **{name: "the module's example catches one" for name in refmaker.__all__ if name.endswith("Error")},
    "__version__": "a string",
}
"""Public names without an example of their own."""


def examples_of(module: ModuleType) -> list[doctest.DocTest]:
    return [found for found in FINDER.find(module, module.__name__) if found.examples]


CASES = [case for name in MODULES for case in examples_of(importlib.import_module(name))]


@pytest.fixture
def _beside_samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run where examples find ``sample_data`` and may write."""
    shutil.copytree(FOLDER, tmp_path / "sample_data")
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("_beside_samples")
@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_an_example_gives_what_it_says(case: doctest.DocTest) -> None:
    said: list[str] = []
    result = doctest.DocTestRunner(optionflags=OPTIONS).run(case, out=said.append)
    assert result.failed == 0, "".join(said)
    assert result.attempted == len(case.examples)


@pytest.mark.parametrize("name", refmaker.__all__)
def test_a_public_name_has_an_example_or_is_listed(name: str) -> None:
    documented: Any = getattr(refmaker, name)
    assert (">>>" in documented.__doc__) != (name in WITHOUT)
