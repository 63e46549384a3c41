"""``refmaker verify``: references held against the files that they point into."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from refmaker import __version__
from refmaker.cli.documented import Verb
from refmaker.cli.failures import ExitCode, Settings, debug_option, reported
from refmaker.cli.options import check_report, options_of, storage_option
from refmaker.cli.progress import following
from refmaker.cli.text import aligned, counted, shown
from refmaker.source.location import without_credentials

if TYPE_CHECKING:
    from refmaker.verify.findings import Verification

__all__ = ["verify_command"]

REPORT_VERSION = 1
MOST_ARRAYS = 200
"""Arrays without mismatches that the table lists; the report has all."""


@click.command(
    "verify",
    cls=Verb,
    short_help="Hold references against the files that they were made of.",
    examples=(
        ("A sample of every array's chunks:", "refmaker verify ocean.json"),
        ("Everything, with a report for programs:", "refmaker verify ocean.json --all --report verified.json"),
        (
            "References and files in a public bucket, their ranges and 2 chunks of each array:",
            "refmaker verify s3://bucket/ocean.json --sample 2 --no-native --storage-option anon=true",
        ),
    ),
    codes={
        ExitCode.DONE: "references and files fit",
        ExitCode.NOTHING_DONE: "the references could not be read: the message on stderr says why",
        ExitCode.DONE_IN_PART: "they fit, but the report could not be written",
        ExitCode.MISMATCH: "they do not fit; each mismatch is named",
    },
    see_also=("refmaker convert --relocate tells references where files are now; refmaker scan makes new ones.",),
)
@click.argument("references", metavar="REFS")
@click.option(
    "--sample",
    type=click.IntRange(1),
    metavar="N",
    help="How many chunks of each array are read, the same ones every time; where they lie is "
    "checked of all.  [default: 8]",
)
@click.option("--all", "everything", is_flag=True, help="Read every chunk; excludes --sample.")
@click.option(
    "--native/--no-native",
    default=True,
    show_default=True,
    help="Whether values, types, fill values and attributes are compared with what h5py, netCDF4 or tifffile read.",
)
@click.option("--report", metavar="JSON", help="Write what was checked and found to this file, for programs.")
@click.option(
    "--allow",
    multiple=True,
    metavar="PREFIX",
    help="URLs that files may lie under, besides those that references may name anyway; '*' allows all. Repeatable.",
)
@storage_option
@click.option("-v", "--verbose", is_flag=True, help="List what could not be checked, not only how much.")
@debug_option
@click.pass_obj
def verify_command(
    settings: Settings,
    /,
    *,
    references: str,
    sample: int | None,
    everything: bool,
    native: bool,
    report: str | None,
    allow: tuple[str, ...],
    storage_options: dict[str, Any] | None,
    verbose: bool,
) -> int:
    """Hold references against the files that they were made of.

    REFS is the path or URL of a document. Every file must be there and unchanged, every chunk's bytes inside it and
    over no other's; the chunks that are read must decode, to the values that the native library reads.
    """
    from refmaker import verify
    from refmaker.verify.run import SAMPLE

    if everything and sample is not None:
        raise click.UsageError("--all and --sample exclude each other")
    check_report(report, references)
    with following(1) as tell:
        tell(f"verifying {without_credentials(references)}", 0)
        found = verify(
            references,
            sample=None if everything else sample or SAMPLE,
            native=native,
            storage_options=storage_options,
            allow=allow,
        )
    for line in lines(references, found, verbose=verbose):
        click.echo(line)
    code = ExitCode.DONE if found.ok else ExitCode.MISMATCH
    if report is None:
        return code
    content = report_json(references, found, code)
    return reported(lambda: _write(content, report, storage_options), code, settings)


def lines(name: str, found: "Verification", *, verbose: bool) -> Iterator[str]:
    """Yield the table of arrays, the mismatches, and what could not be checked."""
    listed = [array for number, array in enumerate(found.arrays) if array.mismatches or number < MOST_ARRAYS]
    rows: list[tuple[str, ...]] = [("array", "chunks", "present", "read", "compared", "with", "mismatches")]
    for array in listed:
        counts = (str(n) for n in (array.chunks, array.present, array.read, array.compared))
        rows.append((shown(array.path), *counts, array.native or "-", str(array.mismatches or "-")))
    yield from aligned(rows, "<>>>><>")
    if len(listed) < len(found.arrays):
        yield f"... and {len(found.arrays) - len(listed)} more without mismatches; --report lists all"
    for mismatch in found.mismatches:
        yield f"mismatch: {shown(str(mismatch))}"
    if found.unchecked:
        yield f"{counted(len(found.unchecked), 'thing')} could not be checked{'' if verbose else '; -v lists them'}"
        if verbose:
            yield from (f"  {shown(str(one))}" for one in found.unchecked)
    read, compared = (sum(getattr(array, what) for array in found.arrays) for what in ("read", "compared"))
    yield (
        f"{shown(name)}: {'fits' if found.ok else 'DOES NOT FIT'}: {counted(len(found.arrays), 'array')} in "
        f"{counted(found.sources, 'file')}, {counted(read, 'chunk')} read, {compared} compared, "
        f"{len(found.mismatches)} mismatch{'' if len(found.mismatches) == 1 else 'es'}, {found.seconds:.1f} s"
    )


def report_json(name: str, found: "Verification", code: ExitCode) -> dict[str, Any]:
    """Return the machine-readable report (``schemas/verify-v1.schema.json``)."""
    return {
        "report_version": REPORT_VERSION,
        "refmaker_version": __version__,
        "references": name,
        "exit_code": int(code),
        "ok": found.ok,
        "sources": found.sources,
        "seconds": found.seconds,
        "arrays": [asdict(array) for array in found.arrays],
        "mismatches": [asdict(one) for one in found.mismatches],
        "unchecked": [asdict(one) for one in found.unchecked],
    }


def _write(content: dict[str, Any], url: str, storage_options: dict[str, Any] | None) -> None:
    from refmaker.references.publish import publish

    with publish(url, options_of(url, storage_options)) as file:
        file.write(json.dumps(content, indent=1).encode() + b"\n")
