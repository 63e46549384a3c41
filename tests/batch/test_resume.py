"""Jobs that are killed: they go on where they were, and write what an undisturbed run writes."""

import random
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from refmaker.batch.ledger import NAME, FileState, Ledger
from refmaker.errors import BrokenFileError, SourceError
from tests.batch.archive import archive, write_broken

FILES = 80
KILLS = 5


def start(arguments: Sequence[str]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-m", "refmaker", "index", *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )


def finished(arguments: Sequence[str]) -> int:
    process = start(arguments)
    _, said = process.communicate(timeout=120)
    assert process.returncode in {0, 3}, said.decode()
    return process.returncode


def done(job: Path) -> int:
    """Return how many files the ledger has as settled."""
    try:
        with Ledger(job / NAME, read_only=True) as ledger:
            counts = ledger.count()
            return counts[FileState.DONE] + counts[FileState.QUARANTINED]
    except (BrokenFileError, SourceError):  # killed before it had one
        return 0


def contents(output: Path) -> Mapping[str, bytes]:
    paths = [output] if output.is_file() else [path for path in output.rglob("*") if path.is_file()]
    return {path.relative_to(output).as_posix(): path.read_bytes() for path in paths}


@pytest.mark.parametrize("suffix", [".json", ".parq"])
def test_a_job_killed_at_random_moments_writes_what_an_undisturbed_one_does(
    tmp_path: Path, trouble: Path, suffix: str
) -> None:
    data = tmp_path / "data"
    archive(data, FILES)
    write_broken(data, ["empty", "truncated", "ragged", "abort", "hang"])
    asked = [str(data / "*.nc"), "--concat", "time", "--on-error", "quarantine", "--timeout", "2"]
    calm, killed = tmp_path / f"calm{suffix}", tmp_path / f"killed{suffix}"
    started = time.monotonic()
    assert finished([*asked, "-o", str(calm)]) == 3
    whole = time.monotonic() - started
    moments = random.Random(suffix)
    before = 0
    for _ in range(KILLS):
        process = start([*asked, "-o", str(killed)])
        time.sleep(moments.uniform(0.2, whole))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        settled = done(tmp_path / f"killed{suffix}.job")
        assert settled >= before  # nothing is done twice
        before = settled
        if killed.exists():
            assert contents(killed) == contents(calm)
    assert finished([*asked, "-o", str(killed)]) == 3
    assert contents(killed) == contents(calm)


def test_what_is_settled_is_not_scanned_again(tmp_path: Path) -> None:
    data = tmp_path / "data"
    archive(data, 60)
    output = tmp_path / "all.json"
    process = start([str(data / "*.nc"), "--concat", "time", "-o", str(output)])
    deadline = time.monotonic() + 60
    while not done(tmp_path / "all.json.job") and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.communicate()
    with Ledger(tmp_path / "all.json.job" / NAME) as ledger:
        settled = {row.url for row in ledger.rows(FileState.DONE)}
    for url in settled:
        Path(url.removeprefix("file://")).write_bytes(b"scanning this would fail")
    process = start([str(data / "*.nc"), "--separate", str(tmp_path / "refs"), "--job", str(tmp_path / "all.json.job")])
    _, said = process.communicate(timeout=120)
    assert process.returncode == 0, said.decode()
    assert settled
    assert len(list((tmp_path / "refs").glob("*.json"))) == 60


def test_workers_end_with_the_job_that_is_killed(tmp_path: Path) -> None:
    archive(tmp_path / "data", 100)
    process = start([str(tmp_path / "data/*.nc"), "--concat", "time", "-o", str(tmp_path / "all.json")])
    children: list[int] = []
    deadline = time.monotonic() + 60
    while not children and time.monotonic() < deadline:
        children = [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]
        time.sleep(0.05)
    assert children
    process.kill()
    process.communicate()
    while any(Path(f"/proc/{child}").exists() for child in children) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(Path(f"/proc/{child}").exists() for child in children)
