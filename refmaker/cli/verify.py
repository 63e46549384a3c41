"""``refmaker verify``: references held against the files that they point into."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from refmaker import __version__
from refmaker.cli.failures import ExitCode, debug_option
from refmaker.cli.options import identity, storage_option
from refmaker.cli.text import aligned, counted, shown

if TYPE_CHECKING:
    from refmaker.verify.findings import Verification

__all__ = ["verify_command"]

REPORT_VERSION = 1
MOST_ARRAYS = 200
"""Arrays without mismatches that the table lists; the report has all."""


@click.command("verify")
@click.argument("references", metavar="REFS")
@click.option(
    "--sample",
    type=click.IntRange(1),
    metavar="N",
    help="Chunks of each array that are read; default 8. Ranges are checked of all.",
)
@click.option("--all", "everything", is_flag=True, help="Read every chunk.")
@click.option(
    "--native/--no-native",
    default=True,
    show_default=True,
    help="Compare values, types, fill values and attributes with what h5py, netCDF4 or tifffile read.",
)
@click.option("--report", metavar="JSON", help="Write what was checked and found to this file.")
@click.option(
    "--allow",
    multiple=True,
    metavar="PREFIX",
    help="URLs that sources may lie under beside those allowed anyway; repeatable, '*' allows all.",
)
@storage_option
@click.option("-v", "--verbose", is_flag=True, help="List what could not be checked, not only how much.")
@debug_option
def verify_command(
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
    """Hold the references REFS (path or URL) against their files: ends with 0 if they fit, with 4 if not.

    Every source must be there and unchanged, every range inside it and over no other; the chunks that are read must
    decode, to the values that the native library reads.
    """
    from refmaker import verify
    from refmaker.verify.run import SAMPLE

    if everything and sample is not None:
        raise click.UsageError("--all and --sample exclude each other")
    if report is not None and identity(report) == identity(references):
        raise click.UsageError(f"--report {report} would overwrite the references")
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
    if report is not None:
        _write(report_json(references, found, code), report)
    return code


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


def _write(content: dict[str, Any], url: str) -> None:
    from refmaker.references.publish import publish

    with publish(url) as file:
        file.write(json.dumps(content, indent=1).encode() + b"\n")
