"""A BigTIFF of many tiles: scan to manifest, and to JSON beside tifffile and virtual-tiff in the same run.

Run ``python -m tests.benchmarks.tiff [--tiles 1000000]``. The file is sparse on disk: only its structures are real.
Times are the best of a few runs (the peers': of one). Exits with 1 when a target is missed: JSON six times faster than
``tifffile.aszarr().write_fsspec``, and, of a tenth of the tiles, five times faster than virtual-tiff where it is
installed (``pip install virtual-tiff virtualizarr``).
"""

import argparse
import importlib.util
import json
import math
import os
import struct
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from refmaker.model.reference_set import ReferenceSet
from refmaker.references.kerchunk_json import write_json
from refmaker.scanners.registry import ScanOptions
from refmaker.scanners.tiff import scan
from refmaker.source.location import open_file

TIMES_FASTER = {"tifffile": 6, "virtual-tiff": 5}
TILE = 16
"""Pixels along a tile's edge."""


def make_file(path: Path, tiles: int) -> int:
    """Write a BigTIFF of about ``tiles`` tiles of 16 x 16 bytes, and return how many they are."""
    across = math.isqrt(tiles)
    count, nbytes = across * across, TILE * TILE
    width = across * TILE
    entries = [(256, 4, 1, width), (257, 4, 1, width), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (277, 3, 1, 1)]
    entries += [(322, 3, 1, TILE), (323, 3, 1, TILE)]
    start = 16
    columns = start + 8 + 20 * (len(entries) + 2) + 8
    data = columns + 16 * count
    entries += [(324, 16, count, columns), (325, 16, count, columns + 8 * count)]
    with path.open("wb") as file:
        file.write(struct.pack("<2sHHHQ", b"II", 43, 8, 0, start))
        file.write(struct.pack("<Q", len(entries)))
        for tag, kind, number, value in entries:
            file.write(struct.pack("<HHQQ", tag, kind, number, value))
        file.write(struct.pack("<Q", 0))
        file.write((data + np.arange(count, dtype="<u8") * nbytes).tobytes())
        file.write(np.full(count, nbytes, "<u8").tobytes())
        file.truncate(data + count * nbytes)
    return count


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
    write_json(scan_file(path), os.fspath(out))


def tifffiles(path: Path, out: Path) -> None:
    with tifffile.TiffFile(path) as file, file.series[0].aszarr() as store:
        store.write_fsspec(os.fspath(out), url=f"file://{path.parent}/")


def virtual_tiffs(path: Path, out: Path) -> None:
    from obspec_utils.registry import ObjectStoreRegistry
    from obstore.store import LocalStore
    from virtual_tiff import VirtualTIFF
    from virtualizarr import open_virtual_dataset

    registry = ObjectStoreRegistry({"file://": LocalStore()})
    dataset = open_virtual_dataset(f"file://{path}", registry=registry, parser=VirtualTIFF(ifd=0))
    dataset.virtualize.to_kerchunk(os.fspath(out), format="json")


def ranges_of(out: Path) -> list[list[int]]:
    """Return the byte ranges of a written document, sorted."""
    references = json.loads(out.read_text())
    references = references.get("refs", references)
    return sorted(value[1:] for value in references.values() if isinstance(value, list))


def beside(name: str, peer: Callable[[Path, Path], None], path: Path, folder: Path) -> bool:
    """Print our time, the peer's and the ratio; return whether the target was met."""
    mine, theirs = folder / "refmaker.json", folder / "peer.json"
    written = best(lambda: ours(path, mine), 3)
    seconds = best(lambda: peer(path, theirs), 1)
    ratio = seconds / written
    same = ranges_of(mine) == ranges_of(theirs)
    print(f"scan to JSON       {written * 1e3:9.2f} ms   {mine.stat().st_size} bytes")
    print(f"{name:<18} {seconds * 1e3:9.2f} ms   {theirs.stat().st_size} bytes")
    print(f"ratio              {ratio:9.1f}      the same ranges: {same}")
    return same and ratio >= TIMES_FASTER[name]


def run(tiles: int) -> bool:
    """Print a line per measurement; return whether every target was met."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "many.tif"
        count = make_file(path, tiles)
        memory = scan_file(path).root.arrays["data"].manifest.memory_nbytes
        print(f"{count} tiles, {path.stat().st_size} bytes")
        print(f"scan to manifest   {best(lambda: scan_file(path), 5) * 1e3:9.2f} ms   {memory} bytes of columns")
        met = beside("tifffile", tifffiles, path, folder)
        if importlib.util.find_spec("virtual_tiff") is None:
            print("virtual-tiff is not installed: no ratio")
            return met
        path = folder / "fewer.tif"
        print(f"{make_file(path, tiles // 10)} tiles")
        return beside("virtual-tiff", virtual_tiffs, path, folder) and met


def main() -> int:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiles", type=int, default=1_000_000)
    return 0 if run(parser.parse_args().tiles) else 1


if __name__ == "__main__":
    sys.exit(main())
