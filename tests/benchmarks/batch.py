"""Indexing archives at full size: every file accounted for, kills survived, and the speed beside others.

``python -m tests.benchmarks.batch archive [--files 5000] [--kills 20] [--folder DIR]``
    5,000 NetCDF-4 files, fifty of them broken in ten ways and three that crash or hang the reader, to one Parquet
    document; then killed at random moments and resumed, on a Dask cluster with a worker killed, and 100 files more.

``python -m tests.benchmarks.batch beside [--files 500]``
    From files to one JSON document: refmaker, VirtualiZarr (each executor it offers) and kerchunk (process pool and
    ``MultiZarrToZarr``), each in a process of its own, one after the other.
"""

import argparse
import json
import multiprocessing
import os
import random
import resource
import signal
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from tests.batch.archive import BROKEN, archive, install_plugin, values_of, write_broken
from tests.batch.test_resume import contents, done, finished, start

KINDS = ["empty", "html", "signature", "classic", "truncated", "overwritten", "ragged", "dangling", "bug", "memory"]
HARMFUL = ["abort", "segfault", "hang"]
BROKEN_FILES = 50
WORKERS = 2


# -- archive -----------------------------------------------------------------------------------------------------------
def make_archive(folder: Path, files: int) -> dict[str, str]:
    """Write the archive; return URL -> kind of the broken files."""
    data = folder / "data"
    with ProcessPoolExecutor(WORKERS) as pool:
        step = -(-files // (4 * WORKERS))
        list(pool.map(archive, [data] * 4 * WORKERS, [step] * 4 * WORKERS, range(0, 4 * WORKERS * step, step)))
    for path in sorted(data.glob("*.nc"))[files:]:
        path.unlink()
    ordinary = [KINDS[n % len(KINDS)] for n in range(BROKEN_FILES - len(HARMFUL))]
    return write_broken(data, [*ordinary, *HARMFUL])


def asked(folder: Path, output: Path) -> list[str]:
    return [
        str(folder / "data/*.nc"), "-o", str(output), "--concat", "time", "--on-error", "quarantine",
        "--timeout", "5", "--memory", "300MB", "--workers", str(WORKERS),
    ]  # fmt: skip


def report_of(arguments: list[str], report: Path) -> tuple[float, dict[str, Any]]:
    began = time.monotonic()
    finished([*arguments, "--report", str(report)])
    return time.monotonic() - began, json.loads(report.read_text())


def full_size(folder: Path, files: int, kills: int) -> None:
    import xarray as xr

    broken = make_archive(folder, files)
    calm = folder / "calm.parq"
    seconds, report = report_of(asked(folder, calm), folder / "report.json")
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"{files} good files and {len(broken)} broken ones: {seconds:.1f} s, largest process {children:.0f} MB")
    named = {file["file"]: file["error"]["kind"] for file in report["files"] if "error" in file}
    assert named.keys() == broken.keys()
    wrong = {url: kind for url, kind in named.items() if kind not in BROKEN[broken[url]][1]}
    assert not wrong, wrong
    print(f"all {len(broken)} broken files are named with the right reason: {report['counts']}")
    with xr.open_dataset(calm, engine="refmaker") as found:
        assert np.array_equal(found.tas, np.concatenate([values_of(n) for n in range(files)]))
    print("all good files' data is equal")

    killed = folder / "killed.parq"
    moments = random.Random(1)
    settled = []
    for _ in range(kills):
        process = start(asked(folder, killed))
        time.sleep(moments.uniform(0.5, 2 * seconds / kills))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        settled.append(done(folder / "killed.parq.job"))
    assert settled == sorted(settled)
    finished(asked(folder, killed))
    assert contents(killed) == contents(calm)
    print(f"killed {kills} times (files settled by then: {settled}): identical output")

    on_dask(folder, calm)

    archive(folder / "data", 100, first=files)
    seconds, report = report_of([*asked(folder, calm), "--update"], folder / "report.json")
    print(f"100 files more: {report['scanned']} scanned, {seconds:.1f} s")


def on_dask(folder: Path, calm: Path) -> None:
    from distributed import LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        pids = [worker.pid for worker in cluster.workers.values()]
        began = time.monotonic()
        process = start([*asked(folder, folder / "dask.parq"), "--dask", cluster.scheduler_address])
        while not done(folder / "dask.parq.job"):
            time.sleep(0.2)
        os.kill(pids[0], signal.SIGKILL)
        _, said = process.communicate()
        assert process.returncode == 3, said.decode()
        assert contents(folder / "dask.parq") == contents(calm)
        print(f"two Dask workers, one killed: identical output, {time.monotonic() - began:.1f} s")


# -- beside others -----------------------------------------------------------------------------------------------------
Tool = Callable[[Path], Callable[[], object]]


def ours(folder: Path) -> Callable[[], object]:
    import refmaker

    inputs = str(folder / "data/*.nc")
    index = refmaker.index  # imported now, as the others are
    return lambda: index(inputs, folder / "refmaker.json", concat="time", workers=WORKERS)


def virtualizarr(parallel: Any) -> Tool:
    def tool(folder: Path) -> Callable[[], object]:
        from obspec_utils.registry import ObjectStoreRegistry
        from obstore.store import LocalStore
        from virtualizarr import open_virtual_mfdataset
        from virtualizarr.parsers import HDFParser

        registry = ObjectStoreRegistry({"file://": LocalStore()})
        urls = [f"file://{path}" for path in sorted((folder / "data").glob("*.nc"))]

        def work() -> None:
            with open_virtual_mfdataset(
                urls, registry=registry, parser=HDFParser(), combine="nested", concat_dim="time", parallel=parallel,
                loadable_variables=["time", "lat", "lon"], data_vars="minimal", coords="minimal", compat="override",
                join="override",
            ) as dataset:  # fmt: skip
                dataset.virtualize.to_kerchunk(os.fspath(folder / "virtualizarr.json"), format="json")

        return work

    return tool


def kerchunked(path: str) -> Any:
    from kerchunk.hdf import SingleHdf5ToZarr

    return SingleHdf5ToZarr(path).translate()


def kerchunk(folder: Path) -> Callable[[], object]:
    from kerchunk.combine import MultiZarrToZarr

    paths = [os.fspath(path) for path in sorted((folder / "data").glob("*.nc"))]

    def work() -> None:
        with ProcessPoolExecutor(WORKERS) as pool:
            found = list(pool.map(kerchunked, paths, chunksize=8))
        made = MultiZarrToZarr(found, concat_dims=["time"], identical_dims=["lat", "lon"], remote_protocol="file")
        (folder / "kerchunk.json").write_text(json.dumps(made.translate()))

    return work


TOOLS: dict[str, Tool] = {
    "refmaker": ours,
    "virtualizarr, one after the other": virtualizarr(False),
    "virtualizarr, threads": virtualizarr(ThreadPoolExecutor),
    "virtualizarr, dask": virtualizarr("dask"),
    "kerchunk, process pool": kerchunk,
}


def measured(tool: Tool, folder: Path) -> tuple[float, float, float]:
    """Return seconds, CPU seconds with all children, and the peak memory (MB) of the largest process of one tool."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)

    def child() -> None:
        work = tool(folder)
        began, cpu = time.perf_counter(), sum(os.times()[:4])
        work()
        seconds, cpu = time.perf_counter() - began, sum(os.times()[:4]) - cpu
        peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        sender.send((seconds, cpu, peak / 1024))

    process = context.Process(target=child)
    process.start()
    sender.close()
    try:
        result: tuple[float, float, float] = receiver.recv()
    except EOFError:
        return float("nan"), float("nan"), float("nan")
    finally:
        process.join()
    return result


def beside(folder: Path, files: int) -> None:
    archive(folder / "data", files)
    found = {name: measured(tool, folder) for name, tool in TOOLS.items()}
    print("| tool | seconds | CPU seconds | largest process, MB | times refmaker's |\n|---|---|---|---|---|")
    for name, (seconds, cpu, peak) in found.items():
        ratio = seconds / found["refmaker"][0]
        print(f"| {name} | {seconds:.2f} | {cpu:.2f} | {peak:.0f} | {ratio:.1f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["archive", "beside"])
    parser.add_argument("--files", type=int)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--folder", type=Path, help="Where to work; default: a temporary directory.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        if options.what == "beside":
            beside(folder, options.files or 500)
            return
        plugin = folder / "plugin"
        plugin.mkdir(parents=True)
        install_plugin(plugin)
        os.environ["PYTHONPATH"] = os.pathsep.join([str(plugin), os.environ.get("PYTHONPATH", ""), str(Path.cwd())])
        full_size(folder, options.files or 5000, options.kills)


if __name__ == "__main__":
    main()
