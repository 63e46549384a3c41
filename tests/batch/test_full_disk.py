"""A disk that is full at any point of a job is one line for the user, and nothing that was scanned is wrong later."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from refmaker.batch.ledger import Ledger
from refmaker.cli import run
from refmaker.errors import BrokenFileError, SourceError
from tests.batch.archive import archive

FILES = 40
LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv.pop(1)),) * 2)
from refmaker.cli import main
main()
"""
"""No file may become longer: to a program that is much like a full disk."""


@pytest.mark.parametrize("limit", [0, 10_000, 30_000, 34_000, 50_000])
def test_a_full_disk_is_told_and_the_job_goes_on_when_there_is_room(limit: int, tmp_path: Path) -> None:
    archive(tmp_path / "data", FILES)
    asked = ["index", f"{tmp_path}/data/*.nc", "--concat", "time", "-o", f"{tmp_path}/all.json", "--workers", "1"]
    command = [sys.executable, "-c", LIMITED, str(limit), *asked]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    last = done.stderr.splitlines()[-1]
    if done.returncode:
        assert done.returncode == 1
        assert last.startswith(f"error: {tmp_path}/all.json")
        assert "internal error" not in last
    assert run(asked) == 0
    assert run([*asked[:-4], "-o", f"{tmp_path}/undisturbed.json"]) == 0
    assert (tmp_path / "all.json").read_bytes() == (tmp_path / "undisturbed.json").read_bytes()


def test_a_file_that_is_no_ledger_is_told(tmp_path: Path) -> None:
    (tmp_path / "ledger.sqlite").write_bytes(b"no database" * 1000)
    with pytest.raises(BrokenFileError, match="is no ledger of a job"):
        Ledger(tmp_path / "ledger.sqlite")


def test_a_ledger_that_is_damaged_while_it_is_read_is_told(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with Ledger(path) as ledger:
        ledger.set_fact(**{f"fact{n}": "x" * 1000 for n in range(100)})
    with pytest.raises((BrokenFileError, SourceError), match=r"ledger\.sqlite: .*ledger"):
        _read_truncated(path)


def _read_truncated(path: Path) -> None:
    with Ledger(path) as ledger:
        os.truncate(path, 20_000)
        for n in range(100):
            ledger.fact(f"fact{n}")
