"""Every reference document that any test writes is held against its schema."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import referencing

from refmaker.references import publish as publishing
from refmaker.references import publish_folder as publishing_folder
from refmaker.references.compression import decompressed
from tests.servers import s3, served

__all__ = ["s3", "served"]

SCHEMAS = {path.name: json.loads(path.read_text()) for path in (Path(__file__).parents[1] / "schemas").iterdir()}
REGISTRY: Any = referencing.Registry().with_contents(
    (schema["$id"], schema) for schema in SCHEMAS.values() if "$id" in schema
)
WHOLE_BELOW = 2_000_000
"""Bytes of a document up to which every reference is checked; of larger ones, every n-th."""
SAMPLED = 2_000
DOCUMENTS = {".zmetadata": "parquet-metadata-v1.schema.json", "refmaker.json": "parquet-index-v1.schema.json"}
"""What the JSON files of a directory of references are held against."""


def validate(content: Any, schema: str) -> None:
    jsonschema.Draft202012Validator(SCHEMAS[schema], registry=REGISTRY).validate(content)


def check_references(document: Path) -> None:
    """Fail unless a file of references is strict JSON and what their schema says; other files pass."""
    data = decompressed(document.read_bytes(), None)
    content = json.loads(data, parse_constant=pytest.fail)
    if "refs" not in content:
        return
    if len(data) > WHOLE_BELOW:
        keys = list(content["refs"])
        chosen = {key: content["refs"][key] for key in keys[:: len(keys) // SAMPLED or 1]}
        roots = (".zmetadata", ".zgroup", ".zattrs", "zarr.json")
        content["refs"] = {**{key: content["refs"][key] for key in roots if key in content["refs"]}, **chosen}
    validate(content, "references-v1.schema.json")


def check_folder(folder: Path) -> None:
    """Fail unless the JSON files of a directory of references are what their schemas say."""
    for name, schema in DOCUMENTS.items():
        validate(json.loads((folder / name).read_bytes()), schema)


@pytest.fixture(autouse=True, scope="session")
def _ctrl_c_is_heard() -> None:
    """Shells start background jobs deaf to Ctrl-C, and what these start is deaf too."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True, scope="session")
def _documents_are_valid() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        rename, replace = publishing._rename, publishing_folder._replace

        def checked(temporary: Path, final: Path) -> None:
            if final.name.endswith((".json", ".json.gz", ".json.zst")):
                check_references(temporary)
            rename(temporary, final)

        def checked_folder(new: Path, final: Path, aside: Path) -> None:
            check_folder(new)
            replace(new, final, aside)

        patch.setattr(publishing, "_rename", checked)
        patch.setattr(publishing_folder, "_replace", checked_folder)
        yield


SLOW = {
    "batch/test_cli.py",
    "batch/test_dask.py",
    "batch/test_full_disk.py",
    "batch/test_index.py",
    "batch/test_odd_inputs.py",
    "batch/test_remote.py",
    "batch/test_resume.py",
    "cli/test_convert.py",
    "cli/test_help.py",
    "cli/test_progress.py",
    "combine/test_remote.py",
    "fuzz/test_fuzz.py",
    "model/test_laws.py",
    "references/test_encodings.py",
    "references/test_parquet.py",
    "references/test_regular_references.py",
    "scanners/hdf5/test_damaged.py",
    "scanners/hdf5/test_links.py",
    "scanners/hdf5/test_native_malformed.py",
    "scanners/hdf5/test_strings.py",
    "scanners/hdf5/test_walk.py",
    "scanners/netcdf3/test_xarray.py",
    "scanners/test_remote_budgets.py",
    "scanners/test_remote_corpus.py",
    "scanners/test_remote_faults.py",
    "scanners/tiff/test_malformed.py",
    "scanners/tiff/test_walk.py",
    "scanners/tiff/test_xarray.py",
    "serve/test_doors.py",
    "serve/test_faults.py",
    "serve/test_obstore.py",
    "test_readme.py",
    "verify/test_combined.py",
    "verify/test_corruptions.py",
    "verify/test_fitting.py",
}
"""Modules of five seconds and more: ``.ci/run --fast`` leaves them out."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of slow modules."""
    here = Path(__file__).parent
    for item in items:
        if item.path.relative_to(here).as_posix() in SLOW:
            item.add_marker(pytest.mark.slow)
