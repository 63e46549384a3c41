"""``refmaker convert``: references from one encoding to another, with files relocated and small chunks inlined."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from refmaker.cli.documented import Verb
from refmaker.cli.failures import ExitCode, debug_option
from refmaker.cli.options import check_folder, identity, note_unused, options_of, storage_option
from refmaker.cli.progress import following
from refmaker.cli.shared_options import inline_option, zarr_format_option
from refmaker.cli.text import counted, shown
from refmaker.errors import OptionError
from refmaker.source.location import absolute_url

if TYPE_CHECKING:
    from refmaker.model.reference_set import ReferenceSet

__all__ = ["convert_command"]


EPILOG = """\b
OUT ends in:
  .json, .json.gz, .json.zst  one file
  .parq, .parquet             a directory, for many chunks"""


@click.command(
    "convert",
    epilog=EPILOG,
    cls=Verb,
    short_help="Write references again: other encodings, other places.",
    examples=(
        ("JSON to Parquet, which readers load in parts:", "refmaker convert ocean.json ocean.parq"),
        (
            "The files were uploaded to a bucket, and references are to follow them:",
            "refmaker convert ocean.json moved.json.zst --relocate /data/archive=s3://bucket/archive",
        ),
        (
            "References that can be moved together with the files beside them:",
            "refmaker convert ocean.json moving.json --relative-to .",
        ),
    ),
    see_also=("refmaker info shows where files are now; refmaker verify finds out whether references still fit.",),
)
@click.argument("given", metavar="IN")
@click.argument("output", metavar="OUT")
@click.option(
    "--relocate",
    "moves",
    multiple=True,
    metavar="OLD=NEW",
    help="Files at OLD, or below it, are now at NEW (absolute paths or URLs). Repeatable; the longest OLD that fits "
    "counts.",
)
@click.option(
    "--relative-to",
    metavar="DIR",
    help="Write where files below DIR are relative to DIR; OUT is to be kept in DIR.",
)
@inline_option
@zarr_format_option
@click.option("--templates", is_flag=True, help="JSON: write directories that many files share only once.")
@click.option(
    "--record-size",
    type=click.IntRange(1, 1 << 24),
    metavar="N",
    help="Parquet: chunks in a partition, which readers load whole.  [default: 100000]",
)
@click.option(
    "--allow-credentials", is_flag=True, help="Write URLs that hold passwords or signatures, instead of refusing them."
)
@storage_option
@debug_option
def convert_command(
    *,
    given: str,
    output: str,
    moves: tuple[str, ...],
    relative_to: str | None,
    zarr_format: int | None,
    inline_below: int | None,
    templates: bool,
    record_size: int | None,
    allow_credentials: bool,
    storage_options: dict[str, Any] | None,
) -> int:
    """Write the references IN again as OUT: in another encoding, for other places, with small chunks stored.

    IN and OUT are paths or URLs; OUT's suffix says the encoding.
    """
    from refmaker.batch.targets import check_targets
    from refmaker.references.options import RECORD_SIZE

    check_targets([output], zarr_format=zarr_format or 2, templates=templates, record_size=record_size or RECORD_SIZE)
    check_folder(output)
    from refmaker import inline_below as inlined
    from refmaker import open_references, write_references
    from refmaker.references import relocate

    if _within(given, output):
        raise OptionError(f"would be overwritten, and it is read: {shown(given)}; write elsewhere", location=output)
    references = open_references(given, storage_options=storage_options)
    if moves:
        references = relocate(references, _moves(moves, references))
    if any(_within(source.url, output) for source in references.sources):
        raise OptionError("would be overwritten, and the references are to it", location=output)
    if relative_to is not None:
        _check_relative(references, relative_to)
    if inline_below:
        with following(1) as tell:
            tell("reading small chunks", 0)
            references = inlined(references, inline_below, storage_options)
    write_references(
        references,
        output,
        relative_to=relative_to,
        zarr_format=zarr_format or 2,
        templates=templates,
        record_size=record_size or RECORD_SIZE,
        allow_credentials=allow_credentials,
        storage_options=options_of(output, storage_options),
    )
    click.echo(f"{shown(output)}: {_said(references)}")
    note_unused({"--storage-option": storage_options}, given, output, *(source.url for source in references.sources))
    return ExitCode.DONE


def _check_relative(references: "ReferenceSet", folder: str) -> None:
    """Refuse a directory that no file is below; say how many are not."""
    from refmaker.references.relocate import relative_to

    relative = relative_to(folder)
    others = [
        source.url
        for source in references.sources
        if relative(source.url) == source.url and absolute_url(source.url) == source.url
    ]
    if others and len(others) == len(references.sources):
        raise OptionError(f"--relative-to: no file is below it; the first is {others[0]}", location=folder)
    if others:
        told = (
            f"{counted(len(others), 'file')} not below {shown(folder)}, such as {shown(others[0])}: written as absolute"
        )
        click.echo(f"note: {told}", err=True)


def _within(place: str, output: str) -> bool:
    """Whether what lies at a place would go when the output is written: it is the output, or in its directory."""
    return f"{identity(place).rstrip('/')}/".startswith(f"{identity(output).rstrip('/')}/")


def _said(references: "ReferenceSet") -> str:
    from refmaker.model.group import walk_arrays

    arrays = [array for _, array in walk_arrays(references.root)]
    chunks = sum(array.manifest.present for array in arrays)
    return f"{counted(len(arrays), 'array')}, {counted(chunks, 'chunk')} in {counted(len(references.sources), 'file')}"


def _moves(moves: Sequence[str], references: "ReferenceSet") -> dict[str, str]:
    """Return old URL or prefix to new from ``OLD=NEW``; of several ``=`` the first counts whose OLD is there."""
    from refmaker.references.relocate import is_below

    urls = [source.url for source in references.sources]
    found = {}
    for move in moves:
        cuts = [at for at, character in enumerate(move) if character == "="]
        pairs = [(_full(move[:at]), _full(move[at + 1 :])) for at in cuts if 0 < at < len(move) - 1]
        if not pairs:
            raise click.UsageError(f"--relocate {move} is not OLD=NEW")
        fitting = [pair for pair in pairs if any(is_below(url, pair[0]) for url in urls)]
        if not fitting:
            raise OptionError(f"--relocate {move}: no file is at or below {pairs[0][0]}")
        old, new = fitting[0]
        found[old] = new
    return found


def _full(place: str) -> str:
    """Return a location as references spell it: an absolute path behind ``file://``."""
    return absolute_url(place) + ("/" if place.endswith("/") else "") if place.startswith("/") else place
