"""Option values: sizes in bytes, storage options, and where each file's references go."""

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from refmaker.errors import OptionError
from refmaker.source.location import local_path, options_for

__all__ = [
    "BYTE_SIZE",
    "Job",
    "check_folder",
    "check_report",
    "check_wildcards",
    "identity",
    "note_unused",
    "options_of",
    "plan",
    "storage_option",
    "suffixes",
]

_UNITS = {"": 1, "b": 1, "k": 10**3, "m": 10**6, "g": 10**9, "ki": 2**10, "mi": 2**20, "gi": 2**30}


class ByteSize(click.ParamType):  # type: ignore[type-arg,unused-ignore]  # generic from click 8.4 on
    """A number of bytes: ``500``, ``64kB``, ``16MiB``."""

    name = "bytes"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number of bytes that the text says."""
        if isinstance(value, int):
            return value
        match = re.fullmatch(r"(\d+) ?([kmg]i?)?b?", value.strip(), re.IGNORECASE | re.ASCII)
        if match is None:
            self.fail(f"{value!r} is not a size such as 500, 64kB or 16MiB", param, ctx)
        return int(match[1]) * _UNITS[(match[2] or "").lower()]


BYTE_SIZE = ByteSize()


def _storage_options(_: click.Context, __: click.Parameter, pairs: tuple[str, ...]) -> dict[str, Any] | None:
    options: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not (name and equals):
            raise click.BadParameter(f"{pair!r} is not NAME=VALUE")
        try:
            options[name] = json.loads(text)
        except ValueError:
            options[name] = text
    return options or None


storage_option = click.option(
    "--storage-option",
    "storage_options",
    multiple=True,
    metavar="NAME=VALUE",
    callback=_storage_options,
    help="For the store (fsspec's filesystem), such as anon=true for public buckets: VALUE is JSON if it can be, else "
    "text. With several kinds of stores, by protocol: s3='{\"anon\": true}'. Repeatable.",
)
"""``--storage-option anon=true``: a dict in ``storage_options``, or None."""


def note_unused(names: Mapping[str, object], *urls: str) -> None:
    """Say of options for stores that were given that nothing is in a store.

    Args:
        names: option -> its value, None or false if it was not given.
        *urls: everything that is read or written.
    """
    found = [name for name, value in names.items() if value]
    if found and all(local_path(url) is not None for url in urls):
        click.echo(f"note: {' and '.join(found)} did nothing: all files are local", err=True)


def check_wildcards(files: Sequence[str]) -> None:
    """Refuse wildcards that the shell left alone, where files are taken by name.

    Raises:
        click.UsageError: there are some, and no file of that very name.
    """
    for file in files:
        path = local_path(file)
        if path is not None and any(c in path for c in "*?[") and not os.path.lexists(path):
            raise click.UsageError(f"{file} matches no file; the shell fills in wildcards outside quotes only")


def options_of(output: str, storage_options: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return the storage options for writing to a place; None for a local one."""
    return None if local_path(output) is not None else options_for(output, storage_options)


def check_report(report: str | None, *others: str) -> None:
    """Find out before the work, not after it, that a report cannot be written.

    Raises:
        click.UsageError: it would overwrite one of the other files, or is a directory.
        OptionError: its directory does not exist.
    """
    if report is None:
        return
    if identity(report) in map(identity, others):
        raise click.UsageError(f"--report {report} would overwrite another file of this run")
    if (path := local_path(report)) is not None and Path(path).expanduser().is_dir():
        raise click.UsageError(f"{report} is a directory; --report wants a file")
    check_folder(report)


def check_folder(output: str) -> None:
    """Find out before the work, not after it, that there is no place for an output.

    Raises:
        OptionError: its directory does not exist.
    """
    path = local_path(output)
    if path is not None and not (folder := Path(path).expanduser().absolute().parent).is_dir():
        raise OptionError(f"cannot be written: there is no directory {folder}", location=output)


@dataclass(frozen=True, slots=True)
class Job:
    """One file to scan and where its references go."""

    file: str
    output: str


def plan(files: Sequence[str], output: str) -> list[Job]:
    """Return a job for each file; several files, or ``DIR/``, give ``DIR/<name>.json`` each.

    Raises:
        click.UsageError: several files for one output, two for the same one, or an output that is an input.
    """
    known = suffixes()
    into = output.endswith("/") or (os.path.isdir(output) and not output.endswith(known))  # noqa: PTH112  maybe a URL
    if len(files) > 1 and not into:
        raise click.UsageError(f"{len(files)} files need a directory to write to: -o {output}/")
    if not (into or output.endswith(known)):
        raise click.UsageError(f"{output} ends neither in {' nor '.join(known)} nor, for a directory, in /")
    jobs = [Job(file, f"{output.rstrip('/')}/{_stem(file)}.json" if into else output) for file in files]
    writers: dict[str, str] = {}
    inputs = {identity(file): file for file in files}
    for job in jobs:
        target = identity(job.output)
        if target in inputs:
            raise click.UsageError(f"{job.output} would overwrite {inputs[target]}, which it refers to")
        if target in writers:
            raise click.UsageError(f"{writers[target]} and {job.file} would both be written to {job.output}")
        writers[target] = job.file
    return jobs


def suffixes() -> tuple[str, ...]:
    """Return what the names of documents end in."""
    from refmaker.references import ENCODINGS

    return tuple(encoding.suffix for encoding in ENCODINGS)


def _stem(url: str) -> str:
    """Return the file's name without its last suffix; of chained URLs the first that has a path counts."""
    parts = url.split("::")
    path = next((part for part in parts if "/" in part), parts[-1])
    if "://" in path:
        path = path.partition("?")[0]
    name = path.rstrip("/").rpartition("/")[2]
    stem, dot, _ = name.rpartition(".")
    if not name:
        raise click.UsageError(f"{url!r} names no file")
    return stem if dot and stem else name


def identity(url: str) -> str:
    """Return what two spellings of the same file have in common."""
    path = local_path(url)
    return url if path is None else os.path.realpath(path)
