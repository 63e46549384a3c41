"""What is fed with broken inputs: every scanner, every reader of references, every door."""

import csv
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from refmaker import RefmakerError, open_references, scan, write_references
from refmaker.codecs import get_codec
from refmaker.model.array import ArrayMetadata, Codec, VirtualArray
from refmaker.model.chunks import ChunkManifest
from refmaker.model.group import VirtualGroup, walk, walk_arrays
from refmaker.model.keys import chunk_index
from refmaker.model.reference_set import ReferenceSet
from refmaker.references.parquet_layout import INDEX, METADATA
from refmaker.serve.filesystem import ReferenceFileSystem
from refmaker.serve.opened import open_given
from refmaker.serve.options import ServeOptions
from refmaker.serve.selection import outer
from refmaker.source import blocks, rounds
from refmaker.source.base import MemorySource, Parser
from refmaker.source.blocks import BlockStore
from refmaker.source.rounds import FileAhead
from tests.fuzz.mutation import mutated
from tests.samples import SAMPLES
from tests.scanners.tiff.samples import SAMPLES as TIFFS

__all__ = ["TARGETS", "Target", "chosen"]

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
    """

    name: str
    samples: Callable[[], list[tuple[Files, str]]]
    run: Callable[[Path], None]

    def input(self, rng: Random) -> Files:
        """Return a broken input."""
        samples = self.samples()
        files, which = samples[rng.randrange(len(samples))]
        which = which or rng.choice(sorted(files))
        return {**files, which: mutated(files[which], rng)}


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
    return one_file(iter([*pictures(), *corpus("tiff", "cog")]))


@cache
def pictures() -> list[bytes]:
    """Return the TIFFs that our tests make."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for number, make in enumerate(TIFFS.values()):
            path = Path(folder) / f"{number}.tif"
            make(path)
            found.append(path.read_bytes())
    return found


@cache
def documents(suffix: str, zarr_format: int = 2, **options: Any) -> list[tuple[Files, str]]:
    """Return samples' references as they are written with these options, beside the samples."""
    found: list[tuple[Files, str]] = []
    contents = [(path.suffix, path.read_bytes()) for path in SAMPLES] + [(".tif", data) for data in pictures()[::7]]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for ending, content in contents:
            source = folder / f"source{ending}"
            source.write_bytes(content)
            written = folder / f"input{suffix}"
            references = scan(str(source), on_unsupported="skip")
            try:
                write_references(references, written, relative_to=folder, zarr_format=zarr_format, **options)
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
def foreign() -> list[tuple[Files, str]]:
    """Return JSON as others write it: version 0, templates, generators, whole files, inlined data of every spelling."""
    zarray = {"zarr_format": 2, "shape": [6], "chunks": [1], "dtype": "<i4", "fill_value": 7, "order": "C"}
    zarray |= {"compressor": {"id": "zlib", "level": 1}, "filters": None}
    raw = {**zarray, "compressor": None}
    nodes = {".zgroup": '{"zarr_format":2}', "g/.zgroup": '{"zarr_format":2}', "g/.zattrs": '{"a":[1]}'}
    nodes |= {"g/a/.zarray": json.dumps(zarray), "g/b/.zarray": json.dumps(raw), "g/b/.zattrs": {"b": 1}}
    inlined = {"g/b/0": "base64:AQAAAA==", "g/b/1": "abcd", "g/a/0": ["source"], "g/a/3": ["source", 2, 11]}
    generators = [
        {"key": "g/{{n}}/{{i}}", "url": "{{u}}", "offset": "{{(i + 1) * 3}}", "length": "{{i % 2 + 4}}",
         "dimensions": {"n": ["a", "b"], "i": {"start": 2, "stop": 6, "step": 2}}},
        {"key": "g/b/{{'%d' % i}}", "url": "{{f(c='sour')}}", "dimensions": {"i": [5]}},
    ]  # fmt: skip
    found: list[Any] = [
        {**nodes, **inlined},
        {"version": 1, "refs": {**nodes, **inlined, "g/a/1": ["{{u}}", 0, 11]}, "templates": {"u": "source"}},
        {"version": 1, "refs": nodes, "templates": {"u": "source", "f": "{{c}}ce"}, "gen": generators},
    ]
    found += [typed(2), typed(3)]
    source = bytes(get_codec({"id": "zlib"}).encode(bytes([1, 0, 0, 0]))) * 4
    return [({"input.json": json.dumps(document).encode(), "source": source}, "input.json") for document in found]


def typed(zarr_format: int) -> Any:
    """Return a document of arrays of every type of elements."""
    structure = np.dtype([("a", "<i4"), ("b", "<f4")])
    kinds = ["?", "<i2", ">u8", "<f2", ">f8", "<c8", "<M8[D]", "<m8[5s]", "S3", "<U2", "V3", structure]
    arrays: dict[str, VirtualArray] = {}
    for number, kind in enumerate(map(np.dtype, kinds)):
        fill = np.ones((), np.int64).astype(kind)[()] if kind.kind != "V" else np.zeros((), kind)[()]
        metadata = ArrayMetadata(
            (3,), (1,), kind, dimension_names=("x",), fill_value=fill, attributes={"_FillValue": 1}
        )
        arrays[f"a{number}"] = VirtualArray(metadata, ChunkManifest.inlined((3,), [bytes(kind.itemsize)] * 3))
    for name in ("vlen-utf8", "vlen-bytes"):
        metadata = ArrayMetadata((3,), (3,), np.dtype(object), dimension_names=("x",), codecs=(Codec(name),))
        arrays[name] = VirtualArray(metadata, ChunkManifest.inlined((1,), [bytes(4)]))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "it.json"
        write_references(ReferenceSet(VirtualGroup(arrays)), path, zarr_format=zarr_format)
        return json.loads(path.read_text())


@cache
def chunks() -> list[tuple[Files, str]]:
    """Return a chunk and its codec's configuration of every codec we have."""
    cases = json.loads((Path(__file__).parents[1] / "codecs" / "golden.json").read_text())
    pairs = [(json.dumps(case["config"]).encode(), bytes.fromhex(case["encoded"])) for case in cases]
    return [({"codec": codec, "chunk": chunk}, one) for codec, chunk in pairs for one in ("chunk", "chunk", "codec")]


@cache
def served_sources() -> list[tuple[Files, str]]:
    return [(files, name) for files, _ in documents(".json") for name in files if name.startswith("source")]


# -- ways in ---------------------------------------------------------------------------------------------------------
def scanning(scanner: str) -> Callable[[Path], None]:
    def run(folder: Path) -> None:
        scan(str(folder / "input"), format=scanner, on_unsupported="skip")

    return run


def walking(scanner: str) -> Callable[[Path], None]:
    """Scan as if the file were remote and large: its structures are read ahead by our own parsers."""

    def run(folder: Path) -> None:
        rounds.WHOLE_FILE_BELOW = blocks.WHOLE_FILE_BELOW = 0  # type: ignore[attr-defined]
        name = f"/{folder.name}"
        import fsspec

        memory = fsspec.filesystem("memory")
        memory.pipe_file(name, (folder / "input").read_bytes())
        try:
            scan(f"memory://{name}", format=scanner, on_unsupported="skip")
        finally:
            memory.rm(name)

    return run


def parsing(scanner: str) -> Callable[[Path], None]:
    """Run the walker of a format alone: our own parsers, and no library."""

    def run(folder: Path) -> None:
        walk: Callable[[FileAhead], Parser[None]] = import_module(f"refmaker.scanners.{scanner}.walk").walk
        data = (folder / "input").read_bytes()
        ahead, store = FileAhead(len(data), "it"), BlockStore(MemorySource(data))
        ahead.start(walk(ahead))
        while spans := ahead.advance(store)[0]:
            store.put([(start, data[start:stop]) for start, stop in spans])

    return run


def decoding(folder: Path) -> None:
    """Decode a chunk; a configuration may say how large it is, and then it may take that much memory."""
    try:
        config = json.loads((folder / "codec").read_bytes())
    except (ValueError, RecursionError):
        return
    if isinstance(config, dict):
        codec = get_codec(config)
        sizes = [n for value in config.values() for n in (value if isinstance(value, list) else [value])]
        if config.get("id") == "refmaker_hdf5_zfp" or max((n for n in sizes if type(n) is int), default=0) < 1 << 24:
            codec.decode((folder / "chunk").read_bytes())


def opened(suffix: str) -> Callable[[Path], None]:
    def run(folder: Path) -> None:
        references = open_references(str(folder / f"input{suffix}"))
        for _, array in walk_arrays(references.root):
            for number, _block in enumerate(array.manifest.blocks()):
                if number > CHUNKS:
                    break

    return run


def rewritten(suffix: str) -> Callable[[Path], None]:
    """Read references and write them again in every encoding that has a spelling for them."""

    def run(folder: Path) -> None:
        references = open_references(str(folder / f"input{suffix}"))
        if any(
            array.manifest.present > 10_000 or len(array.manifest) > 1 << 30
            for _, array in walk_arrays(references.root)
        ):
            return
        for ending, version in ((".json", 2), (".v3.json", 3), (".parq", 2)):
            try:
                write_references(references, folder / f"again{ending}", zarr_format=version)
            except RefmakerError:
                continue
            open_references(folder / f"again{ending}")

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
            for position in sorted({0, min(1, count - 1), count // 2, count - 1} if count else ()):
                index = chunk_index(position, grid)
                spans = zip(index, metadata.chunk_shape, metadata.shape, strict=True)
                key = tuple(slice(i * c, min(i * c + c, n)) for i, c, n in spans)
                try:
                    reader.read(outer(key, metadata.shape, metadata.chunk_shape))
                except RefmakerError:
                    continue

    return run


ENCODINGS: dict[str, tuple[str, Callable[[], list[tuple[Files, str]]]]] = {
    "json": (".json", partial(documents, ".json")),
    "json v3": (".v3.json", partial(documents, ".v3.json", 3)),
    "json templates": (".json", partial(documents, ".json", templates=True)),
    "json gz": (".json.gz", partial(documents, ".json.gz")),
    "json zst": (".json.zst", partial(documents, ".json.zst")),
    "json foreign": (".json", foreign),
    "parquet": (".parq", partial(documents, ".parq")),
    "parquet small": (".parq", partial(documents, ".parq", record_size=7)),
}
"""Encodings of references by name: the suffix and good ones; Parquet with our index and without, as kerchunk writes."""


def _targets() -> Iterator[Target]:
    for name, samples in (("hdf5", hdf5_samples), ("netcdf3", netcdf3_samples), ("tiff", tiff_samples)):
        yield Target(f"scan {name}", samples, scanning(name))
        yield Target(f"walk {name}", samples, walking(name))
        yield Target(f"parse {name}", samples, parsing(name))
    for name, (suffix, references) in ENCODINGS.items():
        yield Target(f"read {name}", references, opened(suffix))
        if name not in {"json gz", "json zst", "json templates", "parquet small"}:  # once read, they are the same
            yield Target(f"filesystem {name}", references, through_filesystem(suffix))
            yield Target(f"reader {name}", references, through_reader(suffix))
            yield Target(f"rewrite {name}", references, rewritten(suffix))
    yield Target("serve sources", served_sources, through_reader(".json"))
    yield Target("codecs", chunks, decoding)


TARGETS: dict[str, Target] = {target.name: target for target in _targets()}


def chosen(only: Sequence[str], without: Sequence[str]) -> list[Target]:
    """Return the targets whose name has one of the texts ``only`` in it, if there are any, and none of ``without``."""
    found = [
        target
        for name, target in TARGETS.items()
        if any(text in name for text in only or [""]) and not any(text in name for text in without)
    ]
    if not found:
        sys.exit(f"no target is left; there are {', '.join(TARGETS)}")
    return found
