"""Files cut short and files with wrong bytes: references or one typed error, in bounded time."""

import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from refmaker import RefmakerError, scan
from tests.samples import ROOT, SAMPLES

HDF5 = {path.name: path for path in SAMPLES if path.read_bytes()[1:4] == b"HDF"}
CUT_EVERY = 97
FLIPS = 60
LONGEST = 5.0
"""Seconds that one damaged file may take."""


def outcome(path: Path) -> str:
    """Scan a file; anything but a result or a RefmakerError goes through, and so does taking too long."""
    began = time.perf_counter()
    try:
        scan(str(path), on_unsupported="skip")
        what = "references"
    except RefmakerError as error:
        what = type(error).__name__
    assert time.perf_counter() - began < LONGEST
    return what


def cuts(data: bytes, path: Path) -> Counter[str]:
    """Cut at every 97th byte; at most 400 places, so every second or third such of larger files."""
    found: Counter[str] = Counter()
    lengths = range(0, len(data), CUT_EVERY)
    for length in lengths[:: -(-len(lengths) // 400)]:
        path.write_bytes(data[:length])
        found[outcome(path)] += 1
    return found


def flips(data: bytes, path: Path) -> Counter[str]:
    """Change one to eight bytes, most of them where structures are."""
    found: Counter[str] = Counter()
    rng = np.random.default_rng(len(data))
    for _ in range(FLIPS):
        damaged = bytearray(data)
        for at in rng.integers(0, len(data), rng.integers(1, 9)):
            damaged[at] = rng.integers(256)
        path.write_bytes(damaged)
        found[outcome(path)] += 1
    return found


DAMAGE = {"cut short": cuts, "with wrong bytes": flips}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("name", HDF5)
def test_damaged_files_give_references_or_one_typed_error(damage: str, name: str, tmp_path: Path) -> None:
    """In a process of its own, because libhdf5 itself may crash, which no error handling catches."""
    command = [sys.executable, "-m", __spec__.name if __spec__ else __name__, damage, name, str(tmp_path / "damaged")]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=120, check=False)
    assert ended.returncode == 0, ended.stderr[-3000:]
    found = dict(line.split() for line in ended.stdout.splitlines())
    assert found.keys() <= {"references", "BrokenFileError", "TruncatedFileError", "UnsupportedError"}
    assert sum(map(int, found.values())) >= FLIPS


if __name__ == "__main__":
    _, chosen, sample, where = sys.argv
    for result, count in DAMAGE[chosen](HDF5[sample].read_bytes(), Path(where)).items():
        print(result, count)
