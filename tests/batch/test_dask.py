"""A Dask cluster scans as this machine does: the same result, whatever happens to files and workers."""

import os
import signal
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import refmaker
from refmaker.batch.ledger import NAME, FileState, Ledger
from tests.batch.archive import archive, write_broken

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
