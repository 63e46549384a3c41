"""Option values: sizes in bytes, storage options, and where each file's references go."""

import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import click

from refmaker.source.location import local_path

__all__ = ["BYTE_SIZE", "Job", "identity", "plan", "storage_option", "zarr_format_option"]

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
    help="For the fsspec filesystem, repeatable; VALUE is read as JSON where it is JSON (anon=true), else as text. "
    "By protocol, where there are several: s3='{\"anon\": true}'.",
)
"""``--storage-option anon=true``: a dict in ``storage_options``, or None."""


zarr_format_option = click.option(
    "--zarr-format",
    type=click.Choice(["2", "3"]),
    default="2",
    show_default=True,
    callback=lambda _, __, text: int(text),
    help="Zarr version of the metadata: 2 opens everywhere; 3 in JSON only.",
)
"""``--zarr-format 3``: an int."""


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
    known = _suffixes()
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


def _suffixes() -> tuple[str, ...]:
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
