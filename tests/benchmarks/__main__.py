"""Every benchmark, one Markdown table: ``python -m tests.benchmarks [--only NAME] [--quick]``.

Each module of this folder runs by itself too, and says what it measures. They run one after the other, each in a
process of its own. ``--quick`` makes the work small: it shows that all runs, and its times mean little.
"""

import argparse
import os
import platform
import re
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tests.benchmarks.table import (
    HEAD,
    Reader,
    lines,
    markdown,
    read_chunk_index,
    read_plain,
    read_serving,
    read_table,
)


@dataclass(frozen=True)
class Benchmark:
    """A module, how it is asked for less, and how what it prints is read."""

    module: str
    read: Reader
    quick: tuple[str, ...]
    full: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The module's name, and which of its parts."""
        return " ".join((self.module, *(word for word in self.full if not word.startswith("-"))))


BENCHMARKS = (
    Benchmark("chunk_index", read_chunk_index, ("--grid", "100")),
    Benchmark("hdf5_scan", read_table, ("--only", "datasets", "--runs", "1")),
    Benchmark("netcdf3", read_plain, ("--variables", "5", "--records", "2000")),
    Benchmark("tiff", read_plain, ("--tiles", "10000")),
    Benchmark("remote", read_table, ("--only", "grow-small", "--latency", "0.01", "--runs", "1")),
    Benchmark("combine", read_table, ("--only", "concat", "--runs", "1")),
    Benchmark("references", read_table, ("--chunks", "10000", "--runs", "1")),
    Benchmark("serving", read_serving, ("--only", "mid", "--steps", "40", "--rounds", "1")),
    Benchmark("batch", read_table, ("beside", "--files", "20"), ("beside",)),
)
PACKAGES = (
    *("numpy", "h5py", "netCDF4", "tifffile", "pyarrow", "zarr", "xarray", "fsspec", "dask"),
    *("kerchunk", "virtualizarr", "virtual-tiff", "h5netcdf", "scipy"),
)
PRIVATE = re.compile(r"(?:file://)?(?:/[\w.+-]+){2,}")
"""Paths, which say more of a machine than anybody needs to know."""


def machine() -> str:
    """Return the processor, memory and system in a line."""
    info = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*:\s*(.+)", info.read_text()) if info.exists() else []
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    processor = names[0] if names else platform.machine()
    return f"{processor}, {os.cpu_count()} cores, {memory:.0f} GB; {platform.system()} {platform.release()}"


def versions() -> str:
    """Return the versions of everything that is measured; peers that are not installed are named as such."""
    import h5py

    from refmaker import __version__

    told = [f"refmaker {__version__}", f"Python {platform.python_version()}", f"HDF5 {h5py.version.hdf5_version}"]
    for package in PACKAGES:
        try:
            told.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            told.append(f"{package} not installed")
    return ", ".join(told)


def run(benchmark: Benchmark, *, quick: bool) -> tuple[list[str], str]:
    """Run a module; return the table's lines and what is to be said of how it ended."""
    command = [sys.executable, "-m", f"tests.benchmarks.{benchmark.module}"]
    command += benchmark.quick if quick else benchmark.full
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    printed = [PRIVATE.sub("…", line) for line in done.stdout.splitlines()]
    found = list(lines(benchmark.name, printed, benchmark.read))
    if done.returncode == 0:
        return found, ""
    if found and done.returncode == 1 and not done.stderr.rstrip().endswith("Error") and "Traceback" not in done.stderr:
        return found, f"{benchmark.name}: a target was missed"
    last = PRIVATE.sub("…", (done.stderr.strip().splitlines() or ["nothing said"])[-1])
    return found, f"{benchmark.name}: ended with {done.returncode}: {last}"


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="benchmarks whose name starts so")
    parser.add_argument("--quick", action="store_true", help="little work, to see that all runs")
    options = parser.parse_args()
    chosen = [one for one in BENCHMARKS if one.name.startswith(options.only)]
    if not chosen:
        parser.error(f"no benchmark is called {options.only!r}; there are {', '.join(b.name for b in BENCHMARKS)}")
    print(f"{machine()}\n\n{versions()}\n\n{markdown(HEAD)}\n{markdown(['---'] * len(HEAD))}", flush=True)
    remarks = []
    for benchmark in chosen:
        found, remark = run(benchmark, quick=options.quick)
        print(*found, sep="\n", end="\n" if found else "", flush=True)
        remarks += [remark] if remark else []
    for remark in remarks:
        print(f"\n{remark}")
    return 1 if remarks else 0


if __name__ == "__main__":
    sys.exit(main())
