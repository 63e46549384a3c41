"""Fuzzing by coverage runs, where atheris is installed."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_targets_are_fuzzed_by_coverage(tmp_path: Path) -> None:
    pytest.importorskip("atheris", reason="pip install 'refmaker[fuzz]'")
    command = [sys.executable, "-m", "tests.fuzz.guided", "--minutes", "0.1", "--out", str(tmp_path)]
    ended = subprocess.run(
        [*command, "--only", "parse netcdf3", "--only", "codecs"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    rows = [line.rsplit(maxsplit=5) for line in ended.stdout.splitlines()[1:]]
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert [name for name, *_ in rows] == ["parse netcdf3", "codecs"]
    assert all(int(executions) > 10 and findings == "0" for _, executions, _, _, findings, _ in rows)
