"""The README's code blocks run, in order, as a reader would run them."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.samples import ROOT

README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(bash|python)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
SETUP, CHECKS, *TOUR = BLOCKS


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder like the repository's, in which the tour may write."""
    path = tmp_path_factory.mktemp("readme")
    (path / "sample_data").mkdir()
    for sample in (ROOT / "sample_data").glob("*.*"):
        if sample.is_file():
            shutil.copy2(sample, path / "sample_data")
    return path


def run(language: str, code: str, folder: Path) -> None:
    command = ["bash", "-euc", code] if language == "bash" else [sys.executable, "-c", code]
    found_first = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, "PATH": found_first}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_tour_runs_block_by_block(folder: Path) -> None:
    assert len(TOUR) >= 6
    for language, code in TOUR:
        run(language, code, folder)


def test_the_first_command_is_one_line_and_runs_here_without_its_installation(folder: Path) -> None:
    language, code = SETUP
    assert code.count("\n") == 1
    install, main_job = code.split("install --quiet . && ")
    assert install.startswith("python3 -m venv")
    run(language, main_job.replace(".venv/bin/", ""), folder)


def test_the_second_command_runs_the_checks() -> None:
    assert CHECKS == ("bash", "bash .ci/run\n")
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
