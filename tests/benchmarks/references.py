"""References written, read and opened: refmaker beside VirtualiZarr and fsspec, in the same run.

Run ``python -m tests.benchmarks.references [--only NAME] [--chunks 1000000] [--runs 3]``. One array whose chunks lie in
files with URLs of 57 characters, 100 chunks in each, not compressed: VirtualiZarr before 2.8 cannot read references
to what is. Every measurement runs in a forked process; peak memory is what it adds to that of its imports and inputs.
VirtualiZarr gets one run, for it takes long.

* ``write json``, ``write parquet``: from a manifest in memory.
* ``read json``: a document as refmaker writes it, to references in memory. ``bytes/chunk`` is what they then take.
* ``open parquet``: to references whose chunks can be looked up; the peers' ways read as much as they do.
* ``lookup parquet``: 1,000 chunks at random, after opening.
* ``write parquet, 10x``: refmaker alone, ten times the chunks: peak memory is the point.
"""

import argparse
import gc
import json
import math
import multiprocessing
import os
import resource
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from refmaker import ArrayMetadata, ChunkManifest, ReferenceSet, SourceFile, VirtualArray, VirtualGroup

CHUNKS_IN_FILE = 100
Prepare = Callable[[Path, int], Any]
"""Makes what a tool starts from; not timed."""
Run = Callable[[Path, Any], Any]


def url_of(number: int) -> str:
    """Return a URL of 57 characters."""
    return f"s3://some-archive/reanalysis/hourly/t2m/t2m_{number:010d}.nc"


def references(chunks: int) -> ReferenceSet:
    """Return references to ``chunks`` chunks in files of a hundred."""
    files = chunks // CHUNKS_IN_FILE
    length = np.random.default_rng(0).integers(90_000, 130_000, chunks).astype(np.uint32)
    by_file = length.reshape(files, CHUNKS_IN_FILE).astype(np.uint64)
    offset = (np.cumsum(by_file, axis=1) - by_file).ravel() + np.uint64(4096)
    grid = (files, 10, 10)
    manifest = ChunkManifest(grid, np.repeat(np.arange(files, dtype=np.uint32), CHUNKS_IN_FILE), offset, length)
    metadata = ArrayMetadata(
        (files, 100, 100),
        (1, 10, 10),
        np.dtype("<f4"),
        dimension_names=("time", "y", "x"),
    )
    sources = tuple(SourceFile(url_of(number)) for number in range(files))
    return ReferenceSet(VirtualGroup({"t2m": VirtualArray(metadata, manifest)}), sources)


def dataset(chunks: int) -> Any:
    """Return the same as VirtualiZarr has it: an xarray dataset of a ManifestArray."""
    import xarray as xr
    from virtualizarr.manifests import ChunkManifest as TheirManifest
    from virtualizarr.manifests import ManifestArray
    from virtualizarr.manifests.utils import create_v3_array_metadata

    given = references(chunks)
    array = given.root.arrays["t2m"]
    grid = array.manifest.grid_shape
    urls = np.array([source.url for source in given.sources], np.dtypes.StringDType())
    manifest = TheirManifest.from_arrays(
        paths=urls[np.asarray(array.manifest.location_id)].reshape(grid),
        offsets=np.asarray(array.manifest.offset).reshape(grid),
        lengths=np.asarray(array.manifest.length).astype(np.uint64).reshape(grid),
    )
    metadata = create_v3_array_metadata(
        shape=array.metadata.shape,
        data_type=array.metadata.data_type,
        chunk_shape=array.metadata.chunk_shape,
        fill_value=0,
    )
    return xr.Dataset({"t2m": (("time", "y", "x"), ManifestArray(metadata=metadata, chunkmanifest=manifest))})


def write_ours(suffix: str) -> Run:
    def run(folder: Path, given: ReferenceSet) -> None:
        from refmaker import write_references

        write_references(given, folder / f"ours{suffix}")

    return run


def write_theirs(format_name: str, suffix: str) -> Run:
    def run(folder: Path, given: Any) -> None:
        given.virtualize.to_kerchunk(os.fspath(folder / f"theirs{suffix}"), format=format_name)

    return run


def open_ours(suffix: str) -> Run:
    def run(folder: Path, _: Any) -> Any:
        from refmaker import open_references

        return open_references(folder / f"given{suffix}")

    return run


def open_fsspec(suffix: str) -> Run:
    def run(folder: Path, _: Any) -> Any:
        import fsspec

        return fsspec.filesystem(
            "reference", fo=os.fspath(folder / f"given{suffix}"), remote_protocol="file", skip_instance_cache=True
        )

    return run


def open_virtualizarr(suffix: str) -> Run:
    def run(folder: Path, _: Any) -> Any:
        from obspec_utils.registry import ObjectStoreRegistry
        from obstore.store import LocalStore
        from virtualizarr.parsers import KerchunkJSONParser, KerchunkParquetParser

        registry = ObjectStoreRegistry({"file://": LocalStore()})
        parser = KerchunkJSONParser() if suffix == ".json" else KerchunkParquetParser()
        where = f"file://{folder}/given{suffix}" if suffix == ".json" else f"{folder}/given{suffix}"
        return parser(where, registry)

    return run


def looked_up(chunks: int) -> list[int]:
    return np.random.default_rng(1).integers(0, chunks, 1000).tolist()


def lookup_ours(_: Path, opened: Any) -> None:
    manifest = opened.root.arrays["t2m"].manifest
    for position in looked_up(len(manifest)):
        assert manifest.lookup(position) is not None


def lookup_fsspec(_: Path, opened: Any) -> None:
    grid = opened.references._get_chunk_sizes("t2m")
    for position in looked_up(math.prod(grid)):
        key = ".".join(map(str, np.unravel_index(position, grid)))
        assert opened.references[f"t2m/{key}"]


def warmed(open_one: Run) -> Prepare:
    """Return the preparation that imports what a tool needs, by opening a small document."""

    def prepare(folder: Path, _: int) -> None:
        open_one(folder / "small", None)

    return prepare


def after_opening(open_one: Run) -> Prepare:
    return lambda folder, _: open_one(folder, None)


@dataclass(frozen=True)
class Case:
    """A piece of work: each tool with what it starts from; ``scale`` times the chunks."""

    name: str
    tools: dict[str, tuple[Prepare, Run]]
    scale: int = 1


def ours_given(_: Path, chunks: int) -> ReferenceSet:
    import pyarrow.parquet  # noqa: F401  imports are not counted

    import refmaker.references.parquet_write  # noqa: F401

    return references(chunks)


def theirs_given(_: Path, chunks: int) -> Any:
    import fastparquet  # noqa: F401
    import kerchunk.df  # noqa: F401

    return dataset(chunks)


CASES = (
    Case("write json", {"refmaker": (ours_given, write_ours(".json")),
                        "virtualizarr": (theirs_given, write_theirs("json", ".json"))}),
    Case("write parquet", {"refmaker": (ours_given, write_ours(".parq")),
                           "virtualizarr": (theirs_given, write_theirs("parquet", ".parq"))}),
    Case("write json.gz", {"refmaker": (ours_given, write_ours(".json.gz"))}),
    Case("write json.zst", {"refmaker": (ours_given, write_ours(".json.zst"))}),
    Case("read json", {"refmaker": (warmed(open_ours(".json")), open_ours(".json")),
                       "fsspec": (warmed(open_fsspec(".json")), open_fsspec(".json")),
                       "virtualizarr": (warmed(open_virtualizarr(".json")), open_virtualizarr(".json"))}),
    Case("open parquet", {"refmaker": (warmed(open_ours(".parq")), open_ours(".parq")),
                          "fsspec": (warmed(open_fsspec(".parq")), open_fsspec(".parq")),
                          "virtualizarr": (warmed(open_virtualizarr(".parq")), open_virtualizarr(".parq"))}),
    Case("lookup parquet", {"refmaker": (after_opening(open_ours(".parq")), lookup_ours),
                            "fsspec": (after_opening(open_fsspec(".parq")), lookup_fsspec)}),
    Case("write parquet, 10x", {"refmaker": (ours_given, write_ours(".parq"))}, scale=10),
)  # fmt: skip


def resident() -> float:
    """Return the process's resident memory in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def measured(prepare: Prepare, run: Run, folder: Path, chunks: int) -> dict[str, float]:
    """Return seconds, added peak memory and bytes a chunk kept of one run, in a process of its own."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)

    def child() -> None:
        given = prepare(folder, chunks)
        gc.collect()
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
        before, started = resident(), time.perf_counter()
        kept = run(folder, given)
        seconds = time.perf_counter() - started
        status = Path("/proc/self/status").read_text().splitlines()
        peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
        gc.collect()
        arrays = getattr(getattr(kept, "root", None), "arrays", {})
        columns = sum(array.manifest.memory_nbytes for array in arrays.values())
        sender.send(
            {"seconds": seconds, "peak": peak * 1024 / 1e6 - before, "kept": columns / chunks if arrays else 0.0}
        )

    process = context.Process(target=child)
    process.start()
    sender.close()
    result: dict[str, float] = receiver.recv()
    process.join()
    return result


def given_documents(folder: Path, chunks: int) -> None:
    """Write what the reading cases read, and small ones to import on."""
    from refmaker import write_references

    for place, count in ((folder, chunks), (folder / "small", 1000)):
        place.mkdir(exist_ok=True)
        for suffix in (".json", ".parq"):
            context = multiprocessing.get_context("fork")
            process = context.Process(target=write_references, args=(references(count), place / f"given{suffix}"))
            process.start()
            process.join()


def rows(only: str | None, chunks: int, runs: int, peers: bool) -> Iterator[str]:
    """Yield the lines of the Markdown table."""
    yield f"| work ({chunks:,} chunks) | tool | seconds | added peak MB | bytes/chunk | refmaker is faster by |"
    yield "|---|---|---|---|---|---|"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        given_documents(folder, chunks)
        for case in CASES:
            if only and not case.name.startswith(only):
                continue
            best: dict[str, float] = {}
            for tool, (prepare, run) in case.tools.items():
                if tool != "refmaker" and not peers:
                    continue
                found = []
                for _ in range(runs if tool != "virtualizarr" else 1):
                    for left in folder.glob("ours*"):
                        shutil.rmtree(left) if left.is_dir() else left.unlink()
                    found.append(measured(prepare, run, folder, chunks * case.scale))
                row = min(found, key=lambda one: one["seconds"])
                best = best or row
                ratio = "" if row is best else f"{row['seconds'] / best['seconds']:.1f}x"
                kept = f"{row['kept']:.1f}" if row["kept"] else ""
                yield f"| {case.name} | {tool} | {row['seconds']:.3f} | {row['peak']:.0f} | {kept} | {ratio} |"
        check(folder)


def check(folder: Path) -> None:
    """Both tools were given the same chunks: a document of VirtualiZarr's, if there is one, has our references."""
    theirs = folder / "theirs.json"
    if theirs.exists():
        ours = json.loads((folder / "given.json").read_text())["refs"]
        found = json.loads(theirs.read_text())["refs"]
        assert all(ours[key] == value for key, value in found.items() if isinstance(value, list))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help="the cases whose name starts so")
    parser.add_argument("--chunks", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=3, help="runs of refmaker and fsspec, of which the best counts")
    parser.add_argument("--no-peers", action="store_true", help="refmaker alone")
    arguments = parser.parse_args()
    for row in rows(arguments.only, arguments.chunks, arguments.runs, not arguments.no_peers):
        print(row, flush=True)


if __name__ == "__main__":
    main()
