"""Every reference document that any test writes is held against the schema."""

import json
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest

from refmaker.references import publish as publishing
from tests.servers import served

__all__ = ["served"]

SCHEMAS = Path(__file__).parents[1] / "schemas"
WHOLE_BELOW = 2_000_000
"""Bytes of a document up to which every reference is checked; of larger ones, every n-th."""
SAMPLED = 2_000


def check_references(document: Path) -> None:
    """Fail unless a file of references is strict JSON and what their schema says; other files pass."""
    content = json.loads(document.read_bytes(), parse_constant=pytest.fail)
    if "refs" not in content:
        return
    if document.stat().st_size > WHOLE_BELOW:
        keys = list(content["refs"])
        chosen = {key: content["refs"][key] for key in keys[:: len(keys) // SAMPLED or 1]}
        root = {key: content["refs"][key] for key in (".zmetadata", ".zgroup", ".zattrs")}
        content["refs"] = {**root, **chosen}
    schema = json.loads((SCHEMAS / "references-v1.schema.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(content)


@pytest.fixture(autouse=True, scope="session")
def _documents_are_valid() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        rename = publishing._rename

        def checked(temporary: Path, final: Path) -> None:
            if final.suffix == ".json":
                check_references(temporary)
            rename(temporary, final)

        patch.setattr(publishing, "_rename", checked)
        yield
