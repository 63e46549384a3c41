"""``refmaker index``: whole archives, resumably."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from refmaker.cli.failures import ExitCode, debug_option
from refmaker.cli.options import BYTE_SIZE, storage_option
from refmaker.cli.status import job_lines
from refmaker.cli.text import counted, shown
from refmaker.errors import ConflictError

if TYPE_CHECKING:
    from refmaker.batch.index import IndexReport
    from refmaker.batch.scanning import Progress

__all__ = ["index_command"]

Command = TypeVar("Command", bound=Callable[..., Any])
PLAIN_SECONDS = 10.0
"""Between two lines of progress where there is no terminal."""


def _choice(name: str, *choices: str, help: str) -> Callable[[Command], Command]:  # noqa: A002  click's word
    return click.option(name, type=click.Choice(choices), help=f"{help}  [default: {choices[0]}]")


@click.command("index")
@click.argument("inputs", nargs=-1, metavar="INPUT...")
@click.option("-f", "--file", "job_file", metavar="JOB", help="Job file (.toml or .json); options given here win.")
@click.option("-o", "--output", metavar="OUT", help="Document of all files together (.json, .parq, ...).")
@click.option("--separate", metavar="DIR", help="Also, or instead: one document a file, in this directory.")
@click.option("--job", metavar="DIR", help="Where the ledger and the results are kept.  [default: OUT.job]")
@click.option("--update", is_flag=True, help="Look at the inputs again: new, changed and vanished files.")
@click.option("--report", metavar="JSON", help="Write what became of every file and dataset to this file.")
@_choice(
    "--on-error",
    "raise",
    "skip",
    "quarantine",
    help="A file that fails: it prevents the output; is left out, and tried again by the next run; is left out until "
    "it changes.",
)
@click.option("--max-failures", type=int, metavar="N", help="Stop after more failures.  [default: 0 with raise]")
@click.option("--retries", type=int, metavar="N", help="Try a file again whose failure may pass.  [default: 2]")
@click.option("--workers", type=int, metavar="N", help="Processes.  [default: one for each CPU]")
@click.option("--timeout", type=float, metavar="SECONDS", help="Most that one file may take.  [default: 600]")
@click.option("--memory", type=BYTE_SIZE, metavar="SIZE", help="Most that a process may allocate.")
@click.option("--concurrency", type=int, metavar="N", help="Requests in flight of each process.")
@click.option("--dask", metavar="ADDRESS", help="Scan on a Dask cluster (tcp://...), or 'local': on one made here.")
@click.option("--concat", multiple=True, metavar="DIM", help="Concatenate along this dimension; repeatable.")
@click.option(
    "--from",
    "places",
    multiple=True,
    metavar="DIM=WHERE",
    help="Where a file belongs along DIM: values, name:REGEX, attribute:NAME or position; see 'combine'.",
)
@click.option("--dates", multiple=True, metavar="DIM=FORMAT", help="Read names or attributes as dates (%Y%m%d).")
@_choice("--on-missing-variable", "raise", "fill", help="A variable that some files lack.")
@_choice("--attrs", "first", "identical", "drop-conflicts", help="Attributes that differ and change no values.")
@_choice("--join", "exact", "outer", help="Places of the grid that no file fills.")
@_choice("--on-overlap", "raise", "first", "last", help="Rows with the same coordinate value: whose are kept.")
@_choice("--on-gap", "note", "raise", help="Steps that seem to be missing along a dimension.")
@_choice("--on-differing", "raise", "first", "drop", "stack", help="A variable without DIM whose values differ.")
@click.option("--same", multiple=True, metavar="GLOB", help="Variables to take from the first file, not compared.")
@click.option("--load-below", type=BYTE_SIZE, metavar="SIZE", help="Store values of coordinates up to SIZE.")
@_choice("--on-unsupported", "raise", "skip", help="A dataset that cannot be expressed: fail the file, or report it.")
@click.option("--format", metavar="NAME", help="Take the files to be of this format.")
@click.option("--group", metavar="PATH", help="Scan only this group; it becomes the root.")
@click.option("--include", multiple=True, metavar="GLOB", help="Only datasets whose path matches; repeatable.")
@click.option("--exclude", multiple=True, metavar="GLOB", help="No datasets whose path matches; repeatable.")
@click.option("--chunk-bytes", type=BYTE_SIZE, metavar="SIZE", help="Cut contiguous data into chunks of this size.")
@click.option("--series", type=int, multiple=True, metavar="N", help="TIFF: only this series; repeatable.")
@click.option("--level", "levels", type=int, multiple=True, metavar="N", help="TIFF: only this resolution; repeatable.")
@_choice("--geo", "auto", "off", help="TIFF: make map coordinates of GeoTIFF tags.")
@click.option("--relative", is_flag=True, default=None, help="Write locations relative to the document.")
@click.option("--inline-below", type=BYTE_SIZE, metavar="SIZE", help="Store chunks smaller than SIZE in the document.")
@click.option("--zarr-format", type=click.Choice(["2", "3"]), help="Zarr version of the metadata.  [default: 2]")
@click.option("--templates", is_flag=True, default=None, help="Write directories that URLs share once (JSON).")
@click.option("--record-size", type=int, metavar="N", help="Chunks in a partition (Parquet).")
@click.option("--separate-suffix", metavar="SUFFIX", help="Of single files' documents.  [default: .json]")
@storage_option
@click.option("-v", "--verbose", is_flag=True, help="List every failed file and note, not only counts.")
@debug_option
def index_command(
    *,
    inputs: tuple[str, ...],
    job_file: str | None,
    output: str | None,
    separate: str | None,
    job: str | None,
    update: bool,
    report: str | None,
    places: tuple[str, ...],
    dates: tuple[str, ...],
    verbose: bool,
    **options: Any,
) -> int:
    """Scan INPUTs (paths, URLs, globs; @FILE or - for lists) and write references to all of them.

    Interrupted or killed, the same command goes on where it was; when it is done, it adds what is new (--update).
    """
    from refmaker.batch.index import run
    from refmaker.batch.job import job_of, read_job_file

    said = read_job_file(job_file) if job_file is not None else {}
    given = {name: value for name, value in options.items() if value is not None and value != ()}
    if "zarr_format" in given:
        given["zarr_format"] = int(given["zarr_format"])
    if places or dates:
        from refmaker.cli.combine import pairs_option, placements

        context = click.get_current_context()
        pairs = [pairs_option(context, context.command.params[0], texts) for texts in (places, dates)]
        given["place"] = placements(*pairs)
    top: dict[str, Any] = {"inputs": inputs or said.pop("inputs", ()), "output": output or said.pop("output", None)}
    top |= {"separate": separate or said.pop("separate", None), "job": job or said.pop("job", None)}
    for name in top:
        said.pop(name, None)
    if not top["inputs"]:
        raise click.UsageError("there are no inputs: name files, or a job file that does (-f JOB)")
    asked = job_of(**top, options=said | given)
    try:
        with _followed() as progress:
            found = run(asked, update=update, progress=progress)
    except ConflictError as error:
        head, *conflicts = error.message.splitlines()
        for line in (f"error: {head}", *conflicts, f"what was scanned is kept in {asked.directory}"):
            click.echo(shown(line), err=True)
        return ExitCode.NOTHING_DONE
    code = exit_code(found)
    for line in lines(found, verbose=verbose):
        click.echo(line)
    if not found.is_complete:
        click.echo(f"error: {shown(_hindrance(found))}", err=True)
    if report is not None:
        from refmaker.cli.index_report import write_index_report

        write_index_report(found, report, exit_code=code)
    return code


def exit_code(found: "IndexReport") -> ExitCode:
    """Return how a run ends: done only if every file and every dataset is in the outputs."""
    if not found.is_complete:
        return ExitCode.NOTHING_DONE
    from refmaker.model.reference_set import DatasetState

    return ExitCode.DONE_IN_PART if found.failed or found.datasets[DatasetState.SKIPPED] else ExitCode.DONE


def _hindrance(found: "IndexReport") -> str:
    from refmaker.batch.ledger import FileState

    if found.is_stopped:
        left = found.files[FileState.PENDING]
        return f"stopped, because too many files failed (--max-failures); {counted(left, 'file')} still to be scanned"
    if not found.files[FileState.DONE]:
        return "no file could be scanned"
    return f"nothing was written, because {counted(found.failed, 'file')} failed (--on-error skip leaves them out)"


def lines(found: "IndexReport", *, verbose: bool) -> Iterator[str]:
    """Yield what a run did and how its job stands, for people."""
    if found.listing is not None:
        changed = found.listing
        yield (
            f"{counted(changed.total, 'input file')}: {changed.new} new, {changed.changed} changed, "
            f"{changed.vanished} vanished"
        )
    yield f"scanned {counted(found.scanned, 'file')} in {found.seconds:.1f} s"
    yield from job_lines(found.directory, most=None if verbose else 10)
    for axis in found.axes:
        values = "" if axis.first is None else f", {shown(axis.first)} to {shown(axis.last or '')}"
        yield f"{shown(axis.path)}: {axis.length} in {counted(axis.blocks, 'piece')}{values}"
        yield from (f"{shown(axis.path)}: gap: {shown(gap)}" for gap in axis.gaps)
    if found.notes:
        yield f"{counted(len(found.notes), 'note')}{':' if verbose else '; -v lists them'}"
        if verbose:
            yield from ("  " + shown(f"{note.path or '/'}: {note.code}: {note.sentence}") for note in found.notes)
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
        if now.step != self._step or moment - self._told >= PLAIN_SECONDS:
            self._step, self._told = now.step, moment
            count = f" {now.done}/{now.total}" if now.total else ""
            click.echo(f"{now.step}{count}{f', {text}' if text else ''}", err=True)
