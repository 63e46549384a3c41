"""A classic file of many record variables: scan to manifest, and to JSON beside ``kerchunk.netCDF3`` in the same run.

Run ``python -m tests.benchmarks.netcdf3 [--variables 50] [--records 20000]``. One million chunks by default. Times are
the best of a few runs (kerchunk: of one), the file being in the page cache. Exits with 1 when a target is missed:
manifest within 30 ms, JSON five times faster than kerchunk.
"""

import argparse
import importlib.util
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np

from refmaker.model.reference_set import ReferenceSet
from refmaker.scanners.netcdf3 import scan
from refmaker.scanners.registry import ScanOptions
from refmaker.source.location import open_file

MANIFEST_SECONDS = 0.030
TIMES_FASTER = 5


def make_file(path: Path, variables: int, records: int) -> None:
    """Write ``variables`` record variables of four floats a record."""
    with netCDF4.Dataset(path, "w", format="NETCDF3_64BIT_OFFSET") as file:
        file.set_fill_off()
        file.createDimension("time", None)
        file.createDimension("x", 4)
        for number in range(variables):
            variable = file.createVariable(f"variable_{number}", "f4", ("time", "x"))
            variable.long_name = f"record variable number {number}"
            variable.units = "K"
        for number in range(variables):
            file[f"variable_{number}"][:] = np.full((records, 4), number, "f4")


def scan_file(path: Path) -> ReferenceSet:
    file = open_file(os.fspath(path))
    try:
        return scan(file, ScanOptions())
    finally:
        file.source.close()


def best(work: Callable[[], Any], runs: int) -> float:
    """Return the seconds of the fastest of some runs."""
    seconds = []
    for _ in range(runs):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def ours(path: Path, out: Path) -> None:
    from refmaker.references.kerchunk_json import write_json

    write_json(scan_file(path), os.fspath(out))


def kerchunks(path: Path, out: Path) -> None:
    from kerchunk.netCDF3 import NetCDF3ToZarr

    references = NetCDF3ToZarr(os.fspath(path), inline_threshold=0).translate()
    with out.open("w") as file:
        json.dump(references, file)


def chunks_of(out: Path) -> dict[str, Any]:
    """Return the byte ranges of a written document, without their URLs."""
    references = json.loads(out.read_text())["refs"]
    return {key: value[1:] for key, value in references.items() if isinstance(value, list)}


def run(variables: int, records: int) -> bool:
    """Print a line per measurement; return whether every target was met."""
    with tempfile.TemporaryDirectory() as folder:
        path, mine, theirs = (Path(folder) / name for name in ("many.nc", "refmaker.json", "kerchunk.json"))
        make_file(path, variables, records)
        arrays = scan_file(path).root.arrays.values()
        chunks = sum(array.manifest.present for array in arrays)
        memory = sum(array.manifest.memory_nbytes for array in arrays)
        manifest = best(lambda: scan_file(path), 7)
        print(f"{variables} record variables x {records} records = {chunks} chunks, {path.stat().st_size} bytes")
        print(f"scan to manifest   {manifest * 1e3:9.2f} ms   {memory} bytes of columns")
        written = best(lambda: ours(path, mine), 3)
        print(f"scan to JSON       {written * 1e3:9.2f} ms   {mine.stat().st_size} bytes")
        if importlib.util.find_spec("kerchunk") is None or importlib.util.find_spec("scipy") is None:
            print("kerchunk or scipy is not installed: no ratio")
            return manifest <= MANIFEST_SECONDS
        peer = best(lambda: kerchunks(path, theirs), 1)
        ratio = peer / written
        same = chunks_of(mine) == chunks_of(theirs)
        print(f"kerchunk to JSON   {peer * 1e3:9.2f} ms   {theirs.stat().st_size} bytes")
        print(f"ratio              {ratio:9.1f}      the same ranges: {same}")
        return manifest <= MANIFEST_SECONDS and ratio >= TIMES_FASTER


def main() -> int:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variables", type=int, default=50)
    parser.add_argument("--records", type=int, default=20_000)
    given = parser.parse_args()
    return 0 if run(given.variables, given.records) else 1


if __name__ == "__main__":
    sys.exit(main())
