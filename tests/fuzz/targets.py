"""What is fed with broken inputs: every scanner, every reader of references, every door."""

import csv
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random

from refmaker import RefmakerError, open_references, scan, write_references
from refmaker.model.array import VirtualArray
from refmaker.model.group import walk, walk_arrays
from refmaker.model.keys import chunk_index
from refmaker.references.parquet_layout import INDEX, METADATA
from refmaker.serve.filesystem import ReferenceFileSystem
from refmaker.serve.opened import open_given
from refmaker.serve.options import ServeOptions
from refmaker.serve.selection import outer
from tests.fuzz.mutation import mutated, mutated_json
from tests.samples import SAMPLES
from tests.scanners.tiff.samples import SAMPLES as TIFFS

__all__ = ["TARGETS", "Target"]

CORPUS = Path(os.environ.get("REFMAKER_CORPUS", Path(__file__).parents[3] / "shared" / "corpus")).resolve()
LARGEST = 200_000
"""Bytes of a public file that is used."""
MOST_PARTS = 40
"""Files of a folder of references that is used: writing more takes longer than reading them."""
CHUNKS = 40
"""Chunks of one input that are read."""

Files = Mapping[str, bytes]
"""An input: a file, or a folder of them, by name; the first is the one that is opened."""


@dataclass(frozen=True)
class Target:
    """A way in.

    Attributes:
        name: of the target.
        samples: good inputs, with the name of the file of each that is broken, or "" for any.
        run: opens an input in a folder; raises what refmaker raises.
        mutate: breaks bytes.
    """

    name: str
    samples: Callable[[], list[tuple[Files, str]]]
    run: Callable[[Path], None]
    mutate: Callable[[bytes, Random], bytes] = mutated

    def input(self, rng: Random) -> Files:
        """Return a broken input."""
        samples = self.samples()
        files, which = samples[rng.randrange(len(samples))]
        which = which or rng.choice(sorted(files))
        return {**files, which: self.mutate(files[which], rng)}


# -- samples ---------------------------------------------------------------------------------------------------------
def corpus(*formats: str) -> Iterator[bytes]:
    manifest = CORPUS / "MANIFEST.tsv"
    if not manifest.exists():
        return
    with manifest.open(newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            if any(one in row["format"] for one in formats) and int(row["size"]) <= LARGEST:
                yield (CORPUS / row["path"]).read_bytes()


def one_file(contents: Iterator[bytes]) -> list[tuple[Files, str]]:
    return [({"input": data}, "input") for data in contents]


@cache
def hdf5_samples() -> list[tuple[Files, str]]:
    ours = [path.read_bytes() for path in SAMPLES if not path.name.startswith("netcdf3")]
    return one_file(iter([*ours, *corpus("hdf5", "netcdf4")]))


@cache
def netcdf3_samples() -> list[tuple[Files, str]]:
    ours = [path.read_bytes() for path in SAMPLES if path.name.startswith("netcdf3")]
    return one_file(iter([*ours, *corpus("netcdf3")]))


@cache
def tiff_samples() -> list[tuple[Files, str]]:
    ours = []
    with tempfile.TemporaryDirectory() as folder:
        for number, make in enumerate(TIFFS.values()):
            path = Path(folder) / f"{number}.tif"
            make(path)
            ours.append(path.read_bytes())
    return one_file(iter([*ours, *corpus("tiff", "cog")]))


@cache
def documents(suffix: str, zarr_format: int = 2) -> list[tuple[Files, str]]:
    """Return samples' references as they are written, beside the samples."""
    found: list[tuple[Files, str]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for sample in SAMPLES:
            source = folder / f"source{sample.suffix}"
            shutil.copyfile(sample, source)
            written = folder / f"input{suffix}"
            try:
                write_references(
                    scan(str(source), on_unsupported="skip"), written, relative_to=folder, zarr_format=zarr_format
                )
            except RefmakerError:
                continue  # not every array has a spelling in every format
            parts = [written] if written.is_file() else [path for path in written.rglob("*") if path.is_file()]
            files = {str(path.relative_to(folder)): path.read_bytes() for path in parts}
            which = next(iter(files)) if len(files) == 1 else ""
            if not which and len(files) > MOST_PARTS:
                shutil.rmtree(written)
                continue
            source_part = {source.name: source.read_bytes()}
            for part in (files, unsigned(files)) if not which else (files,):
                found += [({**part, **source_part}, one) for one in ([which] if which else sorted(part))]
            shutil.rmtree(written) if written.is_dir() else written.unlink()
    return found


def unsigned(files: Files) -> Files:
    """Return a folder of references as other tools write it, without what tells that a part was changed."""
    found = {name: data for name, data in files.items() if not name.endswith(INDEX)}
    name = next(name for name in files if name.endswith(METADATA))
    content = json.loads(files[name])
    return {**found, name: json.dumps({key: content[key] for key in ("metadata", "record_size")}).encode()}


@cache
def served_sources() -> list[tuple[Files, str]]:
    return [(files, name) for files, _ in documents(".json") for name in files if name.startswith("source")]


# -- ways in ---------------------------------------------------------------------------------------------------------
def scanning(scanner: str) -> Callable[[Path], None]:
    def run(folder: Path) -> None:
        scan(str(folder / "input"), format=scanner, on_unsupported="skip")

    return run


def walking(scanner: str) -> Callable[[Path], None]:
    """Scan as if the file were remote: its structures are read ahead by our own parsers."""

    def run(folder: Path) -> None:
        name = f"/{folder.name}"
        import fsspec

        memory = fsspec.filesystem("memory")
        memory.pipe_file(name, (folder / "input").read_bytes())
        try:
            scan(f"memory://{name}", format=scanner, on_unsupported="skip")
        finally:
            memory.rm(name)

    return run


def opened(suffix: str) -> Callable[[Path], None]:
    def run(folder: Path) -> None:
        references = open_references(str(folder / f"input{suffix}"))
        for _, array in walk_arrays(references.root):
            for number, _block in enumerate(array.manifest.blocks()):
                if number > CHUNKS:
                    break

    return run


def through_filesystem(suffix: str) -> Callable[[Path], None]:
    """List and read some keys; absent ones raise FileNotFoundError, which is an answer."""

    def run(folder: Path) -> None:
        filesystem = ReferenceFileSystem(fo=str(folder / f"input{suffix}"), on_stale="ignore", plan_selections=False)
        for path, node in walk(filesystem.references.root):
            if isinstance(node, VirtualArray) and node.manifest.present > 1000:
                continue
            for key in filesystem.ls(path, detail=False)[:CHUNKS]:
                try:
                    if filesystem.isfile(key) and filesystem.info(key)["size"] < 1 << 26:
                        filesystem.cat_file(key)
                except (RefmakerError, FileNotFoundError):
                    continue

    return run


def through_reader(suffix: str) -> Callable[[Path], None]:
    """Decode some chunks of every array."""

    def run(folder: Path) -> None:
        found = open_given(str(folder / f"input{suffix}"), options=ServeOptions(on_stale="ignore"))
        for path, array in walk_arrays(found.references.root):
            reader, metadata = found.array(path), array.metadata
            assert reader is not None
            grid = array.manifest.grid_shape
            count = len(array.manifest)
            try:
                if (reader.decoder.nbytes or 0) > 1 << 26:
                    continue
            except RefmakerError:
                continue
            for position in sorted({0, 1, count // 2, count - 1} & set(range(min(count, 1 << 40)))):
                index = chunk_index(position, grid)
                spans = zip(index, metadata.chunk_shape, metadata.shape, strict=True)
                key = tuple(slice(i * c, min(i * c + c, n)) for i, c, n in spans)
                try:
                    reader.read(outer(key, metadata.shape, metadata.chunk_shape))
                except RefmakerError:
                    continue

    return run


def _targets() -> Iterator[Target]:
    for name, samples in (("hdf5", hdf5_samples), ("netcdf3", netcdf3_samples), ("tiff", tiff_samples)):
        yield Target(f"scan {name}", samples, scanning(name))
        yield Target(f"walk {name}", samples, walking(name))
    for name, suffix, version, mutate in (
        ("json", ".json", 2, mutated_json),
        ("json v3", ".v3.json", 3, mutated_json),
        ("parquet", ".parq", 2, mutated),
    ):

        def samples_of(suffix: str = suffix, version: int = version) -> list[tuple[Files, str]]:
            return documents(suffix, version)

        yield Target(f"read {name}", samples_of, opened(suffix), mutate)
        yield Target(f"filesystem {name}", samples_of, through_filesystem(suffix), mutate)
        yield Target(f"reader {name}", samples_of, through_reader(suffix), mutate)
    yield Target("serve sources", served_sources, through_reader(".json"))


TARGETS: dict[str, Target] = {target.name: target for target in _targets()}
