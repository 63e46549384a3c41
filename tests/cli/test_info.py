"""``refmaker info``: the tree for people and the JSON for programs say the same, and what the references say."""

import json
from pathlib import Path

import pytest

from refmaker import open_references
from refmaker.cli import run
from refmaker.model.group import walk_arrays
from tests.samples import LAB, OCEAN


@pytest.fixture
def ocean(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    out = tmp_path / "ocean.json"
    assert run(["scan", str(OCEAN), "-o", str(out), "--on-unsupported", "skip", "--inline-below", "64"]) in {0, 3}
    capsys.readouterr()
    return out


def test_the_tree_shows_every_array_with_its_dimensions_and_chunks(
    ocean: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["info", str(ocean)]) == 0
    rows = capsys.readouterr().out.splitlines()
    (temp,) = (row for row in rows if "─ temp" in row and "depth" in row)
    assert "time 5, depth 3, lat 6, lon 8" in temp
    assert "1 x 3 x 6 x 8" in temp
    assert "5/5" in temp
    assert "shuffle zlib" in temp
    assert any("forcing/" in row for row in rows)
    assert any(str(OCEAN) in row for row in rows)


def test_absent_chunks_are_told_from_present_ones(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "lab.json"
    run(["scan", str(LAB), "-o", str(out)])
    capsys.readouterr()
    run(["info", str(out)])
    rows = capsys.readouterr().out.splitlines()
    assert [row.split()[-4] for row in rows if " sparse " in row or "chunked_never_written" in row] == ["0/100", "2/16"]


def test_the_json_adds_up_to_the_references(ocean: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["info", str(ocean), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    references = open_references(str(ocean))
    arrays = dict(walk_arrays(references.root))
    assert {array["path"]: array["chunks_present"] for array in found["arrays"]} == {
        path: array.manifest.present for path, array in arrays.items()
    }
    stored = sum(array.manifest.stored_nbytes for array in arrays.values())
    assert sum(source["stored_bytes"] for source in found["sources"]) + found["inlined_bytes"] == stored
    assert sum(source["chunks"] for source in found["sources"]) + found["inlined_chunks"] == sum(
        array["chunks_present"] for array in found["arrays"]
    )
    assert found["inlined_chunks"] > 0
    assert found["groups"] == ["", "empty", "forcing", "forcing/rivers"]
    assert [source["size"] for source in found["sources"]] == [OCEAN.stat().st_size]


def test_references_that_are_none_are_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["info", str(LAB)]) == 1
    assert capsys.readouterr().err.startswith("error: ")
    assert run(["info", "/no/such/refs.json"]) == 1
    assert "/no/such/refs.json" in capsys.readouterr().err
