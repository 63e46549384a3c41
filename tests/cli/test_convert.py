"""``refmaker convert``: between encodings, to other places, with chunks inlined."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import xarray as xr

import refmaker
from refmaker import (
    ReferenceSet,
    SourceFile,
    StaleSourceError,
    VirtualGroup,
    open_references,
    write_references,
)
from refmaker.cli import run
from refmaker.cli.failures import ExitCode
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
    ("output", "options", "message"),
    [
        ("x.parq", ["--templates"], "templates are for JSON"),
        ("x.json", ["--record-size", "5"], "a record size is for Parquet"),
        ("x.parq", ["--zarr-format", "3"], "Zarr 2 metadata only"),
        ("x.jsno", [], "no encoding of references has this suffix"),
        ("x.json", ["--relative-to", "/nowhere"], "no file is below it"),
    ],
)
def test_options_that_would_do_nothing_are_usage(
    output: str, options: list[str], message: str, given: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["convert", str(given), str(tmp_path / output), *options]) == ExitCode.USAGE
    assert message in capsys.readouterr().err
    assert not (tmp_path / output).exists()


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


@pytest.mark.parametrize("again", ["in.json", "in.json/", "./in.json", "link.json"])
def test_the_input_is_not_overwritten(again: str, given: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given.with_name("link.json").symlink_to(given)
    before = given.read_bytes()
    assert run(["convert", str(given), f"{given.parent}/{again}", "--zarr-format", "3"]) == 2
    assert "would be overwritten" in capsys.readouterr().err
    assert given.read_bytes() == before


def test_nothing_that_is_read_is_replaced_with_a_directory(given: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.parq"
    assert run(["convert", str(given), str(out)]) == 0
    assert run(["convert", str(out), f"{out}/"]) == 2
    (out / "inner.json").write_bytes(given.read_bytes())
    assert run(["convert", str(out / "inner.json"), str(out)]) == 2
    shutil.copy(OCEAN, out / "ocean.nc")
    assert run(["scan", str(out / "ocean.nc"), "-o", str(tmp_path / "ocean.json")]) == 0
    assert run(["convert", str(tmp_path / "ocean.json"), str(out)]) == 2
    assert (out / "inner.json").exists()


def test_the_help_lists_the_suffixes_line_by_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["convert", "--help"]) == 0
    shown = capsys.readouterr().out
    assert "\\b" not in shown
    assert "  .json, .json.gz, .json.zst  one file\n" in shown
    assert "  .parq, .parquet             a directory, for many chunks\n" in shown


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Return a directory with a file and its references by relative locations, ``o.parq``."""
    folder = tmp_path / "archive"
    folder.mkdir()
    shutil.copy(OCEAN, folder / "ocean.nc")
    assert run(["scan", str(folder / "ocean.nc"), "--relative", "-o", str(folder / "o.parq")]) == 0
    return folder


@pytest.mark.parametrize("moved", [False, True])
def test_a_relative_parquet_document_is_read_verified_and_converted(moved: bool, archive: Path) -> None:
    if moved:
        archive = archive.rename(archive.with_name("elsewhere"))
    here = f"file://{archive}/ocean.nc"
    assert urls(archive / "o.parq") == [here]
    assert run(["verify", str(archive / "o.parq")]) == 0
    assert run(["convert", str(archive / "o.parq"), str(archive / "c.json")]) == 0
    assert urls(archive / "c.json") == [here]
    write_references(refmaker.scan(str(archive / "ocean.nc")), archive / "absolute.json")
    expected = xr.open_dataset(archive / "absolute.json", engine="refmaker").load()
    for name in ("o.parq", "c.json"):
        with xr.open_dataset(archive / name, engine="refmaker") as found:
            xr.testing.assert_identical(found.load(), expected)
        store = {"fo": str(archive / name)}
        found = xr.open_dataset(
            "refmaker://", engine="zarr", backend_kwargs={"storage_options": store, "consolidated": False}
        )
        xr.testing.assert_identical(found.load(), expected)


@pytest.mark.parametrize("arguments", [["combine", "ocean.nc"], ["convert", "o.parq"]], ids=lambda a: a[0])
@pytest.mark.parametrize("output", ["n.parq", "n.parq/"])
def test_every_verb_writes_relative_parquet_alike(arguments: list[str], output: str, archive: Path) -> None:
    verb, name = arguments
    relative = ["--relative"] if verb == "combine" else ["--relative-to", str(archive)]
    out = f"{archive}/{output}"
    given = [verb, str(archive / name), out] if verb == "convert" else [verb, str(archive / name), "-o", out]
    assert run([*given, *relative]) == 0
    index = json.loads((archive / "n.parq" / "refmaker.json").read_text())
    assert [source["url"] for source in index["sources"]] == ["ocean.nc"]
    assert urls(archive / "n.parq") == [f"file://{archive}/ocean.nc"]


@pytest.mark.parametrize("name", ["n.json", "n.parq"])
def test_a_modified_source_of_relative_references_is_noticed(name: str, archive: Path) -> None:
    assert run(["convert", str(archive / "o.parq"), str(archive / name), "--relative-to", str(archive)]) == 0
    assert run(["verify", str(archive / name)]) == 0
    os.utime(archive / "ocean.nc", (0, 0))  # of equal size
    assert run(["verify", str(archive / name)]) == ExitCode.MISMATCH
    with pytest.raises(StaleSourceError):
        xr.open_dataset(archive / name, engine="refmaker").load()
    move = f"{archive}={archive}/copy"
    assert run(["convert", str(archive / name), str(archive / "m.json"), "--relocate", move]) == 0
    assert open_references(archive / "m.json").sources[0].last_modified is None


@pytest.mark.parametrize("place", ["{year}.parq", "a}.parquet", "{deep}/x.parq"])
def test_braces_in_the_path_of_parquet_are_refused(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "{deep}").mkdir()
    assert run(["scan", str(OCEAN), "-o", str(tmp_path / place)]) == ExitCode.USAGE
    assert "write to a path without them" in capsys.readouterr().err
    assert not (tmp_path / place).exists()
    monkeypatch.chdir(tmp_path / "{deep}")
    assert run(["scan", str(OCEAN), "-o", "x.parq"]) == ExitCode.USAGE
    assert run(["scan", str(OCEAN), "-o", "{year}.json"]) == 0


@pytest.mark.parametrize("name", ["x.json", "x.parq"])
def test_a_file_name_that_is_not_utf8_is_refused(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    odd = tmp_path / os.fsdecode(b"oc\xffan.nc")
    shutil.copy(OCEAN, odd)
    assert run(["scan", str(odd), "-o", str(tmp_path / name)]) == ExitCode.NOTHING_DONE
    said = capsys.readouterr().err
    assert "rename" in said
    assert "an.nc" in said
    assert "internal" not in said
    assert not (tmp_path / name).exists()
