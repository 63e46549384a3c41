"""``refmaker index`` and ``refmaker status``: what they say, write and return."""

import errno
import json
from pathlib import Path
from typing import Any

import h5py
import jsonschema
import numpy as np
import pytest

from refmaker.cli import run
from tests.batch.archive import archive, write_broken
from tests.samples import ROOT

SCHEMA = json.loads((ROOT / "schemas/index-report-v1.schema.json").read_text())


@pytest.fixture
def data(tmp_path: Path) -> Path:
    archive(tmp_path / "data", 5)
    return tmp_path / "data"


def report_of(path: Path) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(path.read_text())
    jsonschema.validate(report, SCHEMA)
    return report


def test_all_is_well(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output, report = tmp_path / "all.parq", tmp_path / "report.json"
    asked = ["index", f"{data}/*.nc", "--concat", "time", "-o", str(output), "--report", str(report)]
    assert run(asked) == 0
    said = capsys.readouterr()
    assert "5 input files: 5 new, 0 changed, 0 vanished" in said.out
    assert "5 files: 5 done" in said.out
    assert f"written: {output}" in said.out
    assert "scanning" in said.err
    found = report_of(report)
    assert found["counts"]["done"] == len(found["files"]) == 5
    assert found["datasets"]["referenced"] == 20
    assert run(asked) == 0
    said = capsys.readouterr().out
    assert "nothing to write" in said
    assert "the inputs were not looked at again since 20" in said
    assert "--update adds new" in said


def test_failures_are_named_and_counted(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_broken(data, ["empty", "html"])
    output, report = tmp_path / "all.json", tmp_path / "report.json"
    asked = ["index", f"{data}/*.nc", "--concat", "time", "-o", str(output), "--report", str(report)]
    assert run([*asked, "--max-failures", "10"]) == 1
    said = capsys.readouterr()
    assert "nothing was written, because 2 files failed" in said.err
    assert not output.exists()
    assert report_of(report)["exit_code"] == 1
    assert run(["index", f"{data}/*.nc", "-o", str(tmp_path / "one.json"), "--workers", "1"]) == 1
    assert "stopped, because" in capsys.readouterr().err
    assert run(["index", f"{data}/absent.nc", "-o", str(tmp_path / "none.json")]) == 1
    assert "error: nothing was written, because no file could be scanned" in capsys.readouterr().err
    assert run([*asked, "--on-error", "skip"]) == 3
    said = capsys.readouterr()
    assert "failures: 2 BrokenFileError" in said.out
    assert f"failed: {data}/00000-empty.nc: BrokenFileError: it is empty" in said.out
    assert "file://" not in said.out + said.err
    found = report_of(report)
    assert [file["error"]["kind"] for file in found["files"] if file["state"] == "failed"] == ["BrokenFileError"] * 2
    assert run(["status", str(output)]) == 0
    said = capsys.readouterr()
    assert "not running" in said.out
    assert "00003-html.nc" in said.out
    assert run(["status", "--json", f"{output}.job"]) == 0
    status = json.loads(capsys.readouterr().out)
    assert status["files"] == {"pending": 0, "done": 5, "failed": 2, "quarantined": 0, "vanished": 0}
    assert {failure["kind"] for failure in status["failures"]} == {"BrokenFileError"}


def test_skipped_datasets_make_it_done_in_part(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for n in range(3):
        with h5py.File(tmp_path / f"{n}.h5", "w") as file:
            file["fine"] = np.arange(4.0) + n
            file["null"] = h5py.Empty("<f4")
    report = tmp_path / "report.json"
    asked = ["index", f"{tmp_path}/*.h5", "--separate", str(tmp_path / "refs"), "--report", str(report)]
    assert run([*asked, "--on-unsupported", "skip"]) == 3
    assert "skipped in 3 files: null: " in capsys.readouterr().out
    assert report_of(report)["datasets"]["skipped"] == 3


def test_conflicts_are_all_told_and_nothing_is_lost(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["index", f"{data}/*.nc", "-o", str(tmp_path / "all.json")]) == 1
    said = capsys.readouterr()
    assert "time" in said.err
    assert "what was scanned is kept in" in said.err


def test_a_job_file_and_options_over_it(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job = tmp_path / "job.toml"
    job.write_text(f'inputs = "{data}/*.nc"\noutput = "{tmp_path}/all.json"\n[combine]\nconcat = "tiem"\n')
    assert run(["index", "-f", str(job), "--concat", "time"]) == 0
    assert (tmp_path / "all.json").exists()
    job.write_text('inputs = "x"\n[combin]\n')
    assert run(["index", "-f", str(job)]) == 2
    assert "did you mean 'combine'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["index", "-o", "x.json"], "there are no inputs"),
        (["index", "nothing/*.nc"], "neither an output"),
        (["index", "nothing/*.nc", "-o", "x.json", "--job", "JOB"], "matches no file"),
        (["index", "DATA", "-o", "x.json", "--job", "JOB"], "is a directory"),
        (["index", "a.nc", "-o", "s3://x/y.json"], "--job DIR"),
        (["status", "nothing"], "is no job"),
        (["index", "DATA/*.nc", "-o", "x.jsno", "--job", "JOB"], "no encoding of references has this suffix"),
        (["index", "DATA/*.nc", "-o", "x.parq", "--job", "JOB", "--zarr-format", "3"], "Zarr 2 metadata only"),
        (["index", "DATA/*.nc", "-o", "x.parq", "--job", "JOB", "--templates"], "templates are for JSON"),
        (["index", "DATA/*.nc", "-o", "x.json", "--job", "JOB", "--record-size", "9"], "a record size is for Parquet"),
        (["index", "DATA/*.nc", "-o", "x.json", "--job", "JOB", "--separate-suffix", ".parq"], "no directory for"),
        (["index", "DATA/*.nc", "--separate", "JOB", "--concat", "time"], "concat is about the document of all files"),
        (["index", "DATA/*.nc", "--separate", "JOB", "--separate-suffix", ".nc"], "no encoding of references"),
        (
            ["index", "DATA/*.nc", "-o", "x.json", "--job", "JOB", "--workers", "2", "--dask", "tcp://h:1"],
            "has its own",
        ),
        (["index", "DATA/*.nc", "-o", "x.json", "--job", "JOB", "--report", "no/r.json"], "there is no directory"),
        (["index", "DATA/*.nc", "-o", "x.json", "--job", "JOB", "--report", "./x.json"], "would overwrite"),
        (["index", "DATA/*.nc", "-o", "x.json", "--job", "JOB", "--format", "grib"], "is not one of"),
    ],
)
def test_usage(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    given = [argument.replace("DATA", str(data)).replace("JOB", str(tmp_path / "job")) for argument in arguments]
    assert run(given) == 2
    said = capsys.readouterr().err
    assert message in said
    assert "scanning" not in said


def test_options_for_stores_are_told_to_do_nothing_where_there_is_none(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--separate", str(tmp_path / "refs"), "--job", str(tmp_path / "job"), "--concurrency", "4"]
    assert run(["index", f"{data}/*.nc", *options]) == 0
    assert "note: --concurrency did nothing: all files are local" in capsys.readouterr().err
    (tmp_path / "list.txt").write_text(f"{data}/00000.nc\n")
    assert run(["index", f"@{tmp_path}/list.txt", "--update", *options]) == 0
    assert "note:" not in capsys.readouterr().err


def test_documents_that_would_be_one_are_found_before_the_scan(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (data / "00001.h5").write_bytes(b"even broken ones")
    asked = ["index", f"{data}/0000*", "--separate", str(tmp_path / "refs"), "--on-error", "skip"]
    assert run(asked) == 2
    said = capsys.readouterr().err
    assert f"{data}/00001.nc: {data}/00001.h5 would have the same document, {tmp_path}/refs/00001.json" in said
    assert "scanning" not in said
    (data / "00001.h5").unlink()
    assert run(asked) == 0, "what was refused left no list of files behind"


def test_documents_of_a_job_that_is_there_are_checked_too(data: Path, tmp_path: Path) -> None:
    (data / "00001.h5").write_bytes(b"even broken ones")
    asked = ["index", f"{data}/0000*", "--on-error", "skip", "--job", str(tmp_path / "job")]
    assert run([*asked, "-o", str(tmp_path / "all.json"), "--concat", "time"]) == 3
    assert run([*asked, "--separate", str(tmp_path / "refs")]) == 2
    assert not (tmp_path / "refs").exists()


def test_a_document_never_overwrites_the_output(data: Path, tmp_path: Path) -> None:
    output = data / "00001.json"
    assert run(["index", f"{data}/*.nc", "-o", str(output), "--separate", f"{data}/", "--concat", "time"]) == 2
    assert not output.exists()


def test_a_report_that_cannot_be_written_in_the_end_is_told(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("refmaker.cli.index_report.write_index_report", fail)
    output = tmp_path / "all.json"
    asked = ["index", f"{data}/*.nc", "--concat", "time", "-o", str(output), "--report", str(tmp_path / "r.json")]
    assert run(asked) == 3
    assert "error: all else is done, but there is no report: No space left on device" in capsys.readouterr().err
    assert output.exists()


def test_places_by_name(tmp_path: Path) -> None:
    for n in range(3):
        with h5py.File(tmp_path / f"member{n}.h5", "w") as file:
            file["tas"] = np.arange(4.0) + n
    asked = ["index", f"{tmp_path}/*.h5", "-o", str(tmp_path / "all.json"), "--concat", "member"]
    assert run([*asked, "--from", r"member=name:member(\d+)"]) == 0
    refs = json.loads((tmp_path / "all.json").read_text())["refs"]
    assert json.loads(refs["tas/.zarray"])["shape"] == [3, 4]
