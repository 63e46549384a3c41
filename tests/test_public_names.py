"""What ``import refmaker`` offers, and how little it loads."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import refmaker

PUBLIC = [
    "ArrayMetadata",
    "BrokenFileError",
    "BrokenReferencesError",
    "ChunkManifest",
    "ChunkReadError",
    "Codec",
    "ConflictError",
    "DatasetState",
    "FromAttribute",
    "FromName",
    "FromPosition",
    "FromValues",
    "MissingDependencyError",
    "OptionError",
    "ReferenceSet",
    "RefmakerError",
    "ScanReport",
    "SourceError",
    "SourceFile",
    "StaleSourceError",
    "TruncatedFileError",
    "UnsupportedError",
    "VirtualArray",
    "VirtualGroup",
    "__version__",
    "combine",
    "index",
    "inline_below",
    "open_references",
    "scan",
    "scan_many",
    "verify",
    "write_references",
]
HEAVY = {
    "dask", "fsspec", "h5py", "imagecodecs", "netCDF4", "numcodecs", "pandas", "pyarrow", "rich", "tifffile", "xarray",
    "zarr",
}  # fmt: skip


def modules_after(code: str) -> set[str]:
    """Return the top-level modules that a fresh interpreter has loaded after ``code``."""
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(*{{name.partition('.')[0] for name in sys.modules}})"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.splitlines()[-1].split())


def test_the_public_names_are_these() -> None:
    assert sorted(refmaker.__all__) == sorted(PUBLIC)
    assert set(PUBLIC) <= set(dir(refmaker))


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_is_there(name: str) -> None:
    assert getattr(refmaker, name) is not None


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'scam'"):
        refmaker.scam  # noqa: B018


def test_type_checkers_see_the_names_that_are_imported_on_use() -> None:
    tree = ast.parse(Path(refmaker.__file__).read_text())
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    declared = {
        alias.name: node.module for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert declared == refmaker._HOME


def test_importing_refmaker_loads_numpy_at_most() -> None:
    standard = set(sys.stdlib_module_names)
    assert modules_after("import refmaker") - modules_after("") - standard <= {"refmaker", "numpy"}


@pytest.mark.parametrize("arguments", [["--version"], ["--help"]])
def test_the_command_starts_without_heavy_modules(arguments: list[str]) -> None:
    loaded = modules_after(f"from refmaker.cli import run\nrun({arguments})")
    assert loaded.isdisjoint(HEAVY)
    assert "numpy" not in loaded or arguments == ["--help"]
