"""A Dask cluster scans as this machine does: the same result, whatever happens to files and workers."""

import multiprocessing
import os
import signal
import warnings
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import netCDF4
import pytest

import refmaker
from refmaker.batch import index as index_module
from refmaker.batch import tree
from refmaker.batch.ledger import NAME, FileState, Ledger
from refmaker.errors import SourceError
from tests.batch.archive import archive, write_broken
from tests.batch.test_resume import contents

distributed = pytest.importorskip("distributed")
pytestmark = pytest.mark.filterwarnings("ignore")  # distributed's own, about sockets and processes that end


@pytest.fixture
def cluster(trouble: Path) -> Iterator[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as made:
            yield made


def test_a_killed_worker_changes_nothing(tmp_path: Path, cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    data = tmp_path / "data"
    archive(data, 150)
    write_broken(data, ["empty", "truncated", "abort", "hang"])
    options: Any = {"concat": "time", "on_error": "skip", "timeout": 3.0}
    refmaker.index(str(data / "*.nc"), tmp_path / "calm.json", **options)
    pids = [worker.pid for worker in cluster.workers.values()]
    killed = []

    def kill(_: object) -> None:
        if not killed:
            killed.append(pids[0])
            os.kill(pids[0], signal.SIGKILL)

    report = refmaker.index(
        str(data / "*.nc"), tmp_path / "dask.json", dask=cluster.scheduler_address, progress=kill, **options
    )
    assert killed
    assert (report.files[FileState.DONE], report.failed) == (150, 4)
    assert (tmp_path / "dask.json").read_bytes() == (tmp_path / "calm.json").read_bytes()
    with Ledger(report.directory / NAME, read_only=True) as ledger:
        kinds = sorted(str(row.kind) for row in ledger.rows(FileState.FAILED))
    assert kinds[-2:] == ["crashed", "timeout"]


@pytest.mark.parametrize("suffix", [".json", ".parq"])
def test_combining_by_tree_gives_the_same_bytes(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    archive(tmp_path / "data", 30)
    pattern = str(tmp_path / "data/*.nc")
    refmaker.index(pattern, tmp_path / f"flat{suffix}", concat="time")
    monkeypatch.setattr(tree, "FAN_IN", 4)  # three levels
    monkeypatch.setattr(index_module, "combined", None)
    with ThreadPoolExecutor(2) as threads:
        report = refmaker.index(pattern, tmp_path / f"tree{suffix}", concat="time", executor=threads)
    assert contents(tmp_path / f"tree{suffix}") == contents(tmp_path / f"flat{suffix}")
    assert [(axis.length, axis.blocks) for axis in report.axes] == [(60, 30)]


@pytest.mark.parametrize("what", ["units", "attribute", "gap", "conflict", "values", "large"])
def test_where_there_is_something_to_decide_all_is_combined_in_one_go(
    tmp_path: Path, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive(tmp_path / "data", 12)
    options: Any = {"concat": "time"}
    with netCDF4.Dataset(tmp_path / "data/00005.nc", "a") as file:
        if what == "units":
            file["time"].units = "hours since 2000-01-01"
            file["time"][:] = file["time"][:] * 24
        elif what == "attribute":
            file["tas"].long_name = "temperature"
        elif what == "conflict":
            file["tas"].units = "degC"
        elif what == "values":
            file["lat"][:] = file["lat"][:] + 1
    if what == "gap":
        (tmp_path / "data/00005.nc").unlink()
    if what == "large":
        options["load_below"] = 100
    pattern = str(tmp_path / "data/*.nc")

    def indexed(name: str, executor: Any = None) -> tuple[str, Any]:
        try:
            refmaker.index(pattern, tmp_path / name, job=tmp_path / "job", executor=executor, **options)
        except refmaker.ConflictError as error:
            return str(error), None
        return "", contents(tmp_path / name)

    flat = indexed("flat.json")
    monkeypatch.setattr(tree, "FAN_IN", 4)
    with ThreadPoolExecutor(2) as threads:
        assert indexed("tree.json", threads) == flat
    assert (flat[1] is None) == (what in {"conflict", "values"})


def test_any_executor_of_futures_will_do(tmp_path: Path) -> None:
    archive(tmp_path / "data", 40)
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        report = refmaker.index(str(tmp_path / "data/*.nc"), tmp_path / "all.json", concat="time", executor=pool)
    assert report.files[FileState.DONE] == 40


def test_an_executor_that_breaks_ends_the_run_and_not_the_job(tmp_path: Path) -> None:
    archive(tmp_path / "data", 40)
    pattern = str(tmp_path / "data/*.nc")
    with ThreadPoolExecutor(1) as threads:
        pass
    with pytest.raises(SourceError, match="run again"):
        refmaker.index(pattern, tmp_path / "all.json", concat="time", executor=threads)
    assert refmaker.index(pattern, tmp_path / "all.json", concat="time").files[FileState.DONE] == 40
