"""``refmaker status``: how a job stands, also while it runs."""

import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from refmaker.cli.documented import Verb
from refmaker.cli.failures import ExitCode, debug_option
from refmaker.cli.text import counted, shown

if TYPE_CHECKING:
    from refmaker.batch.ledger import FileRow, Ledger

__all__ = ["job_lines", "status_command"]


@click.command(
    "status",
    cls=Verb,
    short_help="Show how a job of 'index' stands.",
    examples=(
        ("The job whose output is archive.parq, also while it runs:", "refmaker status archive.parq"),
        ("Every file that failed, and why:", "refmaker status archive.parq.job -v"),
        ("For programs:", "refmaker status archive.parq --json"),
    ),
    see_also=("refmaker index starts jobs and goes on with them.",),
)
@click.argument("job", metavar="JOB")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
@click.option(
    "-v", "--verbose", is_flag=True, help="List every failed file and skipped dataset, not only the first 10."
)
@debug_option
def status_command(*, job: str, as_json: bool, verbose: bool) -> int:
    """Show how a job of 'refmaker index' stands: files done, failed and still to be scanned.

    JOB is the job's directory, or the output beside which it lies. Looking does not disturb a run.
    """
    directory = _directory(job)
    if as_json:
        click.echo(json.dumps(status_json(directory), indent=1))
        return ExitCode.DONE
    running = is_running(directory)
    click.echo(f"{shown(str(directory))}: {'running' if running else 'not running'}")
    for line in job_lines(directory, most=None if verbose else 10):
        click.echo(line)
    return ExitCode.DONE


def _directory(job: str) -> Path:
    from refmaker.batch.ledger import NAME

    for path in (Path(job), Path(f"{job.rstrip('/')}.job")):
        if (path / NAME).is_file():
            return path
    raise click.UsageError(f"{job} is no job: there is no {NAME} in it")


def is_running(directory: Path) -> bool:
    """Whether a run is working on a job now."""
    try:
        descriptor = os.open(directory / "lock", os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def status_json(directory: Path) -> dict[str, Any]:
    """Return how a job stands, for programs."""
    from refmaker.batch.ledger import NAME, FileState, Ledger

    with Ledger(directory / NAME, read_only=True) as ledger:
        datasets, seconds = ledger.totals()
        return {
            "job": str(directory),
            "running": is_running(directory),
            "output": ledger.fact("output"),
            "separate": ledger.fact("separate"),
            "files": {state.value: count for state, count in ledger.count().items()},
            "datasets": {state.value: count for state, count in datasets.items()},
            "scan_seconds": seconds,
            "failures": [
                {"file": row.url, "state": row.state.value, "kind": row.kind, "message": row.message}
                for row in ledger.rows(FileState.FAILED, FileState.QUARANTINED)
            ],
        }


def job_lines(directory: Path, *, most: int | None) -> Iterator[str]:
    """Yield how a job stands; of failed and vanished files and skipped datasets, at most that many."""
    from refmaker.batch.ledger import NAME, FileState, Ledger

    with Ledger(directory / NAME, read_only=True) as ledger:
        files = ledger.count()
        told = ", ".join(f"{count} {state.value}" for state, count in files.items() if count)
        yield f"{counted(sum(files.values()), 'file')}: {told or 'not listed yet'}"
        datasets, _ = ledger.totals()
        told = ", ".join(f"{count} {state.value}" for state, count in datasets.items() if count)
        yield f"{counted(sum(datasets.values()), 'dataset')}{f': {told}' if told else ''}"
        kinds = ledger.failures_by_kind()
        if kinds:
            yield f"failures: {', '.join(f'{count} {kind}' for kind, count in kinds.items())}"
        yield from _listed(ledger, (FileState.FAILED, FileState.QUARANTINED), files, most)
        yield from _listed(ledger, (FileState.VANISHED,), files, most)
        reasons = ledger.skipped_by_reason(-1 if most is None else most + 1)
        for path, code, reason, count in reasons[:most]:
            yield f"  skipped in {counted(count, 'file')}: {shown(f'{path}: {code}: {reason}')}"
        if most is not None and len(reasons) > most:
            yield "  ... and others; -v lists them"


def _listed(ledger: "Ledger", states: tuple[Any, ...], files: Any, most: int | None) -> Iterator[str]:
    total = sum(files[state] for state in states)
    for number, row in enumerate(ledger.rows(*states)):
        if most is not None and number == most:
            yield f"  ... and {total - most} more; -v lists them"
            return
        yield f"  {row.state.value}: {shown(row.url)}{_why(row)}"


def _why(row: "FileRow") -> str:
    """Return what is known of a failure, without the file's name, which messages begin with."""
    if row.kind is None:
        return ""
    message = row.message or ""
    for spelling in (row.url, shown(row.url)):
        message = message.removeprefix(f"{spelling}: ")
    return f": {row.kind}: {shown(message)}"
