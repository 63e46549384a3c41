"""``refmaker combine``: many files or references to one document."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from refmaker.cli.documented import Verb
from refmaker.cli.failures import ExitCode, debug_option
from refmaker.cli.notes import note_lines, warn
from refmaker.cli.options import check_folder, check_wildcards, identity, note_unused, options_of, storage_option
from refmaker.cli.progress import following
from refmaker.cli.shared_options import choice, combining, given, placements, relative_option
from refmaker.cli.text import counted, shown
from refmaker.errors import ConflictError

if TYPE_CHECKING:
    from refmaker.combine.outcome import AxisSummary, Combination
    from refmaker.model.reference_set import ScanReport

__all__ = ["axis_lines", "combine_command", "conflicts_told"]


@click.command(
    "combine",
    cls=Verb,
    short_help="Make one document of a few files or documents.",
    examples=(
        (
            "Along a dimension that files have, ordered by its coordinate values:",
            "refmaker combine ocean_1.nc ocean_2.nc --concat time -o ocean.json",
        ),
        (
            "Along a new one, whose values stand in the files' names:",
            "refmaker combine run_r1.nc run_r2.nc --concat member --from 'member=name:_r(\\d+)' -o ensemble.json",
        ),
        (
            "See what would come of it, and whether the inputs fit, without writing anything:",
            "refmaker combine ocean_1.nc ocean_2.nc --concat time --dry-run",
        ),
        ("Add a file to a document, in place:", "refmaker combine --append ocean.json ocean_3.nc --concat time"),
    ),
    codes={
        ExitCode.NOTHING_DONE: "nothing was written: the message on stderr says why; of inputs that do not fit "
        "together, all conflicts are told",
        ExitCode.DONE_IN_PART: "written, but datasets were skipped; each is named",
    },
    see_also=(
        "refmaker index scans and combines whole archives, in parallel and resumably.",
        "refmaker scan makes references of single files, which can be combined later.",
    ),
)
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@click.option("-o", "--output", metavar="OUT", help="The document: .json, .json.gz, .json.zst, .parq or .parquet.")
@click.option("--append", metavar="REFS", help="Add the inputs to this document, in place unless -o is given.")
@click.option("--dry-run", is_flag=True, help="Check everything and show the result, but write nothing.")
@relative_option
@combining
@click.option(
    "--include",
    multiple=True,
    metavar="GLOB",
    help="Only variables whose path or name matches. Repeatable.",
)
@click.option(
    "--exclude",
    multiple=True,
    metavar="GLOB",
    help="No variables whose path or name matches; wins over --include. Repeatable.",
)
@choice(
    "--on-unsupported",
    "raise",
    "skip",
    help="INPUTs that are scanned: a dataset that references cannot express. raise: its file fails; skip: left out, "
    "and named with the reason.",
)
@storage_option
@click.option(
    "-v", "--verbose", is_flag=True, help="List every note, such as attributes that differed, not only a count."
)
@debug_option
def combine_command(
    inputs: tuple[str, ...],
    *,
    output: str | None,
    append: str | None,
    places: dict[str, str],
    dates: dict[str, str],
    dry_run: bool,
    relative: bool | None,
    verbose: bool,
    on_unsupported: Any,
    storage_options: dict[str, Any] | None,
    **options: Any,
) -> int:
    """Combine INPUTs into one document: concatenated along dimensions, their variables merged.

    INPUTs are reference documents or files to scan (paths or URLs). Everything is checked before anything is written.
    """
    check_wildcards(inputs)
    target = _target(inputs, output, append, dry_run=dry_run)
    asked = given(options)
    if not asked.get("concat") and (useless := [name for name in ("join", "on_overlap", "on_gap") if name in asked]):
        raise click.UsageError(f"--{useless[0].replace('_', '-')} is about --concat, which is not given")
    if relative and target is None:
        raise click.UsageError("--relative is about the document, and -o OUT is not given")
    place = placements(places, dates)
    from refmaker import write_references
    from refmaker.batch.targets import check_below, check_targets, folder_of
    from refmaker.combine.combination import combination
    from refmaker.combine.options import CombineOptions
    from refmaker.references.combining import opened

    if target is not None:
        check_targets([target])
        check_folder(target)
    try:
        with following(len(inputs)) as tell:

            def followed() -> Iterator[str]:
                for done, name in enumerate(inputs):
                    tell(name, done)
                    yield name
                tell("checking and putting together", len(inputs))

            items = opened(
                followed(),
                append_to=append,
                on_unsupported=on_unsupported or "raise",
                storage_options=storage_options,
            )
            found = combination(items, CombineOptions(place=place, storage_options=storage_options, **asked))
    except ConflictError as error:
        conflicts_told(error)
        return ExitCode.NOTHING_DONE
    folder = folder_of(target) if relative and target is not None else None
    if folder is not None:
        check_below(found.references, folder)
    if target is not None and not dry_run:
        write_references(
            found.references, target, relative_to=folder, storage_options=options_of(target, storage_options)
        )
    for line in lines(found, None if dry_run else target, verbose=verbose):
        click.echo(line)
    warn(target or "the document", found.references.report.notes)
    note_unused(
        {"--storage-option": storage_options},
        target or "",
        *inputs,
        *(source.url for source in found.references.sources),
    )
    return ExitCode.DONE_IN_PART if found.references.report.skipped else ExitCode.DONE


def conflicts_told(error: ConflictError, *more: str) -> None:
    """Print why inputs do not fit together, a line a conflict."""
    head, *conflicts = error.message.splitlines()
    for line in (f"error: {head}", *conflicts, *more):
        click.echo(shown(line), err=True)


def _target(inputs: Sequence[str], output: str | None, append: str | None, *, dry_run: bool) -> str | None:
    """Return where to write, or None: nowhere, in a dry run."""
    target = output if output is not None else append
    if target is None:
        if dry_run:
            return None
        raise click.UsageError("-o OUT says where to write (or --append REFS, or --dry-run)")
    if identity(target) in map(identity, inputs):
        raise click.UsageError(f"{target} is an input too; --append adds to a document in place")
    return target


def lines(found: "Combination", target: str | None, *, verbose: bool) -> Iterator[str]:
    """Yield what was made, for people: the dimensions, the arrays, what was skipped or noted."""
    from refmaker.cli.info import inspect, tree

    info = inspect(target or "", found.references)
    where = "nothing written (--dry-run)" if target is None else f"written to {shown(target)}"
    yield (
        f"{counted(found.inputs, 'input')}, {counted(len(info.sources), 'file')}, "
        f"{counted(sum(array.chunks_present for array in info.arrays), 'chunk')}: {where}"
    )
    for axis in found.axes:
        yield from axis_lines(axis)
    yield ""
    yield from tree(info)
    yield from _report_lines(found.references.report, verbose=verbose)


def axis_lines(axis: "AxisSummary") -> Iterator[str]:
    """Yield what became of a concatenated dimension."""
    name = shown(axis.path)
    values = "no coordinate values" if axis.first is None else f"{shown(axis.first)} to {shown(axis.last or '')}"
    yield f"{name}: {axis.length} in {counted(axis.blocks, 'piece')}, {values}"
    if axis.dropped:
        yield f"{name}: nothing is taken from {counted(axis.dropped, 'input')}: others have all their rows"
    for gap in axis.gaps:
        yield f"{name}: gap: {shown(gap)}"


def _report_lines(report: "ScanReport", *, verbose: bool) -> Iterator[str]:
    if report.skipped:
        yield ""
        yield f"skipped {counted(len(report.skipped), 'dataset')}"
        yield from (f"  {shown(f'{d.path}: {d.code}: {d.reason}')}" for d in report.skipped)
    if own := sorted({codec for dataset in report.datasets for codec in dataset.codecs}):
        yield f"some arrays can only be read with refmaker installed ({', '.join(own)})"
    if report.notes:
        yield ""
        yield from note_lines(report.notes, verbose=verbose)
