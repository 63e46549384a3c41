"""``refmaker.index``: every file is in the result or accounted for, whatever it does to its reader."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import refmaker
from refmaker.batch.index import IndexReport, run
from refmaker.batch.job import job_of
from refmaker.batch.ledger import NAME, FileRow, FileState, Ledger
from refmaker.errors import BrokenFileError, OptionError, RefmakerError, SourceError
from tests.batch.archive import BROKEN, NETCDF_ONLY, STEPS, archive, values_of, write_broken, write_good


def rows(report: IndexReport, *states: FileState) -> list[FileRow]:
    with Ledger(report.directory / NAME, read_only=True) as ledger:
        return list(ledger.rows(*states))


def assert_holds(document: Path, numbers: list[int]) -> None:
    """The combined document has the data of these good files and nothing else."""
    with xr.open_dataset(document, engine="refmaker") as found:
        assert found.sizes["time"] == STEPS * len(numbers)
        np.testing.assert_array_equal(found.tas, np.concatenate([values_of(n) for n in numbers]))


@pytest.mark.parametrize("suffix", [".json", ".parq"])
def test_an_archive_becomes_one_document(tmp_path: Path, suffix: str) -> None:
    archive(tmp_path / "data", 12)
    output = tmp_path / f"all{suffix}"
    report = refmaker.index(str(tmp_path / "data/*.nc"), output, concat="time")
    assert (report.files[FileState.DONE], report.scanned, report.is_complete) == (12, 12, True)
    assert report.written == (str(output),)
    assert_holds(output, list(range(12)))


def test_every_broken_file_is_named_with_the_right_reason_and_the_good_ones_are_all_there(
    tmp_path: Path, trouble: Path
) -> None:
    data = tmp_path / "data"
    archive(data, 60)
    broken = write_broken(data)
    report = refmaker.index(
        str(data / "*.nc"),
        tmp_path / "all.json",
        concat="time",
        on_error="skip",
        timeout=8,
        memory=200 << 20,
    )
    failed = {row.url: row for row in rows(report, FileState.FAILED)}
    assert failed.keys() == broken.keys()
    for url, kind in broken.items():
        assert failed[url].kind in BROKEN[kind][1], (kind, failed[url])
        assert failed[url].message
    assert report.files[FileState.DONE] == 60
    assert_holds(tmp_path / "all.json", list(range(60)))


def test_a_crash_says_where_and_a_hang_how_long(tmp_path: Path, trouble: Path) -> None:
    (tmp_path / "data").mkdir()
    write_broken(tmp_path / "data", ["abort", "hang"])
    report = run(
        job_of(
            str(tmp_path / "data/*"),
            str(tmp_path / "out.json"),
            options={"on_error": "skip", "timeout": 1, "retries": 5},
        )
    )
    crashed, hanging = rows(report)
    assert "SIGABRT" in str(crashed.message)
    assert "trouble_scanner.py" in str(crashed.message)
    assert "after 1 seconds" in str(hanging.message)
    assert (crashed.attempts, hanging.attempts) == (1, 1)  # neither will pass
    assert not report.is_complete
    assert not (tmp_path / "out.json").exists()


def test_a_process_ended_from_outside_is_tried_again(tmp_path: Path, trouble: Path) -> None:
    archive(tmp_path / "data", 3)
    path = tmp_path / "data/once.nc"
    path.write_bytes(f"TROUBLE:once:{tmp_path / 'mark'}".encode())
    job = job_of(str(tmp_path / "data/*"), str(tmp_path / "out.json"), options={"on_error": "skip", "concat": "time"})
    (row,) = rows(run(job), FileState.FAILED)
    assert (row.attempts, row.kind) == (2, "internal")


def test_a_failed_file_prevents_the_output_by_default(tmp_path: Path) -> None:
    archive(tmp_path / "data", 4)
    write_broken(tmp_path / "data", ["html"])
    with pytest.raises(BrokenFileError, match=r"00000-html\.nc: .*<html"):
        refmaker.index(str(tmp_path / "data/*.nc"), tmp_path / "all.json", concat="time")
    assert not (tmp_path / "all.json").exists()
    write_good(tmp_path / "data/00000-html.nc", 77)
    report = refmaker.index(str(tmp_path / "data/*.nc"), tmp_path / "all.json", concat="time")  # tries it again
    assert report.scanned <= 4
    assert_holds(tmp_path / "all.json", [0, 1, 2, 3, 77])


def test_too_many_failures_stop_the_scanning(tmp_path: Path) -> None:
    archive(tmp_path / "data", 120, first=100)
    write_broken(tmp_path / "data", NETCDF_ONLY)
    options = {"on_error": "skip", "max_failures": 3, "workers": 1}
    report = run(job_of(str(tmp_path / "data/*.nc"), str(tmp_path / "all.json"), options=options))
    assert report.is_stopped
    assert report.failed > 3
    assert report.files[FileState.PENDING] > 60
    assert not report.written


@pytest.mark.parametrize(("policy", "again"), [("skip", 1), ("quarantine", 0)])
def test_skipped_files_are_tried_by_the_next_run_and_quarantined_ones_only_if_they_changed(
    tmp_path: Path, policy: str, again: int
) -> None:
    archive(tmp_path / "data", 3, first=1)
    write_broken(tmp_path / "data", ["html"])
    path = tmp_path / "data/00000-html.nc"

    def indexed(**options: bool) -> IndexReport:
        return refmaker.index(
            str(tmp_path / "data/*.nc"),
            tmp_path / "all.json",
            concat="time",
            on_error=policy,  # type: ignore[arg-type]
            **options,
        )

    assert (indexed().failed, indexed().scanned, indexed(update=True).scanned) == (1, again, again)
    path.unlink()
    write_good(path, 0)
    assert indexed(update=True).scanned == 1
    assert_holds(tmp_path / "all.json", [0, 1, 2, 3])


def test_update_scans_what_is_new_or_changed_and_drops_what_is_gone(tmp_path: Path) -> None:
    data = tmp_path / "data"
    archive(data, 20)

    def indexed(**options: bool) -> IndexReport:
        return refmaker.index(str(data / "*.nc"), tmp_path / "all.json", concat="time", **options)

    indexed()
    archive(data, 3, first=20)
    write_good(data / "00001.nc", 99)
    (data / "00002.nc").unlink()
    assert indexed().scanned == 0
    report = indexed(update=True)
    assert report.listing is not None
    assert (report.listing.new, report.listing.changed, report.listing.vanished) == (3, 1, 1)
    assert report.scanned == 4
    assert report.files[FileState.VANISHED] == 1
    assert_holds(tmp_path / "all.json", [0, *range(3, 23), 99])
    write_good(data / "00002.nc", 2)
    assert indexed(update=True).scanned == 1
    assert_holds(tmp_path / "all.json", [0, *range(2, 23), 99])
    assert indexed(update=True).written == ()


def test_separate_documents_are_written_once(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        archive(tmp_path / "data" / folder, 2)

    def indexed(**options: bool) -> IndexReport:
        return refmaker.index(str(tmp_path / "data/**/*.nc"), separate=tmp_path / "refs", **options)

    indexed()
    found = sorted(path.relative_to(tmp_path / "refs").as_posix() for path in (tmp_path / "refs").rglob("*.json"))
    assert found == ["a/00000.json", "a/00001.json", "b/00000.json", "b/00001.json"]
    assert_holds(tmp_path / "refs/b/00001.json", [1])
    before = {path: path.stat().st_ino for path in (tmp_path / "refs").rglob("*.json")}
    write_good(tmp_path / "data/a/00000.nc", 5)
    indexed(update=True)
    after = {path: path.stat().st_ino for path in before}
    assert {path.name for path in before if before[path] != after[path]} == {"00000.json"}
    assert sum(before[path] != after[path] for path in before) == 1


def test_both_kinds_of_output_at_once(tmp_path: Path) -> None:
    archive(tmp_path / "data", 3)
    refmaker.index(str(tmp_path / "data/*.nc"), tmp_path / "all.parq", separate=tmp_path / "refs", concat="time")
    assert_holds(tmp_path / "all.parq", [0, 1, 2])
    assert len(list((tmp_path / "refs").glob("*.json"))) == 3


def test_two_files_for_one_document_are_refused(tmp_path: Path) -> None:
    archive(tmp_path / "data", 1)
    write_good(tmp_path / "data/00000.h5", 1)
    with pytest.raises(OptionError, match=r"the same document, .*/00000\.json"):
        refmaker.index(str(tmp_path / "data/*"), separate=tmp_path / "refs")


def test_other_scan_options_need_another_job(tmp_path: Path) -> None:
    archive(tmp_path / "data", 1)
    refmaker.index(str(tmp_path / "data/*"), tmp_path / "all.json")
    with pytest.raises(OptionError, match="other options"):
        refmaker.index(str(tmp_path / "data/*"), tmp_path / "all.json", exclude=("lat",))
    with pytest.raises(OptionError, match="other inputs"):
        refmaker.index(str(tmp_path / "data/*.nc"), tmp_path / "all.json")


def test_other_ways_to_combine_need_no_other_scan(tmp_path: Path) -> None:
    archive(tmp_path / "data", 4)
    job = tmp_path / "job"
    refmaker.index(str(tmp_path / "data/*"), tmp_path / "all.json", concat="time", job=job)
    report = refmaker.index(
        str(tmp_path / "data/*"), tmp_path / "other.parq", concat="time", job=job, attrs="identical"
    )
    assert report.scanned == 0
    assert_holds(tmp_path / "other.parq", [0, 1, 2, 3])


def test_files_that_do_not_fit_together_are_scanned_all_the_same(tmp_path: Path) -> None:
    archive(tmp_path / "data", 4)
    with pytest.raises(refmaker.ConflictError):
        refmaker.index(str(tmp_path / "data/*"), tmp_path / "all.json")
    report = refmaker.index(str(tmp_path / "data/*"), tmp_path / "all.json", concat="time")
    assert report.scanned == 0
    assert_holds(tmp_path / "all.json", [0, 1, 2, 3])


def test_two_runs_of_one_job_at_a_time_are_refused(tmp_path: Path) -> None:
    archive(tmp_path / "data", 1)

    def again(_: object) -> None:
        with pytest.raises(OptionError, match="another run"):
            refmaker.index(str(tmp_path / "data/*"), tmp_path / "all.json")

    refmaker.index(str(tmp_path / "data/*"), tmp_path / "all.json", progress=again)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"on_eror": "skip"}, "did you mean 'on_error'"),
        ({"on_error": "ignore"}, "not one of raise, skip, quarantine"),
        ({"workers": 0}, "at least 1"),
        ({"timeout": 0}, "more than 0"),
        ({"include": "tas"}, "one string"),
    ],
)
def test_options_that_make_no_sense_are_refused(tmp_path: Path, options: dict[str, object], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        refmaker.index(str(tmp_path / "*.nc"), tmp_path / "all.json", **options)  # type: ignore[arg-type]


def test_a_damaged_result_is_an_error_and_not_another_output(tmp_path: Path) -> None:
    archive(tmp_path / "data", 3)
    refmaker.index(str(tmp_path / "data/*"), tmp_path / "all.json", concat="time")
    (shard,) = (tmp_path / "all.json.job/results").iterdir()
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 0xFF
    shard.write_bytes(data)
    (tmp_path / "all.json").unlink()
    with pytest.raises(RefmakerError, match="damaged"):
        refmaker.index(str(tmp_path / "data/*"), tmp_path / "all.json", concat="time")
    assert not (tmp_path / "all.json").exists()


def test_an_empty_list_is_no_job_yet(tmp_path: Path) -> None:
    archive(tmp_path / "data", 2)
    names = tmp_path / "names.txt"
    names.write_text("# later\n\n")
    with pytest.raises(OptionError, match="no file"):
        refmaker.index(f"@{names}", tmp_path / "all.json", concat="time")
    names.write_text("".join(f"{path}\n" for path in sorted((tmp_path / "data").iterdir())))
    assert refmaker.index(f"@{names}", tmp_path / "all.json", concat="time").scanned == 2


def test_lists_name_files_too(tmp_path: Path) -> None:
    archive(tmp_path / "data", 4)
    names = tmp_path / "names.txt"
    names.write_text("".join(f"{tmp_path}/data/0000{n}.nc\n" for n in (3, 1)))
    refmaker.index([f"@{names}", str(tmp_path / "data/00000.nc")], tmp_path / "all.json", concat="time")
    assert_holds(tmp_path / "all.json", [0, 1, 3])
    assert [s["url"][-8:] for s in json.loads((tmp_path / "all.json").read_text())["refmaker"]["sources"]] == [
        "00003.nc",
        "00001.nc",
        "00000.nc",
    ]


def test_what_a_killed_run_left_half_written_is_removed(tmp_path: Path) -> None:
    archive(tmp_path / "data", 2)
    output = tmp_path / "all.parq"
    options: Any = {"concat": "time", "separate": tmp_path / "refs"}

    def dying(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("refmaker.batch.index.write_document", dying)
        with pytest.raises(KeyboardInterrupt):
            refmaker.index(str(tmp_path / "data/*"), output, **options)
    leftovers = [tmp_path / ".all.parq.abc.part", tmp_path / "refs/.00000.json.x.part"]
    (leftovers[0] / "new").mkdir(parents=True)
    leftovers[1].write_text("half")
    others = [tmp_path / ".other.parq.abc.part", tmp_path / "refs/.mine"]
    for other in others:
        other.write_text("not ours")
    refmaker.index(str(tmp_path / "data/*"), output, **options)
    assert not any(path.exists() for path in leftovers)
    assert all(path.exists() for path in others)
    assert_holds(output, [0, 1])


def test_workers_that_do_not_start_are_no_fault_of_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive(tmp_path / "data", 2)
    (tmp_path / "numpy.py").write_text("raise ImportError('no numpy today')")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(SourceError, match=r"do not start.*no numpy today"):
        refmaker.index(str(tmp_path / "data/*"), tmp_path / "all.json")
    monkeypatch.undo()
    assert refmaker.index(str(tmp_path / "data/*"), tmp_path / "all.json", concat="time").scanned == 2


def test_a_name_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with (tmp_path / "data" / "\udcff.nc").open("wb"):
        pass
    with pytest.raises(OptionError, match="not UTF-8"):
        refmaker.index(str(tmp_path / "data/*"), tmp_path / "all.json")


def test_all_files_may_vanish(tmp_path: Path) -> None:
    archive(tmp_path / "data", 1)
    name = str(tmp_path / "data/00000.nc")
    refmaker.index(name, tmp_path / "all.json")
    Path(name).unlink()
    with pytest.raises(OptionError, match="all have vanished"):
        refmaker.index(name, tmp_path / "all.json", update=True)
