"""Scanning over HTTP with 50 ms a request: refmaker beside kerchunk and h5py, in the same run.

Run ``python -m tests.benchmarks.remote [--only NAME] [--latency 0.05]``. The server is a process of its own on this
machine, so its work is in the numbers, as are the bytes it has to send.

* ``grow``: a NetCDF-4 file whose 20 variables grew together, 20,000 chunks each: index nodes lie all over it.
* ``grow-small``: the same with 500 chunks each, beside kerchunk over fsspec's default cache.
* ``files``: 60 NetCDF-4 files of 4 MB, beside h5py over fsspec with 16 threads (which reads structure and attributes).
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np

import refmaker

VARIABLES = 20


def growing(path: Path, chunks: int) -> None:
    """Write variables that grow together, so that chunks and index nodes of all lie interleaved."""
    with netCDF4.Dataset(path, "w") as file:
        for name, length in (("time", None), ("y", 16), ("x", 16)):
            file.createDimension(name, length)
            file.createVariable(name, "f8", (name,), chunksizes=(1024,) if length is None else None)
        names = [f"v{n:02d}" for n in range(VARIABLES)]
        for name in names:
            variable = file.createVariable(name, "f8", ("time", "y", "x"), chunksizes=(1, 16, 16))
            variable.setncatts({"units": "K", "long_name": f"variable {name}", "scale": 1.0})
        step = 1
        block = np.zeros((step, 16, 16))
        for start in range(0, chunks, step):
            for name in names:
                file[name][start : start + step] = block
        file["time"][:] = np.arange(chunks)


def four_megabytes(folder: Path, count: int) -> list[Path]:
    paths = [folder / f"file-{number:02d}.nc" for number in range(count)]
    with netCDF4.Dataset(paths[0], "w") as file:
        for name, length in (("time", None), ("y", 100), ("x", 100)):
            file.createDimension(name, length)
            file.createVariable(name, "f8", (name,))[:] = np.arange(length or 6)
        rng = np.random.default_rng(0)
        for number in range(10):
            variable = file.createVariable(f"v{number}", "f8", ("time", "y", "x"), zlib=True, chunksizes=(1, 100, 100))
            variable[:] = rng.normal(size=(6, 100, 100))
            variable.setncatts({"units": "K", "long_name": f"variable {number}"})
    for path in paths[1:]:
        path.write_bytes(paths[0].read_bytes())
    return paths


@contextmanager
def served(folder: Path, latency: float) -> Iterator[str]:
    command = [sys.executable, "-m", "tests.remote_server", os.fspath(folder), "--latency", str(latency)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def kerchunk(url: str) -> int:
    from kerchunk.hdf import SingleHdf5ToZarr

    return len(SingleHdf5ToZarr(url, inline_threshold=0).translate()["refs"])


def h5py_structure(url: str) -> int:
    """Open a file and visit every object and attribute, as any scanner around h5py must."""
    import fsspec
    import h5py

    seen = 0

    def visit(_: str, thing: Any) -> None:
        nonlocal seen
        seen += len(dict(thing.attrs))
        if isinstance(thing, h5py.Dataset) and thing.chunks:
            thing.id.chunk_iter(lambda _: None)

    with fsspec.open(url) as stream, h5py.File(stream) as file:
        file.visititems(visit)
    return seen


def ours(urls: list[str]) -> str:
    reports = []
    for result in refmaker.scan_many(urls):
        assert isinstance(result, refmaker.ReferenceSet), result
        reports.append(result.report)
    sums = [sum(getattr(report, name) or 0 for report in reports) for name in ("requests", "bytes_read", "misses")]
    rounds = max(report.rounds or 0 for report in reports)
    return f"{sums[0]} requests, {sums[1] / 1e6:.1f} MB, {rounds} rounds, {sums[2]} misses"


def row(work: str, tool: str, call: Callable[[], str]) -> None:
    started, cpu = time.perf_counter(), time.process_time()
    told = call()
    print(
        f"| {work} | {tool} | {time.perf_counter() - started:.2f} | {time.process_time() - cpu:.2f} | {told} |",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="the case of this name")
    parser.add_argument("--latency", type=float, default=0.05)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="keep the files here")
    arguments = parser.parse_args()
    print("| work | tool | seconds | CPU seconds | cost |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = arguments.folder or Path(name)
        with served(folder, arguments.latency) as url:
            if arguments.only in {"", "grow"}:
                if not (folder / "grow.nc").exists():
                    growing(folder / "grow.nc", 20_000)
                for _ in range(arguments.runs):
                    row("grow", "refmaker", lambda: ours([f"{url}/grow.nc"]))
            if arguments.only in {"", "grow-small"}:
                growing(folder / "grow-small.nc", 500)
                row("grow-small", "refmaker", lambda: ours([f"{url}/grow-small.nc"]))
                row("grow-small", "kerchunk", lambda: f"{kerchunk(f'{url}/grow-small.nc')} references")
            if arguments.only in {"", "files"}:
                urls = [f"{url}/{path.name}" for path in four_megabytes(folder, 60)]
                for _ in range(arguments.runs):
                    row("files", "refmaker", lambda: ours(urls))
                with ThreadPoolExecutor(16) as pool:
                    row("files", "h5py, 16 threads", lambda: f"{sum(pool.map(h5py_structure, urls))} attributes")


if __name__ == "__main__":
    main()
