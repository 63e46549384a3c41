"""Files behind a store: read ahead in shared rounds, tried again when a failure passes, and watched for changes."""

import threading
import time
from pathlib import Path
from typing import Any

import pytest

import refmaker
from refmaker.batch.ledger import NAME, FileState, Ledger
from tests.batch.archive import BROKEN, archive, write_broken, write_good
from tests.remote_server import Asked, serving

pytest.importorskip("aiohttp")


def urls(url: str, folder: Path) -> list[str]:
    return [f"{url}/{path.name}" for path in sorted(folder.iterdir())]


def test_remote_files_share_rounds(tmp_path: Path) -> None:
    archive(tmp_path / "data", 40)
    with serving(tmp_path / "data", latency=0.1) as server:
        started = time.monotonic()
        names = urls(server.url, tmp_path / "data")
        report = refmaker.index(names, separate=tmp_path / "refs", workers=1)
        seconds = time.monotonic() - started
        assert server.most_at_once > 10
    assert report.files[FileState.DONE] == 40
    assert seconds < 40 * 0.1 + 6  # one after the other, three requests each would take twelve seconds
    with Ledger(report.directory / NAME, read_only=True) as ledger:
        assert all(row.requests and row.bytes_read for row in ledger.rows())


def test_passing_failures_are_tried_again_and_others_are_not(tmp_path: Path) -> None:
    archive(tmp_path / "data", 3)
    counts: dict[str, int] = {}
    lock = threading.Lock()

    def fault(asked: Asked) -> str:
        with lock:
            counts[asked.path] = counts.get(asked.path, 0) + 1
        if asked.path == "/00001.nc":
            return "503" if counts[asked.path] <= 6 else ""  # more than the transfer itself tries
        return "403" if asked.path == "/00002.nc" else ""

    with serving(tmp_path / "data") as server:
        server.fault = fault
        names = urls(server.url, tmp_path / "data")
        report = refmaker.index(names, tmp_path / "all.json", concat="time", on_error="skip")
    with Ledger(report.directory / NAME, read_only=True) as ledger:
        first, passing, forbidden = ledger.rows()
    assert (first.state, passing.state, forbidden.state) == (FileState.DONE, FileState.DONE, FileState.FAILED)
    assert (first.attempts, passing.attempts, forbidden.attempts) == (1, 2, 1)
    assert forbidden.kind == "SourceError"


def test_of_files_read_ahead_only_those_to_blame_fail(tmp_path: Path, trouble: Path) -> None:
    archive(tmp_path / "data", 30)
    broken = write_broken(tmp_path / "data", ["abort", "hang", "empty"])
    with serving(tmp_path / "data") as server:
        names = urls(server.url, tmp_path / "data")
        report = refmaker.index(
            names, tmp_path / "all.json", concat="time", on_error="skip", timeout=3, workers=1, load_below=1 << 20
        )
    with Ledger(report.directory / NAME, read_only=True) as ledger:
        failed = {row.name: str(row.kind) for row in ledger.rows(FileState.FAILED)}
    assert failed.keys() == {Path(url).name for url in broken}
    for url, kind in broken.items():
        assert failed[Path(url).name] in BROKEN[kind][1]


def test_globs_and_changes_of_any_filesystem(tmp_path: Path) -> None:
    data = tmp_path / "data"
    archive(data, 5)
    pattern = f"local://{data}/*.nc"

    def indexed(**options: Any) -> refmaker.batch.index.IndexReport:  # type: ignore[name-defined]
        return refmaker.index(pattern, tmp_path / "all.json", concat="time", **options)

    assert indexed().files[FileState.DONE] == 5
    write_good(data / "00003.nc", 33)
    archive(data, 1, first=7)
    (data / "00000.nc").unlink()
    report = indexed(update=True)
    assert (report.scanned, report.files[FileState.VANISHED], report.files[FileState.DONE]) == (2, 1, 5)


def test_single_files_of_a_store_are_asked_for_changes(tmp_path: Path) -> None:
    data = tmp_path / "data"
    archive(data, 6)
    with serving(data) as server:
        names = urls(server.url, data)
        output = tmp_path / "all.json"
        refmaker.index(names, output, concat="time")
        assert refmaker.index(names, output, concat="time", update=True).scanned == 0
        time.sleep(1.1)  # Last-Modified counts seconds
        write_good(data / "00002.nc", 50)
        (data / "00004.nc").unlink()
        report = refmaker.index(names, output, concat="time", update=True)
    assert (report.scanned, report.files[FileState.VANISHED]) == (1, 1)
