"""``refmaker info``: what a reference document holds, as a tree for people or as JSON for programs."""

import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from refmaker.cli.documented import Verb
from refmaker.cli.failures import ExitCode, debug_option
from refmaker.cli.options import note_unused, storage_option
from refmaker.cli.text import aligned, bytes_text, counted, shown

if TYPE_CHECKING:
    from refmaker.model.array import VirtualArray
    from refmaker.model.reference_set import ReferenceSet

__all__ = ["info_command", "inspect", "tree"]

MOST_SOURCES = 20
"""Sources that the text lists; ``--json`` lists all."""


@click.command(
    "info",
    cls=Verb,
    short_help="Show what references hold.",
    examples=(
        ("A table for people:", "refmaker info ocean.json"),
        ("All there is to know, for programs:", "refmaker info ocean.parq --json"),
        (
            "References in a public bucket:",
            "refmaker info s3://bucket/ocean.json --storage-option anon=true",
        ),
    ),
    see_also=("refmaker verify reads the files as well.",),
)
@click.argument("references", metavar="REFS")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs: all sources, exact numbers of bytes.")
@storage_option
@debug_option
def info_command(references: str, *, as_json: bool, storage_options: dict[str, Any] | None) -> int:
    """Show the groups, arrays, chunks and source files that references hold.

    REFS is the path or URL of a document, JSON or Parquet, of refmaker or of kerchunk. The files themselves are not
    read.
    """
    from refmaker import open_references

    found = inspect(references, open_references(references, storage_options=storage_options))
    for line in [json.dumps(asdict(found))] if as_json else lines(found):
        click.echo(line)
    note_unused({"--storage-option": storage_options}, references)
    return ExitCode.DONE


@dataclass(frozen=True, slots=True)
class ArrayInfo:
    """One array; ``stored_bytes`` counts encoded chunks, ``inlined`` those of its chunks that lie in the document."""

    path: str
    data_type: str
    shape: tuple[int, ...]
    chunk_shape: tuple[int, ...]
    dimension_names: tuple[str, ...]
    codecs: tuple[str, ...]
    chunks: int
    chunks_present: int
    stored_bytes: int


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """One source file; ``last_modified`` in seconds since 1970 UTC, ``chunks`` and ``stored_bytes`` as referred to."""

    url: str
    size: int | None
    etag: str | None
    last_modified: float | None
    scanner: str | None
    chunks: int
    stored_bytes: int


@dataclass(frozen=True, slots=True)
class Info:
    """What a reference document holds; ``groups`` are paths, the root is ``""``."""

    references: str
    groups: tuple[str, ...]
    arrays: tuple[ArrayInfo, ...]
    sources: tuple[SourceInfo, ...]
    inlined_chunks: int
    inlined_bytes: int


def inspect(name: str, references: "ReferenceSet") -> Info:
    """Return what there is to say about references: one pass over the manifests, by columns."""
    import numpy as np

    from refmaker.model.array import VirtualArray
    from refmaker.model.chunks import INLINE
    from refmaker.model.group import walk

    nodes = sorted(walk(references.root), key=lambda item: item[0].split("/"))
    sources = len(references.sources)
    chunks, stored = np.zeros(sources + 1, np.int64), np.zeros(sources + 1, np.int64)
    for _, node in nodes:
        if isinstance(node, VirtualArray):
            for block in node.manifest.blocks():
                row = np.where(block.location_id == INLINE, sources, block.location_id)
                np.add.at(chunks, row, 1)
                np.add.at(stored, row, block.length.astype(np.int64))
    return Info(
        references=name,
        groups=tuple(path for path, node in nodes if not isinstance(node, VirtualArray)),
        arrays=tuple(_array_info(path, node) for path, node in nodes if isinstance(node, VirtualArray)),
        sources=tuple(
            SourceInfo(s.url, s.size, s.etag, s.last_modified, s.scanner, int(count), int(nbytes))
            for s, count, nbytes in zip(references.sources, chunks[:-1], stored[:-1], strict=True)
        ),
        inlined_chunks=int(chunks[-1]),
        inlined_bytes=int(stored[-1]),
    )


def _array_info(path: str, array: "VirtualArray") -> ArrayInfo:
    metadata, manifest = array.metadata, array.manifest
    return ArrayInfo(
        path=path,
        data_type=str(metadata.data_type),
        shape=metadata.shape,
        chunk_shape=metadata.chunk_shape,
        dimension_names=metadata.dimension_names,
        codecs=tuple(codec.id for codec in metadata.codecs),
        chunks=math.prod(metadata.grid_shape),
        chunks_present=manifest.present,
        stored_bytes=manifest.stored_nbytes,
    )


def lines(info: Info) -> Iterator[str]:
    """Yield the document as text: a summary, the tree with a row an array, the sources."""
    referenced = sum(source.stored_bytes for source in info.sources)
    yield (
        f"{shown(info.references)}: {counted(len(info.arrays), 'array')} in {counted(len(info.groups), 'group')}, "
        f"{bytes_text(referenced)} referenced in {counted(len(info.sources), 'file')}, "
        f"{bytes_text(info.inlined_bytes)} inlined"
    )
    yield ""
    yield from tree(info)
    yield ""
    yield from _sources(info)


TREE_HEAD = ("array", "type", "dimensions", "chunk shape", "chunks", "stored", "codecs")


def tree(info: Info) -> Iterator[str]:
    """Yield the tree of groups and arrays as text, a row an array."""
    arrays = {array.path: array for array in info.arrays}
    below: dict[str, list[str]] = {}
    for path in sorted((*info.groups, *arrays)):
        if path:
            below.setdefault(path.rpartition("/")[0], []).append(path)
    rows = [TREE_HEAD, ("/", *[""] * (len(TREE_HEAD) - 1))]
    pending = [(path, "", last) for path, last in _with_last(below.get("", []))]
    while pending:
        path, guide, last = pending.pop()
        label = f"{guide}{'└─ ' if last else '├─ '}{shown(path.rpartition('/')[2])}"
        if path in arrays:
            rows.append((label, *_cells(arrays[path])))
            continue
        rows.append((f"{label}/", *[""] * (len(TREE_HEAD) - 1)))
        inner = guide + ("   " if last else "│  ")
        pending.extend((child, inner, final) for child, final in _with_last(below.get(path, [])))
    yield from aligned(rows, "<<<<>><")


def _with_last(paths: list[str]) -> Iterator[tuple[str, bool]]:
    """Yield siblings in reverse, as a stack wants them, each with whether it is the last one shown."""
    for position, path in enumerate(reversed(paths)):
        yield path, position == 0


def _cells(array: ArrayInfo) -> tuple[str, ...]:
    named = zip(array.dimension_names, array.shape, strict=True)
    return (
        _type_text(array.data_type),
        ", ".join(f"{shown(name)} {length}" for name, length in named) or "scalar",
        " x ".join(map(str, array.chunk_shape)) or "-",
        f"{array.chunks_present}/{array.chunks}",
        bytes_text(array.stored_bytes),
        " ".join(array.codecs) or "-",
    )


def _type_text(data_type: str) -> str:
    """Return a numpy dtype's name in a word: fields of compound types are for ``--json``."""
    return "compound" if data_type.startswith(("[", "{")) else shown(data_type.removeprefix("|"))


def _sources(info: Info) -> Iterator[str]:
    rows = [("source", "size", "chunks", "stored", "modified (UTC)", "format")]
    for source in info.sources[:MOST_SOURCES]:
        modified = "" if source.last_modified is None else f"{datetime.fromtimestamp(source.last_modified, UTC):%F %T}"
        size = "?" if source.size is None else bytes_text(source.size)
        cells = (size, str(source.chunks), bytes_text(source.stored_bytes), modified, source.scanner or "?")
        rows.append((shown(source.url), *cells))
    if info.inlined_chunks:
        rows.append(("inlined in the document", "", str(info.inlined_chunks), bytes_text(info.inlined_bytes), "", ""))
    yield from aligned(rows, "<>>><<")
    if len(info.sources) > MOST_SOURCES:
        yield f"... and {len(info.sources) - MOST_SOURCES} more; --json lists all"
