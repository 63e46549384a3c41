"""``refmaker scan``: what it writes, says and returns."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import fsspec
import h5py
import jsonschema
import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFileSystem

import refmaker
from refmaker.cli import run
from refmaker.cli.commands import root
from refmaker.cli.failures import ExitCode
from refmaker.errors import SourceError
from refmaker.model.reference_set import Note
from tests.samples import LAB, OCEAN, ROOT

REPORT_SCHEMA = json.loads((ROOT / "schemas" / "report-v1.schema.json").read_text())


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "good.h5"
    with h5py.File(path, "w") as file:
        file["group/values"] = np.arange(1000.0)
        file["group"].attrs["note"] = "kept"
    return path


@pytest.fixture
def ragged(tmp_path: Path) -> Path:
    """A file with a dataset that references cannot express, and one that they can."""
    path = tmp_path / "ragged.h5"
    with h5py.File(path, "w") as file:
        file["fine"] = np.arange(1000.0)
        file.create_group("deep").create_dataset("null", data=h5py.Empty("<f4"))
        file.attrs["kept"] = 1
    return path


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    path = tmp_path / "broken.h5"
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(40))
    return path


def report_of(path: Path) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(path.read_text())
    jsonschema.validate(report, REPORT_SCHEMA)
    return report


def test_one_file_gives_one_document(good: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "refs.json"
    assert run(["scan", str(good), "-o", str(out)]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert str(good) in said.out
    assert str(out) in said.out
    assert "group/values/0" in json.loads(out.read_text())["refs"]


def test_a_skipped_dataset_is_named_on_a_line_of_its_own(
    ragged: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, report = tmp_path / "refs.json", tmp_path / "report.json"
    arguments = ["scan", str(ragged), "-o", str(out), "--on-unsupported", "skip", "--report", str(report)]
    assert run(arguments) == ExitCode.DONE_IN_PART
    (line,) = (line for line in capsys.readouterr().out.splitlines() if "deep/null" in line)
    path, code, reason = line.strip().split(": ", 2)
    assert (path, bool(reason)) == ("deep/null", True)
    (file,) = report_of(report)["files"]
    assert {"path": "deep/null", "state": "skipped", "code": code, "reason": reason} in file["datasets"]
    assert file["counts"]["skipped"] == 1


def test_the_datasets_of_the_report_are_all_of_the_file(tmp_path: Path) -> None:
    out, report = tmp_path / "refs.json", tmp_path / "report.json"
    arguments = ["scan", str(OCEAN), "-o", str(out), "--on-unsupported", "skip", "--report", str(report)]
    code = run(arguments)
    document = report_of(report)
    assert document["exit_code"] == code
    (file,) = document["files"]
    assert sum(file["counts"].values()) == len(file["datasets"])
    written = {key.removesuffix("/.zarray") for key in json.loads(out.read_text())["refs"] if key.endswith("/.zarray")}
    assert written == {dataset["path"] for dataset in file["datasets"] if dataset["state"] != "skipped"}


def test_an_unsupported_dataset_fails_the_file_and_the_way_out_is_told(
    ragged: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "refs.json"
    assert run(["scan", str(ragged), "-o", str(out)]) == ExitCode.NOTHING_DONE
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert "deep/null" in said
    assert "--on-unsupported skip" in said
    assert not out.exists()


def test_a_file_of_nothing_but_skipped_datasets_keeps_its_attributes(tmp_path: Path) -> None:
    path, out = tmp_path / "null.h5", tmp_path / "refs.json"
    with h5py.File(path, "w") as file:
        file["null"] = h5py.Empty("<f4")
        file.create_group("deep").attrs["kept"] = "yes"
    assert run(["scan", str(path), "-o", str(out), "--on-unsupported", "skip"]) == ExitCode.DONE_IN_PART
    assert json.loads(json.loads(out.read_text())["refs"]["deep/.zattrs"]) == {"kept": "yes"}


def test_one_broken_file_does_not_stop_the_others(
    good: Path, broken: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, report = tmp_path / "refs", tmp_path / "report.json"
    files = [str(broken), str(tmp_path / "absent.nc"), str(good)]
    assert run(["scan", *files, "-o", f"{out}/", "--report", str(report)]) == ExitCode.DONE_IN_PART
    assert [path.name for path in out.iterdir()] == ["good.json"]
    errors = capsys.readouterr().err.splitlines()
    assert [name for name in ("broken.h5", "absent.nc") if not any(name in line for line in errors)] == []
    assert errors[-1] == "error: 2 of 3 files failed"
    found = report_of(report)
    assert [file["file"] for file in found["files"]] == files
    assert [file["error"] is None for file in found["files"]] == [False, False, True]


def test_only_broken_files_are_nothing_done(broken: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    assert run(["scan", str(broken), "-o", str(tmp_path / "refs.json"), "--report", str(report)]) == 1
    assert report_of(report)["files"][0]["error"]["kind"] in {"BrokenFileError", "TruncatedFileError"}
    assert not (tmp_path / "refs.json").exists()


def test_several_files_are_accounted_for_in_rows_and_a_total(
    good: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["scan", str(good), str(LAB), "-o", f"{tmp_path}/out/", "--on-unsupported", "skip"]) in {0, 3}
    rows = capsys.readouterr().out.splitlines()
    assert rows[0].split() == [
        "file", "datasets", "referenced", "inlined", "linked", "skipped", "notes", "seconds", "references",
    ]  # fmt: skip
    first, second, total = (row.split() for row in rows[1:4])
    assert total[:2] == ["2", "files"]
    assert int(total[2]) == int(first[1]) + int(second[1]) > 2


def test_verbose_lists_the_notes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["scan", str(LAB), "-o", str(tmp_path / "refs.json"), "--on-unsupported", "skip"]
    run(arguments)
    counted = capsys.readouterr().out
    run([*arguments, "-v"])
    listed = capsys.readouterr().out
    assert "notes (" in counted
    assert len(listed.splitlines()) > len(counted.splitlines())


def test_options_reach_the_scan(good: Path, tmp_path: Path) -> None:
    out = tmp_path / "refs.json"
    run(["scan", str(good), "-o", str(out), "--group", "group", "--chunk-bytes", "4kB", "--format", "hdf5"])
    refs = json.loads(out.read_text())["refs"]
    assert {"values/0", "values/1"} <= refs.keys()
    run(["scan", str(good), "-o", str(out), "--exclude", "group/*"])
    assert "group/values/.zarray" not in json.loads(out.read_text())["refs"]
    run(["scan", str(good), "-o", str(out), "--inline-below", "1MiB"])
    assert json.loads(out.read_text())["refs"]["group/values/0"].startswith("base64:")


def test_relative_locations_follow_the_document(good: Path, tmp_path: Path) -> None:
    out = tmp_path / "refs.json"
    run(["scan", str(good), "-o", str(out), "--relative"])
    assert json.loads(out.read_text())["refs"]["group/values/0"][0] == "good.h5"


def test_a_location_that_cannot_be_relative_is_not_written_as_absolute(
    good: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["scan", str(good), "-o", f"{tmp_path}/elsewhere/", "--relative"]) == ExitCode.USAGE
    assert "below the document's directory" in capsys.readouterr().err
    assert not list(tmp_path.glob("elsewhere/*"))


def test_a_file_has_the_name_that_the_user_gave_it(
    broken: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(broken.parent)
    assert run(["scan", "broken.h5", "./absent.nc", "-o", "out/"]) == ExitCode.NOTHING_DONE
    first, second, _ = capsys.readouterr().err.splitlines()
    assert first.startswith("error: broken.h5: ")
    assert second.startswith("error: ./absent.nc: ")


def test_options_for_stores_are_told_to_do_nothing_where_there_is_none(
    good: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["scan", str(good), "-o", str(tmp_path / "refs.json")]
    assert run([*arguments, "--retries", "0", "--storage-option", "anon=true"]) == 0
    assert capsys.readouterr().err == "note: --storage-option and --retries did nothing: all files are local\n"


def test_a_server_without_ranges_is_warned_of(
    good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = refmaker.scan(good)
    noted = replace(found, report=replace(found.report, notes=(Note("", "no-ranges", "its server ignores ranges"),)))
    monkeypatch.setattr(refmaker, "scan_many", lambda *_, **__: (one for one in [noted]))
    assert run(["scan", str(good), "-o", str(tmp_path / "refs.json")]) == 0
    assert capsys.readouterr().err == f"warning: {good}: its server ignores ranges\n"
    refmaker.write_references(noted, tmp_path / "noted.json")
    assert run(["combine", str(tmp_path / "noted.json"), "-o", str(tmp_path / "all.json")]) == 0
    assert f"warning: {tmp_path}/all.json: its server ignores ranges" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "Missing argument 'FILE...'"),
        (["a.nc"], "Missing option '-o'"),
        (["a.nc", "b.nc", "-o", "out"], "need a directory"),
        (["a.nc", "-o", "out.jsno"], "ends neither in .json nor"),
        (["*.nc", "-o", "out/"], "*.nc matches no file; the shell"),
        (["x/a.nc", "y/a.nc", "-o", "out/"], "x/a.nc and y/a.nc would both be written to out/a.json"),
        (["a.nc", "a.nc", "-o", "out/"], "would both be written"),
        (["a.json", "-o", "a.json"], "would overwrite"),
        (["a.nc", "-o", "a.json", "--report", "a.nc"], "would overwrite"),
        (["a.nc", "-o", "a.json", "--report", "./a.json"], "would overwrite"),
        (["a.nc", "-o", "a.parq", "--zarr-format", "3"], "Zarr 2 metadata only"),
        (["a.nc", "-o", "a.json", "--level", "-1"], "is not in the range"),
        (["a.nc", "-o", "a.json", "--inline-below", "lots"], "is not a size"),
        (["a.nc", "-o", "a.json", "--format", "grib"], "'grib' is not one of"),
        (["a.nc", "-o", "a.json", "--storage-option", "anon"], "is not NAME=VALUE"),
        (["a.nc", "-o", "a.json", "--on-unsupported", "ignore"], "'ignore' is not one of"),
        (["a.nc", "-o", "a.json", "--no-such-option"], "No such option"),
        (["https://user:secret@host/a.nc", "-o", "out.json"], "holds credentials"),
    ],
)
def test_a_command_line_that_makes_no_sense_is_usage(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["scan", *arguments]) == ExitCode.USAGE
    error = capsys.readouterr().err
    assert said in error
    assert "error: " in error
    assert "secret" not in error
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_does_not_exist_is_an_error_before_the_work(
    good: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for verb in ("scan", "combine", "convert"):
        output = str(tmp_path / "absent" / "refs.json")
        given = [output] if verb == "convert" else ["-o", output]
        assert run([verb, str(good), *given]) == ExitCode.USAGE
        assert f"{output}: cannot be written: there is no directory {tmp_path}/absent" in capsys.readouterr().err


def test_a_report_that_has_no_directory_is_refused_before_the_work(
    good: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "refs.json"
    report = tmp_path / "no" / "r.json"
    assert run(["scan", str(good), "-o", str(out), "--report", str(report)]) == ExitCode.USAGE
    assert f"there is no directory {report.parent}" in capsys.readouterr().err
    assert not out.exists()


def test_a_report_that_cannot_be_written_in_the_end_is_told(
    good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise SourceError("cannot be written: No space left on device", location="r.json")

    monkeypatch.setattr("refmaker.cli.scan.write_report", fail)
    out = tmp_path / "refs.json"
    arguments = ["scan", str(good), "-o", str(out), "--report", str(tmp_path / "r.json")]
    assert run(arguments) == ExitCode.DONE_IN_PART
    assert capsys.readouterr().err == (
        "error: all else is done, but there is no report: r.json: cannot be written: No space left on device\n"
    )
    assert out.exists()


def test_names_that_could_fool_a_terminal_are_escaped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "names.h5"
    with h5py.File(path, "w") as file:
        file["two\nlines\x1b[31m"] = h5py.Empty("<f4")
    run(["scan", str(path), "-o", str(tmp_path / "refs.json"), "--on-unsupported", "skip"])
    said = capsys.readouterr().out
    assert "two\\nlines\\x1b[31m: " in said
    assert "\x1b" not in said


def test_a_bug_is_one_line_to_report_and_a_traceback_on_demand(
    good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("nobody foresaw this")

    monkeypatch.setattr(refmaker, "scan_many", fail)
    arguments = ["scan", str(good), "-o", str(tmp_path / "refs.json")]
    assert run(arguments) == ExitCode.NOTHING_DONE
    said = capsys.readouterr().err
    assert said.startswith(f"error: {good}: internal error: ZeroDivisionError: nobody foresaw this; please report")
    assert "Traceback" not in said
    for debugging in (["--debug", *arguments], [*arguments, "--debug"]):
        assert run(debugging) == ExitCode.NOTHING_DONE
        assert "Traceback" in capsys.readouterr().err


def test_full_paths_stay_on_one_line_when_programs_read(good: Path, tmp_path: Path) -> None:
    folder = tmp_path / ("a long name " * 12).strip()
    folder.mkdir()
    command = [sys.executable, "-m", "refmaker", "scan", str(good), "-o", str(folder / "refs.json")]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "COLUMNS": "40"}, check=True)
    assert any(line.endswith(str(folder / "refs.json")) for line in done.stdout.splitlines())
    assert done.stderr == ""


@pytest.mark.parametrize("module", ["refmaker", "refmaker.cli"])
def test_it_runs_as_a_module(module: str) -> None:
    done = subprocess.run([sys.executable, "-m", module, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"refmaker {refmaker.__version__}\n"


def test_without_a_verb_the_help_is_shown_and_it_is_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == ExitCode.USAGE
    said = capsys.readouterr().err
    assert all(verb in said for verb in root.list_commands(None))  # type: ignore[arg-type]
    assert all(code.meaning in " ".join(said.split()) for code in ExitCode)


def test_the_readme_tells_the_exit_codes() -> None:
    readme = (ROOT / "README.md").read_text()
    assert all(f"| {code.value} | {code.meaning} |" in readme for code in ExitCode)


class NeedsKey(MemoryFileSystem):  # type: ignore[misc]  # of fsspec, which has no types
    """A store that lets nobody in without a key."""

    protocol = "needskey"
    cachable = False

    def __init__(self, *arguments: Any, key: str, **options: Any) -> None:
        super().__init__(*arguments, **options)
        assert key == "hunter2"


def test_storage_options_are_for_documents_and_reports_too(good: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fsspec.register_implementation("needskey", NeedsKey, clobber=True)
    arguments = ["-o", "needskey://refs.json", "--storage-option", "key=hunter2"]
    assert run(["scan", str(good), *arguments, "--report", "needskey://report.json"]) == 0
    assert run(["combine", str(good), *arguments]) == 0
    assert run(["verify", "needskey://refs.json", *arguments[2:], "--allow", "*", "--report", "needskey://v.json"]) == 0
    assert {path.rpartition("/")[2] for path in NeedsKey.store} >= {"refs.json", "report.json", "v.json"}
    assert capsys.readouterr().err == ""
