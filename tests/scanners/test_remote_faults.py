"""Stores that fail: what passes is tried again, what does not is one clear error, and no scan mixes two versions."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import h5py
import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFileSystem

import refmaker
from refmaker.source import range_readers, retries, rounds
from refmaker.source.policy import Transfer
from refmaker.source.rounds import Rounds
from tests.remote_server import Asked, RemoteServer, serving
from tests.samples import LAB, OCEAN


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RemoteServer]:
    monkeypatch.setattr(retries, "LONGEST_DELAY", 0.001)
    shutil.copy(OCEAN, tmp_path)
    shutil.copy(LAB, tmp_path)
    with serving(tmp_path) as server:
        yield server


def failing(*faults: str) -> Callable[[Asked], str]:
    """Return a fault function: the first requests fail so, one after the other; later ones do not."""
    return lambda asked: faults[asked.number] if asked.number < len(faults) else ""


@pytest.mark.parametrize("fault", ["reset", "503", "500", "408", "425", "429", "short"])
def test_what_passes_is_tried_again(fault: str, server: RemoteServer) -> None:
    server.fault = failing(fault, fault)
    report = refmaker.scan(f"{server.url}/ocean.nc").report
    assert (report.rounds, report.misses) == (1, 0)
    assert len(server.asked) == 3
    if fault != "reset":  # aiohttp itself tries once more when a kept connection turns out to be closed
        assert report.requests == 3


@pytest.mark.parametrize("fault", ["reset", "503", "short"])
def test_what_does_not_pass_is_one_source_error(fault: str, server: RemoteServer) -> None:
    server.fault = failing("", *[fault] * 100)
    with pytest.raises(refmaker.SourceError, match=server.url) as caught:
        refmaker.scan(f"{server.url}/lab.h5", retries=2)
    assert caught.value.offset == 1 << 16
    assert len(server.asked) == 1 + 3 or fault == "reset"  # see above


@pytest.mark.parametrize("fault", ["401", "403", "404", "410"])
def test_what_the_store_refuses_is_asked_once(fault: str, server: RemoteServer) -> None:
    server.fault = failing(*[fault] * 100)
    with pytest.raises(refmaker.SourceError, match=f"HTTP status {fault}"):
        refmaker.scan(f"{server.url}/ocean.nc")
    assert len(server.asked) == 1


def test_a_missing_host_is_a_source_error(server: RemoteServer) -> None:
    with pytest.raises(refmaker.SourceError, match="Connect"):
        refmaker.scan("http://127.0.0.1:9/nowhere.nc", retries=1)


def test_an_answer_that_takes_too_long_is_asked_again(server: RemoteServer) -> None:
    server.fault = failing("slow")
    with Rounds(Transfer(timeout=0.2)) as ahead:
        file = ahead.start(f"{server.url}/ocean.nc", None, lambda _, __: None)
        assert ahead.wait(file).source.size == OCEAN.stat().st_size
    assert file.cost.requests == 2


def test_a_server_without_ranges_gives_a_small_file_whole(server: RemoteServer) -> None:
    server.fault = lambda _: "no ranges"
    report = refmaker.scan(f"{server.url}/lab.h5", on_unsupported="skip").report
    assert (report.requests, report.bytes_read, report.misses) == (1, LAB.stat().st_size, 0)


def test_a_server_without_ranges_is_an_error_for_a_large_file(
    server: RemoteServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(range_readers, "WHOLE_FILE_BELOW", 1000)
    server.fault = lambda _: "no ranges"
    with pytest.raises(refmaker.SourceError, match="ignores byte ranges"):
        refmaker.scan(f"{server.url}/lab.h5")
    assert len(server.asked) == 1


@pytest.mark.parametrize("size", [2 << 20, 600, 0], ids=["longer", "shorter", "empty"])
def test_a_file_that_changes_meanwhile_is_stale(size: int, server: RemoteServer) -> None:
    def change(asked: Asked) -> str:
        if asked.number == 1:
            (server.folder / "lab.h5").write_bytes(bytes(size))
        return ""

    server.fault = change
    with pytest.raises(refmaker.StaleSourceError, match="changed while it was scanned"):
        refmaker.scan(f"{server.url}/lab.h5")


def test_a_file_of_the_same_size_that_changes_meanwhile_is_stale(server: RemoteServer) -> None:
    def change(asked: Asked) -> str:
        if asked.number == 1:
            os.utime(server.folder / "lab.h5", (1, 1))
        return ""

    server.fault = change
    with pytest.raises(refmaker.StaleSourceError):
        refmaker.scan(f"{server.url}/lab.h5")


def test_a_file_of_any_other_store_that_changes_meanwhile_is_stale(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe_file("/faults/lab.h5", LAB.read_bytes())
    read: Callable[..., bytes] = MemoryFileSystem.cat_file

    def cat_file(self: Any, path: str, start: int | None = None, end: int | None = None, **kwargs: Any) -> bytes:
        data = read(self, path, start, end, **kwargs)
        if start:
            self.pipe_file(path, LAB.read_bytes() + b"more")
        return data

    monkeypatch.setattr(MemoryFileSystem, "cat_file", cat_file)
    with pytest.raises(refmaker.StaleSourceError, match="changed while it was scanned"):
        refmaker.scan("memory://faults/lab.h5")


@pytest.fixture
def scattered(server: RemoteServer, monkeypatch: pytest.MonkeyPatch) -> str:
    """A file whose structures are far from each other."""
    monkeypatch.setattr(rounds, "WHOLE_FILE_BELOW", 0)
    with h5py.File(server.folder / "scattered.h5", "w") as file:
        for number in range(40):
            dataset = file.create_dataset(f"d{number}", (300, 64), "f8", chunks=(1, 64), maxshape=(None, 64))
            dataset[:] = np.zeros((300, 64))
    return f"{server.url}/scattered.h5"


def test_no_more_requests_are_in_flight_than_allowed(scattered: str, server: RemoteServer) -> None:
    server.latency = 0.01
    refmaker.scan(scattered, concurrency=3)
    assert server.most_at_once == 3
    refmaker.scan(scattered)
    assert server.most_at_once > 10


def test_options_that_make_no_sense_are_errors() -> None:
    for options in ({"concurrency": 0}, {"retries": -1}):
        with pytest.raises(refmaker.OptionError):
            refmaker.scan("memory://x", **options)  # type: ignore[arg-type]
