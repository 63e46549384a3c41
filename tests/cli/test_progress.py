"""What a terminal shows while work goes on, and what Ctrl-C leaves of it."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from refmaker.cli import INTERRUPTED, run
from refmaker.cli.failures import ExitCode
from tests.samples import LAB, OCEAN

AT_ONCE = "import sys, refmaker.cli.progress as p; p.SHOWN_AFTER = 0; from refmaker.cli import main; {more}main()"


def screen_of(tmp_path: Path, arguments: list[str], more: str = "") -> tuple[str, str]:
    """Return what a terminal shows of a command (stderr), and what goes to a pipe (stdout)."""
    reader, terminal = os.openpty()
    command = [sys.executable, "-c", AT_ONCE.format(more=more), *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=terminal, text=True, check=True, cwd=tmp_path)
    os.close(terminal)
    screen = b""
    with contextlib.suppress(OSError), os.fdopen(reader, "rb", buffering=0) as file:  # Linux ends a terminal with EIO
        while part := file.read(1 << 16):
            screen += part
    return screen.decode(), done.stdout


SLOW = (
    "import refmaker, time; once = refmaker.{name}; "
    "refmaker.{name} = lambda *a, **k: (time.sleep(1), once(*a, **k))[1]; "
)


def test_files_are_counted_on_stderr_and_stdout_stays_clean(tmp_path: Path) -> None:
    slow = SLOW.format(name="write_references")
    screen, out = screen_of(tmp_path, ["scan", str(OCEAN), str(LAB), "-o", "[out]/"], slow)
    assert "1/2" in screen
    assert "lab.h5" in screen
    assert len(out.splitlines()) > 3
    assert "\x1b" not in out


@pytest.mark.parametrize(("verb", "slow"), [("scan", "write_references"), ("verify", "verify")])
def test_a_single_file_that_takes_long_is_shown_with_the_time_it_took(tmp_path: Path, verb: str, slow: str) -> None:
    assert run(["scan", str(OCEAN), "-o", str(tmp_path / "o.json")]) == 0
    given = ["o.json"] if verb == "verify" else [str(OCEAN), "-o", "p.json"]
    screen, _ = screen_of(tmp_path, [verb, *given], SLOW.format(name=slow))
    assert "0:00:0" in screen
    assert given[0] in screen


def test_short_work_shows_nothing(tmp_path: Path) -> None:
    screen, _ = screen_of(tmp_path, ["scan", str(OCEAN), "-o", "o.json"], "p.SHOWN_AFTER = 60; ")
    assert screen == ""


INTERRUPTS = """
import os, signal, sys
class Interrupt:
    def find_spec(self, name, path, target=None):
        if name == {module!r}:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupt())
from refmaker.cli import main
main()
"""


@pytest.mark.parametrize("module", ["click", "refmaker.cli.commands", "refmaker.cli.scan", "numpy", "h5py"])
def test_ctrl_c_during_imports_is_one_line(module: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", INTERRUPTS.format(module=module), "scan", str(OCEAN), "-o", "o.json"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (done.returncode, done.stderr.strip()) == (INTERRUPTED, "interrupted")
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_in_a_job_says_how_to_go_on(tmp_path: Path) -> None:
    (tmp_path / "in.nc").symlink_to(OCEAN)
    os.mkfifo(tmp_path / "slow.nc")  # opening it waits for ever
    command = [sys.executable, "-m", "refmaker", "index", "*.nc", "-o", "all.json", "--workers", "1"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        assert process.stderr is not None
        while "scanning" not in process.stderr.readline():
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert process.returncode == INTERRUPTED
    assert said.splitlines()[-1] == (
        f"interrupted; what was scanned is kept in {tmp_path}/all.json.job, and the same command goes on"
    )


def test_an_unforeseen_end_of_file_is_a_bug_and_no_interrupt(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise EOFError("ended early")

    monkeypatch.setattr("refmaker.open_references", fail)
    assert run(["info", "x.json"]) == ExitCode.NOTHING_DONE
    assert "internal error: EOFError: ended early" in capsys.readouterr().err
