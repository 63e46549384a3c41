"""``refmaker combine``: many files or references to one document."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click

from refmaker.cli.failures import ExitCode, debug_option
from refmaker.cli.options import BYTE_SIZE, identity, storage_option
from refmaker.cli.relative import check_below, folder_of
from refmaker.cli.text import counted, shown
from refmaker.errors import ConflictError

if TYPE_CHECKING:
    from refmaker.combine.outcome import AxisSummary, Combination
    from refmaker.combine.placement import Placement
    from refmaker.model.reference_set import ScanReport

__all__ = ["combine_command"]

Command = TypeVar("Command", bound=Callable[..., Any])


def pairs_option(_: click.Context, __: click.Parameter, texts: tuple[str, ...]) -> dict[str, str]:
    """Return ``DIM=TEXT`` options as a mapping."""
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise click.BadParameter(f"{text!r} is not DIM=...")
        if name in found:
            raise click.BadParameter(f"{name} is given twice")
        found[name] = value
    return found


def _choice(name: str, choices: Sequence[str], help: str) -> Callable[[Command], Command]:  # noqa: A002  click's word
    return click.option(name, type=click.Choice(choices), default=choices[0], show_default=True, help=help)


@click.command("combine")
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@click.option("-o", "--output", metavar="OUT", help="Reference document to write.")
@click.option("--append", metavar="REFS", help="Add the inputs to this document, in place unless -o is given.")
@click.option("--concat", multiple=True, metavar="DIM", help="Concatenate along this dimension; repeatable.")
@click.option(
    "--from",
    "places",
    multiple=True,
    callback=pairs_option,
    metavar="DIM=WHERE",
    help="Where an input belongs along DIM: 'values' of its coordinate variable (the default), 'name:REGEX' (the group "
    "called DIM, else the first), 'attribute:NAME', or 'position' in the order given.",
)
@click.option(
    "--dates",
    multiple=True,
    callback=pairs_option,
    metavar="DIM=FORMAT",
    help="Read names or attributes as dates (%Y%m%d).",
)
@_choice("--on-missing-variable", ["raise", "fill"], "A variable that some inputs lack; fill: its chunks are absent.")
@_choice("--attrs", ["first", "identical", "drop-conflicts"], "Attributes that differ and change no values.")
@_choice("--join", ["exact", "outer"], "Places of the grid that no input fills; outer: chunks are absent there.")
@_choice("--on-overlap", ["raise", "first", "last"], "Rows with the same coordinate value: whose are kept.")
@_choice("--on-gap", ["note", "raise"], "Steps that seem to be missing along a dimension.")
@_choice(
    "--on-differing",
    ["raise", "first", "drop", "stack"],
    "A variable without a concatenated dimension whose values differ; stack: give it the dimension.",
)
@click.option("--same", multiple=True, metavar="GLOB", help="Variables to take from the first input, not compared.")
@click.option("--include", multiple=True, metavar="GLOB", help="Only variables that match; repeatable.")
@click.option("--exclude", multiple=True, metavar="GLOB", help="No variables that match; repeatable.")
@click.option(
    "--load-below",
    type=BYTE_SIZE,
    default=1 << 20,
    metavar="SIZE",
    help="Store values of coordinates, and of variables whose chunks do not line up, up to SIZE; default 1 MiB.",
)
@_choice("--on-unsupported", ["raise", "skip"], "Datasets of scanned files that cannot be expressed.")
@click.option("--dry-run", is_flag=True, help="Check everything and show the result, but write nothing.")
@click.option("--relative", is_flag=True, help="Write locations relative to the document, which must lie above them.")
@storage_option
@click.option("-v", "--verbose", is_flag=True, help="List notes, not only counts.")
@debug_option
def combine_command(
    inputs: tuple[str, ...],
    *,
    output: str | None,
    append: str | None,
    places: dict[str, str],
    dates: dict[str, str],
    dry_run: bool,
    relative: bool,
    verbose: bool,
    on_unsupported: Literal["raise", "skip"],
    storage_options: dict[str, Any] | None,
    **options: Any,
) -> int:
    """Combine INPUTs into one document: reference documents, or files to scan (paths or URLs)."""
    target = _target(inputs, output, append, dry_run=dry_run)
    place = placements(places, dates)
    from refmaker import write_references
    from refmaker.combine.combination import combination
    from refmaker.combine.options import CombineOptions
    from refmaker.references.combining import opened

    asked = CombineOptions(place=place, storage_options=storage_options, **options)
    try:
        with _followed(inputs) as shown_inputs:
            items = opened(
                shown_inputs, append_to=append, on_unsupported=on_unsupported, storage_options=storage_options
            )
            found = combination(items, asked)
    except ConflictError as error:
        head, *conflicts = error.message.splitlines()
        click.echo(f"error: {shown(head)}", err=True)
        for line in conflicts:
            click.echo(shown(line), err=True)
        return ExitCode.NOTHING_DONE
    folder = folder_of(target) if relative and target is not None else None
    if folder is not None:
        check_below(found.references, folder)
    if target is not None and not dry_run:
        write_references(found.references, target, relative_to=folder)
    for line in lines(found, None if dry_run else target, verbose=verbose):
        click.echo(line)
    return ExitCode.DONE_IN_PART if found.references.report.skipped else ExitCode.DONE


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


def placements(places: dict[str, str], dates: dict[str, str]) -> "dict[str, Placement]":
    from refmaker.combine.placement import FromAttribute, FromName, FromPosition, FromValues

    found: dict[str, Placement] = {}
    for name, text in places.items():
        kind, _, rest = text.partition(":")
        date_format = dates.get(name)
        if text == "values":
            found[name] = FromValues()
        elif text == "position":
            found[name] = FromPosition()
        elif kind == "name" and rest:
            found[name] = FromName(rest, date_format)
        elif kind == "attribute" and rest:
            found[name] = FromAttribute(rest, date_format)
        else:
            raise click.UsageError(f"--from {name}={text}: not values, position, name:REGEX or attribute:NAME")
    for name in dates:
        if not isinstance(found.get(name), FromName | FromAttribute):
            raise click.UsageError(f"--dates {name}=... needs --from {name}=name:REGEX or {name}=attribute:NAME")
    return found


@contextmanager
def _followed(inputs: Sequence[str]) -> Iterator[Iterator[str]]:
    """Give the inputs one by one; behind a progress bar when there are several and stderr is a terminal."""
    if len(inputs) < 2 or not sys.stderr.isatty():
        yield iter(inputs)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    text = TextColumn("{task.description}", markup=False)
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), text)
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=len(inputs))

        def advancing() -> Iterator[str]:
            for name in inputs:
                progress.update(task, description=shown(name))
                yield name
                progress.update(task, advance=1)
            progress.update(task, description="checking and putting together")

        yield advancing()


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
        yield from _axis_lines(axis)
    yield ""
    yield from tree(info)
    yield from _report_lines(found.references.report, verbose=verbose)


def _axis_lines(axis: "AxisSummary") -> Iterator[str]:
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
        yield f"{counted(len(report.notes), 'note')}{':' if verbose else '; -v lists them'}"
        if verbose:
            yield from ("  " + shown(f"{note.path or '/'}: {note.code}: {note.sentence}") for note in report.notes)
