"""``refmaker scan``: files to reference documents, every dataset accounted for."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from refmaker.cli.failures import ExitCode, Failure, Settings, attempt, debug_option
from refmaker.cli.options import BYTE_SIZE, Job, identity, plan, storage_option, zarr_format_option
from refmaker.cli.relative import check_below, folder_of
from refmaker.cli.report import Outcome, exit_code, summary, write_report
from refmaker.cli.text import followed
from refmaker.errors import OptionError, RefmakerError
from refmaker.model.reference_set import ReferenceSet, ScanReport
from refmaker.source.location import local_path

if TYPE_CHECKING:
    from refmaker.scanners.many import ScanMany

__all__ = ["scan_command"]


def _known_format(_: click.Context, __: click.Parameter, name: str | None) -> str | None:
    from refmaker.scanners.registry import table

    known = [scanner.name for scanner in table()] if name is not None else []
    if name is not None and name not in known:
        raise click.BadParameter(f"{name!r} is not one of {', '.join(known)}")
    return name


@click.command("scan")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option(
    "-o",
    "--output",
    required=True,
    metavar="OUT",
    help="References to write (.json, .json.gz, .json.zst, .parq), or a directory (DIR/) that gets one <name>.json for "
    "each FILE.",
)
@click.option(
    "--inline-below", type=BYTE_SIZE, default=0, metavar="SIZE", help="Store chunks smaller than SIZE in the document."
)
@click.option(
    "--on-unsupported",
    type=click.Choice(["raise", "skip"]),
    default="raise",
    show_default=True,
    help="A dataset that cannot be expressed: fail the file, or leave the dataset out and report it.",
)
@click.option("--report", metavar="JSON", help="Write what became of every dataset to this file.")
@click.option(
    "--format", callback=_known_format, metavar="NAME", help="Take the files to be of this format; default: look."
)
@click.option("--group", default="", metavar="PATH", help="Scan only this group; it becomes the root.")
@click.option("--include", multiple=True, metavar="GLOB", help="Only datasets whose path matches; repeatable.")
@click.option("--exclude", multiple=True, metavar="GLOB", help="No datasets whose path matches; repeatable.")
@click.option(
    "--chunk-bytes", type=BYTE_SIZE, metavar="SIZE", help="Cut contiguous data into chunks of about this size."
)
@click.option("--series", type=int, multiple=True, metavar="N", help="TIFF: only this series, from 0; repeatable.")
@click.option(
    "--level",
    "levels",
    type=int,
    multiple=True,
    metavar="N",
    help="TIFF: only this resolution, 0 the largest; repeatable.",
)
@click.option(
    "--geo",
    type=click.Choice(["auto", "off"]),
    default="auto",
    show_default=True,
    help="TIFF: make map coordinates of GeoTIFF tags.",
)
@click.option(
    "--relative", is_flag=True, help="Write locations relative to the document, which must lie above the files."
)
@zarr_format_option
@storage_option
@click.option(
    "--concurrency", type=click.IntRange(1), default=128, show_default=True, help="Requests in flight, over all FILEs."
)
@click.option(
    "--retries",
    type=click.IntRange(0),
    default=4,
    show_default=True,
    help="Times a request is made again after it failed for a passing reason.",
)
@click.option("-v", "--verbose", is_flag=True, help="List notes (dropped attributes, slow indexes), not only counts.")
@debug_option
@click.pass_obj
def scan_command(
    settings: Settings,
    /,
    *,
    files: tuple[str, ...],
    output: str,
    report: str | None,
    on_unsupported: Literal["raise", "skip"],
    inline_below: int,
    relative: bool,
    zarr_format: int,
    verbose: bool,
    storage_options: dict[str, Any] | None,
    **options: Any,
) -> int:
    """Find the chunks of FILEs (paths or URLs) and write references to them."""
    jobs = plan(files, output)
    if report is not None and not {identity(report)}.isdisjoint(
        identity(x) for job in jobs for x in (job.file, job.output)
    ):
        raise click.UsageError(f"--report {report} would overwrite another file of this run")

    def scan_one(job: Job) -> Outcome:
        def work() -> ScanReport:
            from refmaker import inline_below as inlined
            from refmaker import write_references

            found = scan_next()
            if (options["include"] or options["exclude"]) and not found.report.datasets:
                raise OptionError("--include and --exclude leave no dataset; refmaker info shows the paths")
            if relative:
                check_below(found, folder_of(job.output))
            if inline_below:
                found = inlined(found, inline_below, storage_options)
            if output.endswith("/"):
                _make_parent(job.output)
            write_references(
                found,
                job.output,
                relative_to=folder_of(job.output) if relative else None,
                zarr_format=zarr_format,
            )
            return found.report

        result = attempt(work, settings)
        return Outcome(
            job, _told(result, job, hint=on_unsupported == "raise") if isinstance(result, Failure) else result
        )

    options |= {"on_unsupported": on_unsupported, "storage_options": storage_options}
    with _scanning([job.file for job in jobs], options) as scan_next:
        outcomes = followed(jobs, scan_one, label=lambda job: job.file)
    for line in summary(outcomes, verbose=verbose):
        click.echo(line)
    failures = [outcome.result for outcome in outcomes if isinstance(outcome.result, Failure)]
    for failure in failures:
        failure.show()
    if failures and len(jobs) > 1:
        click.echo(f"error: {len(failures)} of {len(jobs)} files failed", err=True)
    code = exit_code(outcomes)
    if report is not None:
        written = attempt(lambda: write_report(outcomes, report), settings)
        if isinstance(written, Failure):
            written.show()
            return code if code is not ExitCode.DONE else ExitCode.DONE_IN_PART
    return code


@contextmanager
def _scanning(files: Sequence[str], options: dict[str, Any]) -> Iterator[Callable[[], ReferenceSet]]:
    """Give a function that returns the references of each file in turn, or raises what went wrong with it."""

    @cache
    def results() -> "ScanMany":
        from refmaker import scan_many

        return scan_many(files, **options)

    def scan_next() -> ReferenceSet:
        found = next(results())
        if isinstance(found, RefmakerError):
            raise found
        return found

    try:
        yield scan_next
    finally:
        if results.cache_info().currsize:
            results().close()


def _told(failure: Failure, job: Job, *, hint: bool) -> Failure:
    """Return the failure with what its message lacks here: the file it is about, or the way out."""
    if failure.kind in {"system", "internal"}:
        return replace(failure, message=f"{job.file}: {failure.message}")
    if hint and failure.code and failure.path:
        reason = failure.message.removesuffix("; on_unsupported='skip' leaves it out")  # that is how Python says it
        return replace(failure, message=f"{reason}; --on-unsupported skip leaves it out and reports it")
    return failure


def _make_parent(output: str) -> None:
    """Make the directory that several documents go to."""
    if (path := local_path(output)) is not None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
