"""``refmaker index``: whole archives, resumably."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from refmaker.cli import INTERRUPTED
from refmaker.cli.combine import axis_lines, conflicts_told
from refmaker.cli.documented import Verb, options_under
from refmaker.cli.failures import ExitCode, Settings, debug_option, reported
from refmaker.cli.notes import note_lines, warn
from refmaker.cli.options import BYTE_SIZE, check_report, note_unused, storage_option
from refmaker.cli.shared_options import (
    choice,
    combining,
    given,
    inline_option,
    placements,
    relative_option,
    scanning,
    zarr_format_option,
)
from refmaker.cli.status import job_lines
from refmaker.cli.text import counted, shown
from refmaker.errors import ConflictError

if TYPE_CHECKING:
    from refmaker.batch.index import IndexReport
    from refmaker.batch.scanning import Progress

__all__ = ["index_command"]

PLAIN_SECONDS = 10.0
"""Between two lines of progress where there is no terminal."""

running = options_under(
    "How the job runs",
    choice(
        "--on-error",
        "raise",
        "skip",
        "quarantine",
        help="A file that fails. raise: nothing is written; skip: it is left out, and the next run tries it again; "
        "quarantine: it is left out until it changes.",
    ),
    click.option(
        "--max-failures",
        type=click.IntRange(0),
        metavar="N",
        help="Stop when more files than this have failed.  [default: 0 with --on-error raise, else no limit]",
    ),
    click.option(
        "--retries",
        type=click.IntRange(0),
        metavar="N",
        help="Times a file is scanned again that failed for a passing reason.  [default: 2]",
    ),
    click.option(
        "--workers", type=click.IntRange(1), metavar="N", help="Processes on this machine.  [default: one for each CPU]"
    ),
    click.option(
        "--timeout", type=float, metavar="SECONDS", help="The most that scanning one file may take.  [default: 600]"
    ),
    click.option(
        "--memory",
        type=BYTE_SIZE,
        metavar="SIZE",
        help="The most bytes that a process may allocate (Linux only).  [default: no limit]",
    ),
    click.option(
        "--concurrency",
        type=click.IntRange(1),
        metavar="N",
        help="Remote files: requests in flight of each process.  [default: 128]",
    ),
    click.option(
        "--dask",
        metavar="ADDRESS",
        help="Scan on the Dask cluster with this scheduler (tcp://HOST:PORT), or, with 'local', on one that is started "
        "here for the job.  [default: processes of this machine]",
    ),
)
writing = options_under(
    "How documents are written",
    relative_option,
    inline_option,
    zarr_format_option,
    click.option("--templates", is_flag=True, default=None, help="JSON: write directories that many files share once."),
    click.option(
        "--record-size",
        type=click.IntRange(1, 1 << 24),
        metavar="N",
        help="Parquet: chunks in a partition, which readers load whole.  [default: 100000]",
    ),
    click.option(
        "--separate-suffix", metavar="SUFFIX", help="Encoding of the documents in --separate DIR.  [default: .json]"
    ),
    click.option(
        "--keep-suffix",
        is_flag=True,
        default=None,
        help="Name the documents in --separate DIR a.nc.json instead of a.json.",
    ),
)


@click.command(
    "index",
    cls=Verb,
    short_help="Make references of whole archives, as a job that can be resumed.",
    examples=(
        ("An archive as one data set:", "refmaker index 'archive/**/*.nc' --concat time -o archive.parq"),
        (
            "The same later on: new and changed files are scanned, vanished ones dropped:",
            "refmaker index 'archive/**/*.nc' --concat time -o archive.parq --update",
        ),
        (
            "A document for each file; files that fail are left out and reported:",
            "refmaker index 'archive/**/*.nc' --separate references --on-error skip --report report.json",
        ),
        (
            "An archive in a public bucket, scanned on a Dask cluster:",
            "refmaker index 's3://bucket/*.nc' -o s3.parq --storage-option anon=true --dask tcp://HOST:8786",
        ),
        ("Everything written down in a job file (schemas/job.schema.json):", "refmaker index -f job.toml"),
    ),
    codes={
        ExitCode.NOTHING_DONE: "nothing was written: the message on stderr says why; what was scanned is kept",
        ExitCode.DONE_IN_PART: "written, but files failed, datasets were skipped, or the report could not be written; "
        "each is named",
    },
    see_also=(
        "refmaker status shows how a job stands, also while it runs.",
        "refmaker combine does the same for a few files, without a job; refmaker scan makes documents of single files.",
    ),
)
@click.argument("inputs", nargs=-1, metavar="INPUT...")
@click.option("-f", "--file", "job_file", metavar="JOB", help="Job file (.toml or .json); options given here win.")
@click.option(
    "-o",
    "--output",
    metavar="OUT",
    help="The document of all files together: .json, .json.gz, .json.zst, .parq or .parquet.",
)
@click.option(
    "--separate",
    metavar="DIR",
    help="A document for each file, in this directory, with the files' names below the first wildcard; beside or "
    "instead of OUT.",
)
@click.option(
    "--job",
    metavar="DIR",
    help="Local directory where results are kept, so that the job can go on.  [default: OUT.job, or DIR.job]",
)
@click.option(
    "--update",
    is_flag=True,
    help="Look at the inputs again, if the job was begun before: scan new and changed files, drop vanished ones.",
)
@click.option(
    "--report", metavar="JSON", help="Write what became of every file and dataset to this file, for programs."
)
@running
@scanning
@combining
@writing
@storage_option
@click.option(
    "-v", "--verbose", is_flag=True, help="List every failed file, skipped dataset and note, not only the first."
)
@debug_option
@click.pass_obj
def index_command(
    settings: Settings,
    /,
    *,
    inputs: tuple[str, ...],
    job_file: str | None,
    update: bool,
    report: str | None,
    places: dict[str, str],
    dates: dict[str, str],
    verbose: bool,
    **options: Any,
) -> int:
    """Scan many files, in processes of their own, and write references to all of them.

    INPUTs are paths, URLs and globs ('archive/**/*.nc', quoted so that the shell leaves them alone), @FILE for a file
    that lists them, or - for a list on stdin. A crash, a hang or a broken file costs that file. Interrupted or killed,
    the same command goes on where it was.
    """
    from refmaker.batch.index import run
    from refmaker.batch.job import TOP, job_of, read_job_file

    said = read_job_file(job_file) if job_file is not None else {}
    asked = said | given(options) | ({"inputs": inputs} if inputs else {})
    if places or dates:
        asked["place"] = placements(places, dates)
    if not asked.get("inputs"):
        raise click.UsageError("there are no inputs: name files, or a job file that does (-f JOB)")
    top = {name: asked.pop(name, None) for name in TOP}
    job = job_of(**top, options=asked)
    check_report(report, *filter(None, (job_file, job.output)))
    try:
        with _followed() as progress:
            found = run(job, update=update, progress=progress)
    except ConflictError as error:
        conflicts_told(error, f"what was scanned is kept in {job.directory}")
        return ExitCode.NOTHING_DONE
    except KeyboardInterrupt:
        click.echo(
            f"\ninterrupted; what was scanned is kept in {shown(str(job.directory))}, and the same command goes on",
            err=True,
        )
        return INTERRUPTED
    code = exit_code(found)
    for line in lines(found, verbose=verbose):
        click.echo(line)
    if not found.is_complete:
        click.echo(f"error: {shown(_hindrance(found))}", err=True)
    warn(job.output or "", found.notes)
    if not any(item == "-" or item.startswith("@") for item in job.inputs):  # which list who knows what
        unused = {name: asked.get(key) for name, key in STORES_ONLY.items()}
        note_unused(unused, *job.inputs, *filter(None, (job.output, job.separate, report)))
    if report is None:
        return code
    from refmaker.cli.index_report import write_index_report

    storage_options = job.scan.options.storage_options
    return reported(lambda: write_index_report(found, report, storage_options, exit_code=code), code, settings)


STORES_ONLY = {"--storage-option": "storage_options", "--concurrency": "concurrency"}
"""Option that is for remote files only -> its name in a job."""


def exit_code(found: "IndexReport") -> ExitCode:
    """Return how a run ends: done only if every file and every dataset is in the outputs."""
    if not found.is_complete:
        return ExitCode.NOTHING_DONE
    from refmaker.model.reference_set import DatasetState

    return ExitCode.DONE_IN_PART if found.failed or found.datasets[DatasetState.SKIPPED] else ExitCode.DONE


def _hindrance(found: "IndexReport") -> str:
    from refmaker.batch.ledger import FileState

    if left := found.files[FileState.PENDING]:
        return (
            f"stopped, because {counted(found.failed, 'file')} failed (--max-failures N lets more fail, --on-error "
            f"skip any number); {counted(left, 'file')} still to be scanned"
        )
    if not found.files[FileState.DONE]:
        return "nothing was written, because no file could be scanned"
    return f"nothing was written, because {counted(found.failed, 'file')} failed (--on-error skip leaves them out)"


def lines(found: "IndexReport", *, verbose: bool) -> Iterator[str]:
    """Yield what a run did and how its job stands, for people."""
    if found.listing is not None:
        changed = found.listing
        yield (
            f"{counted(changed.total, 'input file')}: {changed.new} new, {changed.changed} changed, "
            f"{changed.vanished} vanished"
        )
    else:
        when = "" if found.listed is None else f" since {datetime.fromtimestamp(found.listed, UTC):%F %T} UTC"
        yield f"the inputs were not looked at again{when}; --update adds new and changed files and drops vanished ones"
    yield f"scanned {counted(found.scanned, 'file')} in {found.seconds:.1f} s"
    yield from job_lines(found.directory, most=None if verbose else 10)
    for axis in found.axes:
        yield from axis_lines(axis)
    yield from note_lines(found.notes, verbose=verbose)
    for target in found.written:
        yield f"written: {shown(target)}"
    if found.is_complete and not found.written:
        yield "nothing to write: the output is up to date"


@contextmanager
def _followed() -> "Iterator[Callable[[Progress], None]]":
    """Give what shows progress: a bar on a terminal, else a line now and then."""
    if not sys.stderr.isatty():
        yield _Plain()
        return
    from rich import progress as bars
    from rich.console import Console

    columns = (
        bars.TextColumn("{task.description}", markup=False),
        bars.BarColumn(),
        bars.MofNCompleteColumn(),
        bars.TextColumn("{task.fields[rate]}", markup=False),
        bars.TimeElapsedColumn(),
        bars.TimeRemainingColumn(),
    )
    with bars.Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("listing", total=None, rate="")
        rate = _Rate()

        def update(now: "Progress") -> None:
            text = rate.text(now, eta=False)
            bar.update(task, description=now.step, completed=now.done, total=now.total or None, rate=text)

        yield update


class _Rate:
    """Files per second of the step that is going on."""

    def __init__(self) -> None:
        self._step = ""
        self._since = 0.0

    def text(self, now: "Progress", *, eta: bool) -> str:
        if now.step != self._step:
            self._step, self._since = now.step, time.monotonic()
        seconds = time.monotonic() - self._since
        told = []
        if now.done and seconds > 1:
            rate = now.done / seconds
            told.append(f"{rate:.0f} files/s")
            if eta and now.done < now.total:
                told.append(f"about {(now.total - now.done) / rate:.0f} s left")
        if now.failed:
            told.append(f"{now.failed} failed")
        if now.waiting:
            told.append(f"{now.waiting} to be tried again")
        return ", ".join(told)


class _Plain:
    """A line when a step begins, and every few seconds."""

    def __init__(self) -> None:
        self._rate = _Rate()
        self._step = ""
        self._told = 0.0

    def __call__(self, now: "Progress") -> None:
        moment = time.monotonic()
        text = self._rate.text(now, eta=True)
        if now.step == self._step and moment - self._told < PLAIN_SECONDS:
            return
        self._step, self._told = now.step, moment
        count = f" {now.done}/{now.total}" if now.total else ""
        click.echo(f"{now.step}{count}{f', {text}' if text else ''}", err=True)
