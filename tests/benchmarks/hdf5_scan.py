"""HDF5 files to reference JSON: refmaker beside kerchunk and VirtualiZarr, in the same run.

Run ``python -m tests.benchmarks.hdf5_scan [--only NAME] [--runs 3]``. Every measurement runs in a
forked process, peers and ours in turn, so that peak memory is that of the one tool; imports are not counted.

* ``chunks-200k`` and ``chunks-1M``: one chunked, compressed dataset.
* ``datasets``: 1,500 datasets with attributes in 30 groups.
* ``files``: 200 small NetCDF-4 files.
"""

import argparse
import json
import multiprocessing
import os
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import h5py
import netCDF4
import numpy as np

Tool = Callable[[Path, Path], None]


@dataclass(frozen=True)
class Case:
    """A workload: the files it is about, and how many runs the peers get (they take long)."""

    name: str
    make: Callable[[Path], list[Path]]
    peers: tuple[str, ...]
    peer_runs: int


def ours(source: Path, out: Path) -> None:
    import refmaker

    refmaker.write_references(refmaker.scan(os.fspath(source)), os.fspath(out))


def kerchunk(source: Path, out: Path) -> None:
    import ujson
    from kerchunk.hdf import SingleHdf5ToZarr

    references = SingleHdf5ToZarr(os.fspath(source), inline_threshold=0).translate()
    out.write_text(ujson.dumps(references))


def virtualizarr(source: Path, out: Path) -> None:
    from obspec_utils.registry import ObjectStoreRegistry
    from obstore.store import LocalStore
    from virtualizarr import open_virtual_dataset
    from virtualizarr.parsers import HDFParser

    registry = ObjectStoreRegistry({"file://": LocalStore()})
    with open_virtual_dataset(f"file://{source}", registry=registry, parser=HDFParser(), loadable_variables=[]) as data:
        data.virtualize.to_kerchunk(os.fspath(out), format="json")


TOOLS: dict[str, Tool] = {"refmaker": ours, "kerchunk": kerchunk, "virtualizarr": virtualizarr}


def chunked(chunks: int) -> Callable[[Path], list[Path]]:
    def make(folder: Path) -> list[Path]:
        path = folder / f"chunks-{chunks}.h5"
        with h5py.File(path, "w") as file:
            side = int(chunks**0.5)
            shape, chunk = (2 * side, 2 * (chunks // side)), (2, 2)
            dataset = file.create_dataset("data", shape, "f4", chunks=chunk, compression="gzip", compression_opts=1)
            for row in range(0, shape[0], 100):
                dataset[row : row + 100] = np.ones((min(100, shape[0] - row), shape[1]), "f4")
        return [path]

    return make


def datasets(folder: Path) -> list[Path]:
    path = folder / "datasets.h5"
    with h5py.File(path, "w") as file:
        for group in range(30):
            for number in range(50):
                values = np.arange(200, dtype="f4").reshape(10, 20)
                dataset = file.create_dataset(
                    f"group{group}/data{number}", data=values, chunks=(5, 20), compression="gzip"
                )
                dataset.attrs.update({"units": "K", "long_name": "a name", "scale_factor": np.float32(0.5)})
    return [path]


def small_files(folder: Path) -> list[Path]:
    paths = []
    for number in range(200):
        path = folder / f"small-{number:03d}.nc"
        with netCDF4.Dataset(path, "w") as file:
            for name, length in (("time", None), ("y", 40), ("x", 60)):
                file.createDimension(name, length)
                file.createVariable(name, "f8", (name,))[:] = np.arange(length or 4)
            for name in ("t2m", "u10", "v10", "msl", "tp"):
                variable = file.createVariable(name, "f4", ("time", "y", "x"), zlib=True, chunksizes=(1, 40, 60))
                variable[:] = np.random.default_rng(number).normal(size=(4, 40, 60))
                variable.setncatts({"units": "1", "long_name": f"variable {name}", "standard_name": name})
        paths.append(path)
    return paths


CASES = (
    Case("chunks-200k", chunked(200_000), ("kerchunk", "virtualizarr"), 1),
    Case("chunks-1M", chunked(1_000_000), ("kerchunk", "virtualizarr"), 1),
    Case("datasets", datasets, ("kerchunk",), 1),
    Case("files", small_files, ("kerchunk", "virtualizarr"), 1),
)


def measured(tool: str, sources: list[Path], folder: Path) -> tuple[float, float]:
    """Return (seconds, peak memory in MB) of one tool over the files, in a process of its own."""
    receiver, sender = multiprocessing.get_context("fork").Pipe(duplex=False)

    def child() -> None:
        run = TOOLS[tool]
        warm = folder / "warm.nc"
        run(warm, folder / "warm.json")  # imports and caches
        started = time.perf_counter()
        for source in sources:
            run(source, folder / f"{tool}-{source.stem}.json")
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        sender.send((time.perf_counter() - started, peak))

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    sender.close()
    result: tuple[float, float] = receiver.recv()
    process.join()
    return result


def made(case: Case, folder: Path) -> list[Path]:
    """Make a case's files in a process of its own: what that takes of memory would count for all forked after it."""
    process = multiprocessing.get_context("fork").Process(target=case.make, args=(folder,))
    process.start()
    process.join()
    return sorted(path for path in folder.iterdir() if path.stem != "warm")


def references_in(path: Path) -> int:
    """Return how many chunk references a document holds."""
    return sum(isinstance(value, list) for value in json.loads(path.read_text())["refs"].values())


def rows(only: str | None, runs: int) -> Iterator[str]:
    """Yield the lines of the Markdown table."""
    yield "| work | tool | seconds | peak MB | references | refmaker is faster by |"
    yield "|---|---|---|---|---|---|"
    for case in CASES:
        if only and not case.name.startswith(only):
            continue
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            with netCDF4.Dataset(folder / "warm.nc", "w") as warm:
                warm.createDimension("x", 3)
                warm.createVariable("x", "f4", ("x",))[:] = 0
            sources = made(case, folder)
            best = min((measured("refmaker", sources, folder) for _ in range(runs)), key=lambda row: row[0])
            count = sum(references_in(folder / f"refmaker-{source.stem}.json") for source in sources)
            yield f"| {case.name} | refmaker | {best[0]:.3f} | {best[1]:.0f} | {count} | |"
            for peer in case.peers:
                seconds, peak = min(
                    (measured(peer, sources, folder) for _ in range(case.peer_runs)), key=lambda r: r[0]
                )
                count = sum(references_in(folder / f"{peer}-{source.stem}.json") for source in sources)
                yield f"| {case.name} | {peer} | {seconds:.3f} | {peak:.0f} | {count} | {seconds / best[0]:.1f}x |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help="the cases whose name starts so")
    parser.add_argument("--runs", type=int, default=3, help="runs of refmaker, of which the best counts")
    arguments = parser.parse_args()
    for row in rows(arguments.only, arguments.runs):
        print(row, flush=True)


if __name__ == "__main__":
    main()
