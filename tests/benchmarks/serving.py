"""Reading through references beside h5py, h5netcdf and stock ``reference://``, all in one run.

Run ``python -m tests.benchmarks.serving [--only mid,small,raw,rawsmall,dask,remote,s3] [--scale 1.0]``. The data is a
variable of 600 x 180 x 360 floats (155 MB) in four layouts: ``mid`` (259 kB chunks, shuffle and gzip), ``small``
(8 kB, the same), ``raw`` and ``rawsmall`` (uncompressed). Times are the best of a few rounds in which all readers take
turns, the file being in the page cache. Exits with 1 when a target of DESIGN.md is missed.
"""

import argparse
import asyncio
import contextlib
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import dask
import fsspec
import h5py
import numpy as np
import xarray as xr
import zarr

from refmaker.references import relocate, write_references
from refmaker.scanners.registry import scan
from refmaker.serve import obstore_range
from refmaker.serve.store import RefStore

LAYOUTS: dict[str, tuple[tuple[int, int, int], dict[str, Any]]] = {
    "mid": ((1, 180, 360), {"shuffle": True, "compression": "gzip", "compression_opts": 4}),
    "small": ((1, 45, 45), {"shuffle": True, "compression": "gzip", "compression_opts": 4}),
    "raw": ((1, 180, 360), {}),
    "rawsmall": ((1, 45, 45), {}),
}
ENGINE_TARGET = {"mid": 0.6, "small": 0.8, "raw": 0.9, "rawsmall": 0.8}
"""Time of ``engine="refmaker"`` relative to h5py."""
STOCK_TARGET = 0.5
"""Time of ``refmaker://`` relative to ``reference://``."""
DASK_TARGET = 0.3
"""Time of 600 tasks relative to h5netcdf."""
REQUESTS_TARGET, REMOTE_TARGET = 40, 0.25
S3_TARGET = 1.1
"""Time of obstore relative to s3fs: never slower, but for noise."""
LATENCY = 0.03
ZARR_DEFAULT = "zarr.core.codec_pipeline.BatchedCodecPipeline"


def make(path: Path, layout: str, steps: int) -> None:
    """Write the file of one layout."""
    chunks, filters = LAYOUTS[layout]
    random = np.random.default_rng(0)
    y, x = np.meshgrid(np.linspace(-90, 90, 180), np.linspace(0, 360, 360), indexing="ij")
    with h5py.File(path, "w", libver="latest") as file:
        variable = file.create_dataset("t2m", (steps, 180, 360), "f4", chunks=chunks, **filters)
        for name, length in zip(("time", "y", "x"), variable.shape, strict=True):
            file[name] = np.arange(length, dtype="f8")
            file[name].make_scale(name)
            variable.dims[("time", "y", "x").index(name)].attach_scale(file[name])
        for step in range(steps):
            noise = random.normal(0, 0.5, (180, 360))
            variable[step] = np.round(280 + 20 * np.cos(np.radians(y)) + 5 * np.sin(np.radians(x + step)) + noise, 2)


def turns(readers: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Return the seconds of each reader's fastest round; they take turns, so that noise hits all alike."""
    seconds = dict.fromkeys(readers, float("inf"))
    for _ in range(rounds):
        for name, reader in readers.items():
            started = time.perf_counter()
            reader()
            seconds[name] = min(seconds[name], time.perf_counter() - started)
    return seconds


@contextlib.contextmanager
def stock_pipeline() -> Iterator[None]:
    """Run with zarr's own codec pipeline, as those do who have no refmaker."""
    with zarr.config.set({"codec_pipeline.path": ZARR_DEFAULT}):
        yield


def h5py_read(path: Path) -> np.ndarray:
    with h5py.File(path) as file:
        return file["t2m"][...]


def engine_read(document: Path) -> np.ndarray:
    return xr.open_dataset(document, engine="refmaker")["t2m"].values


def stock_read(document: str, **options: Any) -> np.ndarray:
    with stock_pipeline():
        opened = xr.open_zarr(document, chunks=None, consolidated=False, storage_options=options or None)
        return opened["t2m"].values


def one_layout(folder: Path, layout: str, steps: int, rounds: int) -> bool:
    """Print a layout's times; return whether its targets were met."""
    path, document = folder / f"{layout}.h5", folder / f"{layout}.json"
    if not path.exists():
        make(path, layout, steps)
    write_references(scan(str(path)), document)
    readers: dict[str, Callable[[], Any]] = {
        "h5py": lambda: h5py_read(path),
        "h5netcdf": lambda: xr.open_dataset(path, engine="h5netcdf")["t2m"].values,
        "reference://": lambda: stock_read(f"reference::{document}"),
        "refmaker://": lambda: xr.open_zarr(f"refmaker://{document}", chunks=None)["t2m"].values,
        "RefStore": lambda: zarr.open_group(RefStore(str(document)), mode="r")["t2m"][...],
        "engine": lambda: engine_read(document),
    }
    want = h5py_read(path)
    for name, reader in readers.items():
        np.testing.assert_array_equal(reader(), want, err_msg=name)
    seconds = turns(readers, rounds)
    base = seconds["h5py"]
    print(f"{layout:9} " + "  ".join(f"{n} {s * 1000:.0f} ms ({s / base:.2f})" for n, s in seconds.items()))
    engine, stock = seconds["engine"] / base, seconds["refmaker://"] / seconds["reference://"]
    print(f"{'':9} engine {engine:.2f} of h5py (target {ENGINE_TARGET[layout]}), refmaker:// {stock:.2f} of stock")
    return engine <= ENGINE_TARGET[layout] and stock <= STOCK_TARGET


def dask_read(folder: Path, steps: int, rounds: int) -> bool:
    """Compare a read in as many dask tasks as steps."""
    path, document = folder / "mid.h5", folder / "mid.json"
    if not path.exists():
        make(path, "mid", steps)
    write_references(scan(str(path)), document)

    def compute(opened: xr.Dataset) -> Any:
        """Read every chunk in a task of its own; putting them together is dask's work, the same for all."""
        return dask.compute(*opened["t2m"].data.to_delayed().ravel(), scheduler="threads")

    def stock() -> Any:
        with stock_pipeline():
            return compute(xr.open_zarr(f"reference::{document}", chunks={}, consolidated=False))

    seconds = turns(
        {
            "h5netcdf": lambda: compute(xr.open_dataset(path, engine="h5netcdf", chunks={"time": 1})),
            "reference://": stock,
            "refmaker://": lambda: compute(xr.open_zarr(f"refmaker://{document}", chunks={})),
            "engine": lambda: compute(xr.open_dataset(document, engine="refmaker", chunks={})),
        },
        rounds,
    )
    base = seconds["h5netcdf"]
    print("dask      " + "  ".join(f"{n} {s * 1000:.0f} ms ({s / base:.2f})" for n, s in seconds.items()))
    return seconds["engine"] / base <= DASK_TARGET


class SlowServer:
    """An aiohttp server of one file, with ranges and a delay, in a thread; counts requests."""

    def __init__(self, data: bytes) -> None:
        self.requests = 0
        self._data = data
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        from aiohttp import web

        async def get(request: web.Request) -> web.Response:
            if request.method == "GET":
                self.requests += 1
            await asyncio.sleep(LATENCY)
            span = request.http_range
            start, stop = span.start or 0, span.stop or len(self._data)
            headers = {"Content-Range": f"bytes {start}-{stop - 1}/{len(self._data)}", "Accept-Ranges": "bytes"}
            headers |= {"ETag": '"1"', "Last-Modified": "Sat, 21 Nov 2026 00:00:00 GMT"}  # as S3 does
            status = 206 if "Range" in request.headers else 200
            return web.Response(body=self._data[start:stop], status=status, headers=headers)

        async def begin() -> None:
            app = web.Application()
            app.router.add_route("*", "/bucket/data.h5", get)
            self._runner = web.AppRunner(app)
            await self._runner.setup()
            site = web.TCPSite(self._runner, "127.0.0.1", 0)
            await site.start()
            self.endpoint = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"
            self.url = f"{self.endpoint}/bucket/data.h5"
            self._ready.set()

        self._loop.run_until_complete(begin())
        self._loop.run_forever()
        self._loop.run_until_complete(self._runner.cleanup())
        self._loop.close()

    def __enter__(self) -> "SlowServer":
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()


def remote_read(folder: Path, steps: int, rounds: int) -> bool:
    """Compare a read of 600 chunks of some 120 kB from a server with 30 ms latency."""
    path, document = folder / "mid.h5", folder / "remote.json"
    if not path.exists():
        make(path, "mid", steps)
    want = h5py_read(path)
    with SlowServer(path.read_bytes()) as server:
        write_references(relocate(scan(str(path)), lambda _: server.url), document)
        asynchronous = {"fo": str(document), "remote_protocol": "http", "remote_options": {"asynchronous": True}}
        readers: dict[str, Callable[[], Any]] = {
            "reference://": lambda: stock_read("reference://", **asynchronous),
            "refmaker://": lambda: xr.open_zarr(f"refmaker://{document}", chunks=None)["t2m"].values,
            "engine": lambda: engine_read(document),
        }
        requests = {}
        for name, reader in readers.items():
            before = server.requests
            np.testing.assert_array_equal(reader(), want, err_msg=name)
            requests[name] = server.requests - before
        seconds = turns(readers, rounds)
    base = seconds["reference://"]
    print("remote    " + "  ".join(
        f"{n} {s * 1000:.0f} ms ({s / base:.2f}), {requests[n]} requests" for n, s in seconds.items()
    ))  # fmt: skip
    return requests["engine"] <= REQUESTS_TARGET and seconds["engine"] / base <= REMOTE_TARGET


def s3_read(folder: Path, steps: int, rounds: int) -> bool:
    """Compare the two clients that read S3, whole and with a request for each chunk, at 30 ms latency."""
    path, document = folder / "mid.h5", folder / "s3.json"
    if not path.exists():
        make(path, "mid", steps)
    want = h5py_read(path)
    with SlowServer(path.read_bytes()) as server:
        write_references(relocate(scan(str(path)), lambda _: "s3://bucket/data.h5"), document)
        anonymous = {"s3": {"anon": True, "endpoint_url": server.endpoint}}

        def read(client: str, **tuning: Any) -> np.ndarray:
            store = obstore_range._store if client == "obstore" else lambda *_: None
            options = {**tuning, "storage_options": anonymous}
            with mock.patch.object(obstore_range, "_store", store):
                return xr.open_dataset(document, engine="refmaker", storage_options=options)["t2m"].values

        readers = {
            f"{client}{', unmerged' if tuning else ''}": partial(read, client, **tuning)
            for tuning in ({}, {"request_bytes": 1})
            for client in ("s3fs", "obstore")
        }
        for name, reader in readers.items():
            np.testing.assert_array_equal(reader(), want, err_msg=name)
        seconds = turns(readers, rounds)
    print("s3        " + "  ".join(f"{n} {s * 1000:.0f} ms" for n, s in seconds.items()))
    return all(seconds[f"obstore{how}"] <= S3_TARGET * seconds[f"s3fs{how}"] for how in ("", ", unmerged"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="mid,small,raw,rawsmall,dask,remote,s3")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", help="keeps the files there")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    fsspec.get_filesystem_class("http")
    met = True
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(arguments.folder or scratch)
        folder.mkdir(exist_ok=True)
        for name in arguments.only.split(","):
            other = {"dask": dask_read, "remote": remote_read, "s3": s3_read}.get(name)
            if other:
                met &= other(folder, arguments.steps, arguments.rounds)
            else:
                met &= one_layout(folder, name, arguments.steps, arguments.rounds)
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
