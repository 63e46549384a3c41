"""``refmaker verify``: references held against the files that they point into."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from refmaker import __version__
from refmaker.cli.documented import Verb
from refmaker.cli.failures import ExitCode, Failure, Settings, attempt, debug_option, reported
from refmaker.cli.options import check_report, options_of, storage_option, suffixes
from refmaker.cli.progress import following
from refmaker.cli.text import aligned, counted, shown
from refmaker.errors import OptionError
from refmaker.source.location import local_path, without_credentials

if TYPE_CHECKING:
    from refmaker.verify.findings import Verification

__all__ = ["verify_command"]

REPORT_VERSION = 1
MOST_NAMED = 3
"""Arrays that the last line names."""
MOST_SKIPPED = 5
"""What references lack that is listed unless all is asked for."""
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
@click.argument("references", metavar="REFS...", nargs=-1, required=True)
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
@click.option("-v", "--verbose", is_flag=True, help="List what was not compared and why, not only how much.")
@debug_option
@click.pass_obj
def verify_command(
    settings: Settings,
    /,
    *,
    references: tuple[str, ...],
    sample: int | None,
    everything: bool,
    native: bool,
    report: str | None,
    allow: tuple[str, ...],
    storage_options: dict[str, Any] | None,
    verbose: bool,
) -> int:
    """Hold references against the files that they were made of.

    REFS are paths or URLs of documents. Every file must be there and unchanged, every chunk's bytes inside it and over
    no other's; the chunks that are read must decode, to the values that the native library reads. Of several files
    every chunk must lie where the others of its file say. What was compared with nothing is said.
    """
    from refmaker.verify.run import SAMPLE

    if everything and sample is not None:
        raise click.UsageError("--all and --sample exclude each other")
    check_report(report, *references)
    chosen = None if everything else sample or SAMPLE
    codes: list[ExitCode] = []
    reports: list[dict[str, Any]] = []
    with following(len(references)) as tell:
        for number, name in enumerate(references):
            tell(f"verifying {without_credentials(name)}", number)
            found = _verified(name, len(references), settings, chosen, native, storage_options, allow)
            if isinstance(found, Failure):
                found.show()
                codes.append(found.exit_code)
                reports.append({"references": name, "exit_code": int(found.exit_code), "error": found.message})
                continue
            for line in lines(name, found, verbose=verbose):
                click.echo(line)
            codes.append(ExitCode.DONE if found.ok else ExitCode.MISMATCH)
            reports.append(report_json(name, found, codes[-1]))
    code = max(codes)
    if report is None:
        return code
    head = {"report_version": REPORT_VERSION, "refmaker_version": __version__, "exit_code": int(code)}
    content = reports[0] if len(reports) == 1 else {**head, "documents": reports}
    return reported(lambda: _write(content, report, storage_options), code, settings)


def _verified(
    name: str,
    of: int,
    settings: Settings,
    sample: int | None,
    native: bool,
    storage_options: dict[str, Any] | None,
    allow: tuple[str, ...],
) -> "Verification | Failure":
    """Return what came of one document; one of several that cannot be read is a value, so that others are read."""
    from refmaker import verify

    def work() -> "Verification":
        _check_is_document(name)
        return verify(name, sample=sample, native=native, storage_options=storage_options, allow=allow)

    return work() if of == 1 else attempt(work, settings)


def _check_is_document(name: str) -> None:
    """Refuse a directory that is no document in Parquet, and say what to give instead.

    Raises:
        OptionError: it is one.
    """
    path = local_path(name)
    if path is None or not Path(path).is_dir() or (Path(path) / ".zmetadata").exists():
        return
    inside = sorted(one.name for one in Path(path).iterdir() if one.name.endswith(suffixes()))
    way = (
        f"give its documents, such as {name.rstrip('/')}/*{Path(inside[0]).suffix}" if inside else "it has no documents"
    )
    raise OptionError(f"is a directory, not references: {way}", location=name)


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
    for path, reason in found.skipped[: None if verbose else MOST_SKIPPED]:
        yield f"not in the references: {shown(path)}: {shown(reason)}"
    if len(found.skipped) > MOST_SKIPPED and not verbose:
        yield f"not in the references: {len(found.skipped) - MOST_SKIPPED} more; -v lists them"
    lacking = [array for array in found.arrays if array.not_compared]
    if (found.unchecked or lacking) and verbose:
        yield from (f"not compared: {shown(array.path)}: {array.not_compared}" for array in lacking)
        yield from (f"could not be checked: {shown(str(one))}" for one in found.unchecked)
    read, compared = (sum(getattr(array, what) for array in found.arrays) for what in ("read", "compared"))
    yield (
        f"{shown(name)}: {_verdict(found)}{counted(len(found.arrays), 'array')} in "
        f"{counted(found.sources, 'file')}, {counted(read, 'chunk')} read, {compared} compared, "
        f"{len(found.mismatches)} mismatch{'' if len(found.mismatches) == 1 else 'es'}, {found.seconds:.1f} s"
    )


def _verdict(found: "Verification") -> str:
    """Return whether it fits, and what that does not speak of."""
    lacking = [array.path for array in found.arrays if array.not_compared]
    parts = []
    if lacking:
        more = len(lacking) - MOST_NAMED
        names = ", ".join([*map(shown, lacking[:MOST_NAMED]), *([f"and {more} more"] if more > 0 else [])])
        parts.append(f"{len(lacking)} of {counted(len(found.arrays), 'array')} not compared with its files: {names}")
    if found.unchecked:
        parts.append(f"{counted(len(found.unchecked), 'thing')} could not be checked (-v lists them)")
    if not found.ok:
        parts.insert(0, "DOES NOT FIT")
    elif not found.arrays:
        parts.insert(0, "has no arrays, so nothing was compared")
    else:
        parts.insert(0, "fits")
    return "; ".join(parts) + ": "


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
        "skipped": [{"path": path, "reason": reason} for path, reason in found.skipped],
    }


def _write(content: dict[str, Any], url: str, storage_options: dict[str, Any] | None) -> None:
    from refmaker.references.publish import publish

    with publish(url, options_of(url, storage_options)) as file:
        file.write(json.dumps(content, indent=1).encode() + b"\n")
