"""Many files at once: one result each, in their order, whatever becomes of the others."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import fsspec
import h5py
import pytest

import refmaker
from refmaker.scanners import many
from refmaker.source.location import options_for
from tests.remote_server import RemoteServer, serving
from tests.samples import LAB, OCEAN
from tests.scanners.comparing_remote import told


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RemoteServer]:
    for path in (OCEAN, LAB):
        shutil.copy(path, tmp_path)
    with serving(tmp_path) as server:
        yield server


def test_results_come_in_order_and_errors_are_values(server: RemoteServer, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("no known format")
    fsspec.filesystem("memory").pipe_file("/many/ocean.nc", OCEAN.read_bytes())
    urls = [
        f"{server.url}/lab.h5", str(LAB), f"{server.url}/missing.nc", "memory://many/ocean.nc", str(tmp_path / "none"),
        f"{server.url}/text.txt", f"{server.url}/ocean.nc",
    ]  # fmt: skip
    results = list(refmaker.scan_many(urls, on_unsupported="skip"))
    kinds = [type(result) for result in results]
    found, failed, broken = refmaker.ReferenceSet, refmaker.SourceError, refmaker.BrokenFileError
    assert kinds == [found, found, failed, found, failed, broken, found]
    assert told(results[0], server.url) == told(results[1], f"file://{LAB.parent}")
    assert told(results[3], "memory://many") == told(results[6], server.url)


def test_each_report_has_its_own_file_s_cost(server: RemoteServer) -> None:
    ocean, lab = refmaker.scan_many([f"{server.url}/ocean.nc", f"{server.url}/lab.h5"], on_unsupported="skip")
    assert isinstance(ocean, refmaker.ReferenceSet)
    assert isinstance(lab, refmaker.ReferenceSet)
    assert [(r.report.requests, r.report.rounds, r.report.misses) for r in (ocean, lab)] == [(1, 1, 0), (2, 2, 0)]
    local = refmaker.scan(str(LAB), on_unsupported="skip").report
    assert local.misses is None


def test_files_are_read_ahead_together(server: RemoteServer) -> None:
    server.latency = 0.05
    results = list(refmaker.scan_many([f"{server.url}/ocean.nc"] * 20))
    assert all(isinstance(result, refmaker.ReferenceSet) for result in results)
    assert server.most_at_once == 20


def test_urls_are_taken_as_needed_and_one_can_stop_early(server: RemoteServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(many, "FILES_AHEAD", 3)
    taken = []

    def urls() -> Iterator[str]:
        while True:
            taken.append(1)
            yield f"{server.url}/ocean.nc"

    with refmaker.scan_many(urls()) as results:
        next(results)
        assert len(taken) == 3
        next(results)
        assert len(taken) == 4


def test_a_bug_in_one_file_s_scan_leaves_the_others(server: RemoteServer, monkeypatch: pytest.MonkeyPatch) -> None:
    results = refmaker.scan_many([f"{server.url}/ocean.nc", f"{server.url}/lab.h5"], on_unsupported="skip")
    with monkeypatch.context() as patch:
        patch.setattr(many.ScanMany, "_scanned", lambda *_: 1 // 0)
        with pytest.raises(ZeroDivisionError):
            next(results)
    assert isinstance(next(results), refmaker.ReferenceSet)
    assert list(results) == []


@pytest.mark.parametrize(
    ("url", "options", "expected"),
    [
        ("s3://b/k", {"anon": True}, {"anon": True}),
        ("s3://b/k", {"s3": {"anon": True}, "https": {}}, {"anon": True}),
        ("https://h/k", {"s3": {"anon": True}}, {}),
        ("s3://b/k", {"client_kwargs": {"region_name": "x"}}, {"client_kwargs": {"region_name": "x"}}),
        ("simplecache::s3://b/k", {"simplecache": {"same_names": True}}, {"same_names": True}),
        ("s3://b/k", None, {}),
    ],
)
def test_options_may_be_by_protocol(url: str, options: dict[str, object] | None, expected: dict[str, object]) -> None:
    assert options_for(url, options) == expected


def test_remote_files_may_link_to_each_other(server: RemoteServer, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "linked.h5", "w") as file:
        file.create_dataset("there", (3, 4), "f4", chunks=(1, 4), compression="gzip")[:] = 1
    with h5py.File(tmp_path / "main.h5", "w") as file:
        file["here"] = h5py.ExternalLink("linked.h5", "/there")
    remote = refmaker.scan(f"{server.url}/main.h5")
    assert told(remote, server.url) == told(refmaker.scan(str(tmp_path / "main.h5")), f"file://{tmp_path}")
    assert remote.report.count(refmaker.DatasetState.LINKED) == 1
