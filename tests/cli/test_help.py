"""``--help``: every command explains itself, and its examples work."""

import shlex
import shutil
from pathlib import Path

import click
import h5py
import numpy as np
import pytest

from refmaker.cli import run
from refmaker.cli.commands import VERBS, root
from refmaker.cli.documented import Manual
from refmaker.cli.failures import ExitCode
from tests.batch.archive import write_good
from tests.samples import LAB, OCEAN

CONTEXT = click.Context(root, info_name="refmaker")


def command_of(verb: str) -> Manual:
    command = root.get_command(CONTEXT, verb) if verb else root
    assert isinstance(command, Manual)
    return command


def help_of(verb: str, columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    monkeypatch.setenv("COLUMNS", str(columns))
    assert run([verb, "--help"] if verb else ["--help"]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize("verb", ["", *VERBS])
def test_help_has_text_options_examples_and_exit_codes_and_fits_the_terminal(
    verb: str, columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = help_of(verb, columns, monkeypatch, capsys)
    for heading in ("Usage: refmaker", "\nOptions:\n", "\nExamples:\n", "\nExit codes:\n"):
        assert heading in shown
    examples = {line for _, line in command_of(verb).examples}
    assert [line for line in shown.splitlines() if len(line) > columns and line.strip() not in examples] == []
    assert "..." not in shown.partition("Commands:")[2].partition("Examples:")[0]
    assert "\b" not in shown


@pytest.mark.parametrize("verb", VERBS)
def test_every_option_says_what_it_does_and_what_happens_without_it(verb: str) -> None:
    for option in command_of(verb).params:
        if not isinstance(option, click.Option):
            continue
        sentence = (option.help or "").partition("  [default: ")[0]
        assert sentence.endswith("."), option.name
        if not (option.is_flag or option.multiple or option.name in NOTHING_WITHOUT):
            assert option.show_default or sentence != option.help, option.name


NOTHING_WITHOUT = {"output", "append", "separate", "report", "job_file", "group", "relative_to"}
"""Options without which just nothing of the kind is done."""


@pytest.mark.parametrize("verb", ["", *VERBS])
def test_examples_are_command_lines_that_parse(verb: str) -> None:
    examples = command_of(verb).examples
    assert len(examples) >= 2
    for sentence, line in examples:
        assert sentence.endswith(":")
        program, name, *arguments = shlex.split(line)
        assert program == "refmaker"
        assert verb in {"", name}
        command_of(name).make_context(name, arguments, parent=CONTEXT)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that the examples name, made the working directory."""
    shutil.copy(OCEAN, tmp_path / "ocean.nc")
    shutil.copy(LAB, tmp_path / "lab.h5")
    for number in (1, 2, 3):
        write_good(tmp_path / f"ocean_{number}.nc", number)
        (tmp_path / "archive" / str(number)).mkdir(parents=True)
        write_good(tmp_path / "archive" / str(number) / "a.nc", number)
        with h5py.File(tmp_path / f"run_r{number}.nc", "w") as file:
            file["tas"] = np.arange(4.0) + number
    (tmp_path / "job.toml").write_text('inputs = "archive/**/*.nc"\nseparate = "documents"\n')
    monkeypatch.chdir(tmp_path)
    return tmp_path


MADE_BEFORE = {
    "info": ["scan ocean.nc -o ocean.json", "scan ocean.nc -o ocean.parq"],
    "verify": ["scan ocean.nc -o ocean.json"],
    "convert": ["scan ocean.nc -o ocean.json"],
    "status": ["index 'archive/**/*.nc' --concat time -o archive.parq"],
}
"""What examples take for granted."""


@pytest.mark.parametrize("verb", ["", *VERBS])
@pytest.mark.usefixtures("folder")
def test_examples_that_need_no_store_run(
    verb: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for line in MADE_BEFORE.get(verb, ()):
        assert run(shlex.split(line)) == 0
    ran = 0
    for _, line in command_of(verb).examples:
        if "://" in line and "--relocate" not in line:
            continue
        code = run(shlex.split(line.replace("/data/archive", str(Path.cwd())))[1:])
        assert code in {ExitCode.DONE, ExitCode.DONE_IN_PART}, (line, capsys.readouterr().err)
        assert code is ExitCode.DONE or "--on-unsupported skip" in line
        ran += 1
    assert ran >= 2
