"""Many inputs to one reference document: refmaker beside kerchunk and VirtualiZarr, in the same run.

Run ``python -m tests.benchmarks.combine [--only NAME] [--runs 3]``. Every measurement runs in a forked process, so
that memory and caches are those of the one tool; imports are not counted.

* ``concat``: 1,000 manifests of 1,000 references each, laid side by side in memory.
* ``memory``: 2,000 references of 20 keys, coordinates inlined, each tool's own way in memory.
* ``references``: the same, from a JSON document each to one.
* ``files``: 200 NetCDF-4 files scanned, combined and written.
"""

import argparse
import base64
import json
import multiprocessing
import os
import resource
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np

Tool = Callable[[Path], Callable[[], object]]
"""Given the case's folder, prepares (imports, inputs in memory) and returns what is measured."""
MANIFESTS = ROWS = 1_000
DOCUMENTS = 2_000
FILES = 200


@dataclass(frozen=True)
class Case:
    """A workload: what makes its inputs, who does it, how much faster refmaker must be, or in how many seconds."""

    name: str
    make: Callable[[Path, int], None]
    tools: dict[str, Tool]
    count: int
    ratio: float
    seconds: float | None = None


# -- concat ------------------------------------------------------------------------------------------------------------
def nothing(folder: Path, count: int) -> None:
    """Manifests are made in memory."""


def concat_ours(folder: Path) -> Callable[[], object]:
    from refmaker.combine.concat import Placed, laid_out
    from refmaker.model.chunks import ChunkManifest

    position = np.arange(ROWS, dtype=np.uint64)
    parts = [
        Placed(
            ChunkManifest.from_positions(
                (ROWS, 1),
                position,
                location_id=0,
                offset=position * np.uint64(5000 + k),
                length=position + np.uint64(99),
            ),
            (ROWS, 1),
            (k * ROWS, 0),
            np.array([k], np.uint32),
        )
        for k in range(MANIFESTS)
    ]
    return lambda: laid_out((MANIFESTS * ROWS, 1), parts)


def concat_virtualizarr(folder: Path) -> Callable[[], object]:
    from virtualizarr.manifests import ChunkManifest, ManifestArray
    from virtualizarr.manifests.utils import create_v3_array_metadata

    arrays = []
    for k in range(MANIFESTS):
        manifest = ChunkManifest.from_arrays(
            paths=np.full((ROWS, 1), f"file:///data/{k}.nc", np.dtypes.StringDType()),
            offsets=np.arange(ROWS, dtype=np.uint64).reshape(ROWS, 1),
            lengths=np.full((ROWS, 1), 99, np.uint64),
        )
        metadata = create_v3_array_metadata(
            shape=(ROWS, 10), chunk_shape=(1, 10), data_type=np.dtype("f4"), codecs=[], dimension_names=["t", "x"]
        )
        arrays.append(ManifestArray(metadata=metadata, chunkmanifest=manifest))
    return lambda: np.concatenate(arrays, axis=0)


# -- references --------------------------------------------------------------------------------------------------------
def documents(folder: Path, count: int) -> None:
    """Write reference documents of 20 keys, as kerchunk makes them: 7 chunks of data, 3 inlined coordinates."""
    for number in range(count):
        (folder / f"{number:05d}.json").write_text(json.dumps({"version": 1, "refs": document(number)}))


def document(number: int) -> dict[str, Any]:
    refs: dict[str, Any] = {".zgroup": '{"zarr_format":2}', ".zattrs": '{"title":"benchmark"}'}
    coordinates = {"time": number * 7 + np.arange(7.0), "lat": np.linspace(-90, 90, 50), "lon": np.arange(100.0)}
    units = {"time": "days since 1980-01-01", "lat": "degrees_north", "lon": "degrees_east"}
    for name, values in coordinates.items():
        refs.update(described(name, values.shape, values.shape, [name], "<f8", units[name]))
        refs[f"{name}/0"] = "base64:" + base64.b64encode(values.tobytes()).decode()
    refs.update(described("air", (7, 50, 100), (1, 50, 100), ["time", "lat", "lon"], "<f4", "K"))
    refs.update({f"air/{k}.0.0": [f"s3://bucket/{number:05d}.nc", 8000 + 20000 * k, 20000] for k in range(7)})
    return refs


def described(
    name: str, shape: Sequence[int], chunks: Sequence[int], dimensions: list[str], dtype: str, units: str
) -> dict[str, str]:
    zarray = {"chunks": chunks, "compressor": None, "dtype": dtype, "fill_value": None, "filters": None, "order": "C",
              "shape": shape, "zarr_format": 2}  # fmt: skip
    return {
        f"{name}/.zarray": json.dumps(zarray),
        f"{name}/.zattrs": json.dumps({"_ARRAY_DIMENSIONS": dimensions, "units": units}),
    }


def references_ours(folder: Path) -> Callable[[], object]:
    import refmaker

    paths = sorted(folder.glob("[0-9]*.json"))

    def work() -> None:
        refmaker.write_references(refmaker.combine(paths, concat="time"), folder / "refmaker.json")

    refmaker.combine(paths[:2], concat="time")
    return work


def memory_ours(folder: Path) -> Callable[[], object]:
    import refmaker

    inputs = [refmaker.open_references(path) for path in sorted(folder.glob("[0-9]*.json"))]
    refmaker.combine(inputs[:2], concat="time")
    return lambda: refmaker.combine(inputs, concat="time")


def memory_kerchunk(folder: Path) -> Callable[[], object]:
    from kerchunk.combine import MultiZarrToZarr

    inputs = [json.loads(path.read_text()) for path in sorted(folder.glob("[0-9]*.json"))]

    def combined(inputs: list[dict[str, Any]]) -> object:
        made = MultiZarrToZarr(inputs, concat_dims=["time"], identical_dims=["lat", "lon"], remote_protocol="file")
        return made.translate()

    combined(inputs[:2])
    return lambda: combined(inputs)


def references_kerchunk(folder: Path) -> Callable[[], object]:
    from kerchunk.combine import MultiZarrToZarr

    paths = [os.fspath(path) for path in sorted(folder.glob("[0-9]*.json"))]

    def combined(inputs: list[str]) -> None:
        made = MultiZarrToZarr(inputs, concat_dims=["time"], identical_dims=["lat", "lon"], remote_protocol="file")
        (folder / "kerchunk.json").write_text(json.dumps(made.translate()))

    combined(paths[:2])
    return lambda: combined(paths)


# -- files -------------------------------------------------------------------------------------------------------------
def netcdf_files(folder: Path, count: int) -> None:
    for number in range(count):
        with netCDF4.Dataset(folder / f"{number:04d}.nc", "w") as file:
            for name, length in (("time", None), ("y", 40), ("x", 60)):
                file.createDimension(name, length)
                values = np.arange(4) + 4.0 * number if length is None else np.arange(length)
                variable = file.createVariable(name, "f8", (name,))
                variable[:] = values
                variable.units = "days since 2000-01-01" if length is None else "m"
            for name in ("t2m", "u10", "v10", "msl", "tp"):
                variable = file.createVariable(name, "f4", ("time", "y", "x"), zlib=True, chunksizes=(1, 40, 60))
                variable[:] = np.random.default_rng(number).normal(size=(4, 40, 60))
                variable.setncatts({"units": "1", "long_name": f"variable {name}"})


def files_ours(folder: Path) -> Callable[[], object]:
    import refmaker

    paths = sorted(folder.glob("*.nc"))

    def work() -> None:
        refmaker.write_references(refmaker.combine(paths, concat="time"), folder / "refmaker.json")

    refmaker.combine(paths[:2], concat="time")
    return work


def files_virtualizarr(folder: Path) -> Callable[[], object]:
    from obspec_utils.registry import ObjectStoreRegistry
    from obstore.store import LocalStore
    from virtualizarr import open_virtual_mfdataset
    from virtualizarr.parsers import HDFParser

    registry = ObjectStoreRegistry({"file://": LocalStore()})
    urls = [f"file://{path}" for path in sorted(folder.glob("*.nc"))]

    def combined(inputs: list[str]) -> None:
        with open_virtual_mfdataset(
            inputs, registry=registry, parser=HDFParser(), combine="nested", concat_dim="time",
            loadable_variables=["time", "y", "x"], data_vars="minimal", coords="minimal", compat="override",
            join="override",
        ) as dataset:  # fmt: skip
            dataset.virtualize.to_kerchunk(os.fspath(folder / "virtualizarr.json"), format="json")

    combined(urls[:2])
    return lambda: combined(urls)


CASES = (
    Case("concat", nothing, {"refmaker": concat_ours, "virtualizarr": concat_virtualizarr}, MANIFESTS, 1, 0.020),
    Case("memory", documents, {"refmaker": memory_ours, "kerchunk": memory_kerchunk}, DOCUMENTS, 20),
    Case("references", documents, {"refmaker": references_ours, "kerchunk": references_kerchunk}, DOCUMENTS, 10),
    Case("files", netcdf_files, {"refmaker": files_ours, "virtualizarr": files_virtualizarr}, FILES, 3),
)


def measured(tool: Tool, folder: Path) -> tuple[float, float]:
    """Return (seconds, peak memory in MB) of one tool, in a process of its own."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)

    def child() -> None:
        work = tool(folder)
        started = time.perf_counter()
        work()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        sender.send((time.perf_counter() - started, peak))

    process = context.Process(target=child)
    process.start()
    sender.close()
    result: tuple[float, float] = receiver.recv()
    process.join()
    return result


def rows(only: str | None, runs: int) -> Iterator[str]:
    """Yield the lines of the Markdown table."""
    yield "| work | tool | seconds | peak MB | refmaker is faster by | wanted |"
    yield "|---|---|---|---|---|---|"
    for case in CASES:
        if only and not case.name.startswith(only):
            continue
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            case.make(folder, case.count)
            ours, *peers = case.tools
            best = min((measured(case.tools[ours], folder) for _ in range(runs)), key=lambda row: row[0])
            wanted = "" if case.seconds is None else f"<= {case.seconds} s"
            yield f"| {case.name} | {ours} | {best[0]:.4f} | {best[1]:.0f} | | {wanted} |"
            for peer in peers:
                seconds, peak = measured(case.tools[peer], folder)
                ratio = f"{seconds / best[0]:.1f}x | >= {case.ratio:g}x"
                yield f"| {case.name} | {peer} | {seconds:.4f} | {peak:.0f} | {ratio} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help="the cases whose name starts so")
    parser.add_argument("--runs", type=int, default=3, help="runs of refmaker, of which the best counts")
    arguments = parser.parse_args()
    for row in rows(arguments.only, arguments.runs):
        print(row, flush=True)


if __name__ == "__main__":
    main()
