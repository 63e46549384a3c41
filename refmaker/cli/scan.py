"""``refmaker scan``: files to reference documents, every dataset accounted for."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import click

from refmaker.cli.failures import ExitCode, Failure, Settings, attempt, debug_option
from refmaker.cli.options import BYTE_SIZE, Job, identity, plan, storage_option
from refmaker.cli.report import Outcome, exit_code, summary, write_report
from refmaker.cli.text import followed
from refmaker.errors import OptionError
from refmaker.model.reference_set import ReferenceSet, ScanReport
from refmaker.source.location import local_path

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
    help="Reference document to write, or a directory (DIR/) that gets one <name>.json for each FILE.",
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
@click.option(
    "--relative", is_flag=True, help="Write locations relative to the document, which must lie above the files."
)
@storage_option
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
            from refmaker import scan, write_references

            found = scan(job.file, on_unsupported=on_unsupported, storage_options=storage_options, **options)
            if relative:
                _check_below(found, _folder(job.output))
            if inline_below:
                found = inlined(found, inline_below, storage_options)
            if output.endswith("/"):
                _make_parent(job.output)
            write_references(found, job.output, relative_to=_folder(job.output) if relative else None)
            return found.report

        result = attempt(work, settings)
        return Outcome(
            job, _told(result, job, hint=on_unsupported == "raise") if isinstance(result, Failure) else result
        )

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


def _told(failure: Failure, job: Job, *, hint: bool) -> Failure:
    """Return the failure with what its message lacks here: the file it is about, or the way out."""
    if failure.kind in {"system", "internal"}:
        return replace(failure, message=f"{job.file}: {failure.message}")
    if hint and failure.code and failure.path:
        return replace(failure, message=f"{failure.message} (--on-unsupported skip leaves it out and reports it)")
    return failure


def _folder(output: str) -> str:
    """Return the directory that holds a document (a path or URL)."""
    return output.rpartition("/")[0] or ("/" if output.startswith("/") else ".")


def _check_below(references: ReferenceSet, folder: str) -> None:
    """Refuse to write a location as absolute when it was to be relative."""
    from refmaker.references.relocate import relative_to

    relative = relative_to(folder)
    for source in references.sources:
        if relative(source.url) == source.url:
            raise OptionError(
                f"--relative needs it below the document's directory, {folder}; write the document above it",
                location=source.url,
            )


def _make_parent(output: str) -> None:
    """Make the directory that several documents go to."""
    if (path := local_path(output)) is not None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
