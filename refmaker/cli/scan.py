"""``refmaker scan``: files to reference documents, every dataset accounted for."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from refmaker.cli.documented import Verb
from refmaker.cli.failures import ExitCode, Failure, Settings, attempt, debug_option, reported
from refmaker.cli.notes import warn
from refmaker.cli.options import (
    Job,
    check_folder,
    check_report,
    check_wildcards,
    note_unused,
    options_of,
    plan,
    storage_option,
)
from refmaker.cli.progress import following
from refmaker.cli.report import Outcome, exit_code, summary, write_report
from refmaker.cli.shared_options import given, inline_option, relative_option, scanning, zarr_format_option
from refmaker.errors import OptionError, RefmakerError
from refmaker.model.reference_set import ReferenceSet, ScanReport
from refmaker.source.location import absolute_url, local_path, without_credentials

if TYPE_CHECKING:
    from refmaker.scanners.many import ScanMany

__all__ = ["scan_command"]


@click.command(
    "scan",
    cls=Verb,
    short_help="Find where the chunks of files lie; write references.",
    examples=(
        ("One file, one document:", "refmaker scan ocean.nc -o ocean.json"),
        (
            "Several files, a document each in a directory; what cannot be expressed is left out and reported:",
            "refmaker scan ocean.nc lab.h5 -o references/ --on-unsupported skip --report report.json",
        ),
        (
            "Only one group, with small chunks stored in the document:",
            "refmaker scan ocean.nc -o rivers.json --group forcing/rivers --inline-below 10kB",
        ),
        (
            "A file in a public bucket, as Parquet:",
            "refmaker scan s3://bucket/ocean.nc -o ocean.parq --storage-option anon=true",
        ),
    ),
    codes={
        ExitCode.NOTHING_DONE: "no document was written: the message on stderr says why",
        ExitCode.DONE_IN_PART: "documents were written, but datasets were skipped, some of several files failed, or "
        "the report could not be written; each is named",
    },
    see_also=(
        "refmaker info shows what a document holds; refmaker verify holds it against the file.",
        "refmaker combine makes one document of several files, refmaker index of whole archives.",
    ),
)
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option(
    "-o",
    "--output",
    required=True,
    metavar="OUT",
    help="The document: .json, .json.gz or .json.zst (one file), .parq or .parquet (a directory, for many chunks). Or "
    "DIR/ for one NAME.json for each FILE.",
)
@click.option("--report", metavar="JSON", help="Write what became of every dataset to this file, for programs.")
@inline_option
@relative_option
@zarr_format_option
@scanning
@storage_option
@click.option(
    "--concurrency",
    type=click.IntRange(1),
    metavar="N",
    help="Remote files: requests in flight, over all FILEs.  [default: 128]",
)
@click.option(
    "--retries",
    type=click.IntRange(0),
    metavar="N",
    help="Remote files: times a request is made again that failed for a passing reason.  [default: 4]",
)
@click.option("-v", "--verbose", is_flag=True, help="List every note (such as a dropped attribute), not only counts.")
@debug_option
@click.pass_obj
def scan_command(
    settings: Settings,
    /,
    *,
    files: tuple[str, ...],
    output: str,
    report: str | None,
    inline_below: int | None,
    relative: bool | None,
    zarr_format: int | None,
    verbose: bool,
    storage_options: dict[str, Any] | None,
    **options: Any,
) -> int:
    """Find where the chunks of FILEs lie and write that down as references.

    FILEs are paths or URLs (s3://..., https://..., whatever fsspec opens) of HDF5, NetCDF or TIFF files. Every dataset
    is accounted for in a table, a row a file. Files that fail are named and do not stop the others.
    """
    from refmaker.batch.targets import check_below, check_targets, folder_of

    check_wildcards(files)
    jobs = plan(files, output)
    if not output.endswith("/"):
        check_folder(jobs[0].output)
    check_report(report, *(place for job in jobs for place in (job.file, job.output)))
    check_targets([job.output for job in jobs], zarr_format=zarr_format or 2)
    options = given(options) | {"storage_options": storage_options}

    def scan_one(job: Job) -> Outcome:
        def work() -> ScanReport:
            from refmaker import inline_below as inlined
            from refmaker import write_references

            found = scan_next()
            if ("include" in options or "exclude" in options) and not found.report.datasets:
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
                zarr_format=zarr_format or 2,
                storage_options=options_of(job.output, storage_options),
            )
            return found.report

        result = attempt(work, settings)
        if isinstance(result, Failure):
            result = _told(result, job, hint=options.get("on_unsupported") != "skip")
        return Outcome(job, result)

    outcomes = []
    with _scanning([job.file for job in jobs], options) as scan_next, following(len(jobs)) as tell:
        for done, job in enumerate(jobs):
            tell(without_credentials(job.file), done)
            outcomes.append(scan_one(job))
    _show(outcomes, verbose=verbose)
    remote = {
        "--storage-option": storage_options,
        "--concurrency": options.get("concurrency"),
        "--retries": options.get("retries") is not None,
    }
    note_unused(remote, output, report or "", *files)
    code = exit_code(outcomes)
    return code if report is None else reported(lambda: write_report(outcomes, report, storage_options), code, settings)


def _show(outcomes: Sequence[Outcome], *, verbose: bool) -> None:
    """Print what became of the files."""
    for line in summary(outcomes, verbose=verbose):
        click.echo(line)
    for outcome in outcomes:
        if isinstance(outcome.result, ScanReport):
            warn(without_credentials(outcome.job.file), outcome.result.notes)
    failures = [outcome.result for outcome in outcomes if isinstance(outcome.result, Failure)]
    for failure in failures:
        failure.show()
    if failures and len(outcomes) > 1:
        click.echo(f"error: {len(failures)} of {len(outcomes)} files failed", err=True)


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
    if local_path(job.file) is not None:  # one name for it, the user's
        url = absolute_url(job.file)
        for spelling in (url, url.removeprefix("file://")):
            if failure.message.startswith(f"{spelling}:"):
                failure = replace(failure, message=f"{job.file}{failure.message.removeprefix(spelling)}")
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
