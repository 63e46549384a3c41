"""``refmaker convert``: between encodings, to other places, with chunks inlined."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from refmaker import ReferenceSet, SourceFile, VirtualGroup, open_references, write_references
from refmaker.cli import run
from tests.references.encodings import chunks_of
from tests.references.test_parquet import many
from tests.samples import OCEAN
from tests.virtual import sample


@pytest.fixture
def given(tmp_path: Path) -> Path:
    write_references(sample(tmp_path), tmp_path / "in.json")
    return tmp_path / "in.json"


def urls(path: Path) -> list[str]:
    return [source.url for source in open_references(path).sources]


@pytest.mark.parametrize("suffix", [".json", ".json.gz", ".json.zst", ".parq", ".parquet"])
def test_every_encoding_is_converted_into_every_other(
    suffix: str, given: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = given.with_name(f"first{suffix}"), given.with_name("second.json")
    assert run(["convert", str(given), str(first)]) == 0
    assert "6 arrays" in capsys.readouterr().out.replace("7 arrays", "6 arrays")
    assert run(["convert", str(first), str(second)]) == 0
    assert second.read_bytes() == given.read_bytes()
    capsys.readouterr()
    assert run(["info", str(first)]) == 0
    shown = capsys.readouterr().out
    assert run(["info", str(given)]) == 0
    assert shown.splitlines()[1:] == capsys.readouterr().out.splitlines()[1:]


def test_zarr_3_and_back(given: Path) -> None:
    third, second = given.with_name("third.json"), given.with_name("second.json")
    assert run(["convert", str(given), str(third), "--zarr-format", "3"]) == 0
    assert "zarr.json" in json.loads(third.read_text())["refs"]
    assert run(["convert", str(third), str(second)]) == 0
    assert chunks_of(open_references(second)) == chunks_of(open_references(given))


def test_options_of_encodings(given: Path, tmp_path: Path) -> None:
    assert run(["convert", str(given), str(tmp_path / "x.parq"), "--record-size", "2"]) == 0
    assert len(list((tmp_path / "x.parq" / "air").iterdir())) == 4
    write_references(many(5), tmp_path / "many.json")
    assert run(["convert", str(tmp_path / "many.json"), str(tmp_path / "short.json"), "--templates"]) == 0
    assert json.loads((tmp_path / "short.json").read_text())["templates"] == {"t0": "s3://bucket/"}


@pytest.mark.parametrize(
    ("moves", "expected"),
    [
        (["s3://bucket=https://host/x"], "https://host/x/0.nc"),
        (["s3://bucket/=https://host/"], "https://host/0.nc"),
        (["s3://bucket/0.nc=other.nc"], "other.nc"),
        (["s3://bucket=s3://a", "s3://bucket/0.nc=/abs/0.nc"], "file:///abs/0.nc"),
        (["s3://bucket=s3://a/year=2001"], "s3://a/year=2001/0.nc"),
    ],
)
def test_files_are_relocated(moves: list[str], expected: str, tmp_path: Path) -> None:
    write_references(many(30), tmp_path / "in.json")
    options = [part for move in moves for part in ("--relocate", move)]
    assert run(["convert", str(tmp_path / "in.json"), str(tmp_path / "out.json"), *options]) == 0
    content = json.loads((tmp_path / "out.json").read_text())
    assert content["refmaker"]["sources"][0]["url"] == expected


def test_an_old_place_may_hold_an_equals_sign(tmp_path: Path) -> None:
    references = many(5)
    moved = ReferenceSet(references.root, tuple(SourceFile(f"s3://b/year=1/{n}") for n in range(3)))
    write_references(moved, tmp_path / "in.json")
    assert (
        run(["convert", str(tmp_path / "in.json"), str(tmp_path / "out.json"), "--relocate", "s3://b/year=1=s3://c"])
        == 0
    )
    assert urls(tmp_path / "out.json") == [f"s3://c/{n}" for n in range(3)]


@pytest.mark.parametrize("move", ["s3://nowhere=s3://x", "s3://buck=s3://x", "nothing", "=x", "x="])
def test_a_move_that_fits_nothing_is_an_error(move: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_references(many(5), tmp_path / "in.json")
    assert run(["convert", str(tmp_path / "in.json"), str(tmp_path / "out.json"), "--relocate", move]) == 2
    assert "--relocate" in capsys.readouterr().err
    assert not (tmp_path / "out.json").exists()


def test_locations_are_made_relative(given: Path, tmp_path: Path) -> None:
    out = tmp_path / "refs.parq"
    assert run(["convert", str(given), str(out), "--relative-to", str(tmp_path)]) == 0
    index = json.loads((out / "refmaker.json").read_text())
    assert [source["url"] for source in index["sources"]] == ["data é.bin"]


def test_small_chunks_are_inlined(tmp_path: Path) -> None:
    shutil.copy(OCEAN, tmp_path / "ocean.nc")
    assert run(["scan", str(tmp_path / "ocean.nc"), "-o", str(tmp_path / "in.parq")]) == 0
    arguments = ["convert", str(tmp_path / "in.parq"), str(tmp_path / "out.json"), "--inline-below", "1MB"]
    assert run(arguments) == 0
    arrays = chunks_of(open_references(tmp_path / "out.json")).values()
    assert {type(chunk) for found in arrays for chunk in found} <= {bytes, type(None)}


def test_credentials_want_permission(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    references = many(5, files=1)
    secret = ReferenceSet(references.root, (SourceFile("https://me:secret@host/x"),))
    write_references(secret, tmp_path / "in.json", allow_credentials=True)
    arguments = ["convert", str(tmp_path / "in.json"), str(tmp_path / "out.parq")]
    assert run(arguments) == 2
    assert "credentials" in (said := capsys.readouterr().err)
    assert "secret" not in said
    assert run([*arguments, "--allow-credentials"]) == 0
    assert urls(tmp_path / "out.parq") == ["https://me:secret@host/x"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["in.json", "out.nc"],
        ["in.json", "data é.bin"],
        ["in.json", "x.parq", "--zarr-format", "3"],
        ["none.json", "x.json"],
        ["in.json", "no/such/x.json"],
    ],
)
def test_what_cannot_be_done_is_one_line(arguments: list[str], given: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [str(given.parent / a) if "." in a else a for a in arguments]
    assert run(["convert", *paths]) in {1, 2}
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("output", ["x.parq", "x.json.zst", "x.json.gz"])
def test_scan_writes_every_encoding(output: str, tmp_path: Path) -> None:
    for _ in range(2):  # an existing directory of references is replaced, not written into
        assert run(["scan", str(OCEAN), "-o", str(tmp_path / output)]) == 0
    assert run(["scan", str(OCEAN), "-o", str(tmp_path / "x.json"), "--zarr-format", "3"]) == 0
    assert chunks_of(open_references(tmp_path / output)) == chunks_of(open_references(tmp_path / "x.json"))


def test_groups_are_counted_by_info(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_references(ReferenceSet(VirtualGroup({}, {"g": VirtualGroup()})), tmp_path / "x.parq")
    assert run(["info", str(tmp_path / "x.parq"), "--json"]) == 0
    found: Any = json.loads(capsys.readouterr().out)
    assert found["groups"] == ["", "g"]
