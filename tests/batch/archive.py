"""A small archive to index: good files, files broken in many ways, and files that do harm to whoever reads them."""

import os
from collections.abc import Callable
from pathlib import Path

import h5py
import netCDF4
import numpy as np

STEPS, LATITUDES, LONGITUDES = 2, 6, 8
"""Of one file."""


def values_of(number: int) -> np.ndarray:
    """Return the data of a good file."""
    size = STEPS * LATITUDES * LONGITUDES
    return (np.arange(size, dtype="f4") + 1000 * number).reshape(STEPS, LATITUDES, LONGITUDES)


def write_good(path: Path, number: int) -> None:
    """Write a NetCDF-4 file with two steps of one variable."""
    with netCDF4.Dataset(path, "w") as file:
        for name, size in (("time", None), ("lat", LATITUDES), ("lon", LONGITUDES)):
            file.createDimension(name, size)
        time = file.createVariable("time", "f8", ("time",))
        time.units = "days since 2000-01-01"
        file.createVariable("lat", "f8", ("lat",))[:] = np.linspace(-50, 50, LATITUDES)
        file.createVariable("lon", "f8", ("lon",))[:] = np.linspace(0, 100, LONGITUDES)
        data = file.createVariable(
            "tas", "f4", ("time", "lat", "lon"), zlib=True, chunksizes=(1, LATITUDES, LONGITUDES)
        )
        data.units = "K"
        data[:] = values_of(number)
        time[:] = STEPS * number + np.arange(STEPS)


def archive(folder: Path, count: int, first: int = 0) -> None:
    """Write good files ``00000.nc``, ``00001.nc``, ..."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(first, first + count):
        write_good(folder / f"{number:05d}.nc", number)


# -- broken files ------------------------------------------------------------------------------------------------------
def _truncated(path: Path) -> None:
    write_good(path, 0)
    os.truncate(path, path.stat().st_size // 3)


def _overwritten(path: Path) -> None:
    """Damage the root group's object header."""
    write_good(path, 0)
    data = bytearray(path.read_bytes())
    data[48:400] = b"\xa5" * 352
    path.write_bytes(data)


def _ragged(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["null"] = h5py.Empty("<f4")


def _text(content: bytes) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        path.write_bytes(content)

    return write


def _dangling(path: Path) -> None:
    path.symlink_to(path.with_name("nothing-is-here"))


BROKEN: dict[str, tuple[Callable[[Path], None], set[str]]] = {
    "empty": (_text(b""), {"BrokenFileError"}),
    "html": (_text(b"<html>404 Not Found</html>"), {"BrokenFileError"}),
    "signature": (_text(b"\x89HDF\r\n\x1a\n" + bytes(40)), {"BrokenFileError", "TruncatedFileError"}),
    "classic": (_text(b"CDF\x01\0\0"), {"TruncatedFileError"}),
    "truncated": (_truncated, {"TruncatedFileError", "BrokenFileError"}),
    "overwritten": (_overwritten, {"BrokenFileError", "TruncatedFileError"}),
    "ragged": (_ragged, {"UnsupportedError"}),
    "dangling": (_dangling, {"SourceError"}),
    "bug": (_text(b"TROUBLE:bug"), {"internal"}),
    "abort": (_text(b"TROUBLE:abort"), {"crashed"}),
    "segfault": (_text(b"TROUBLE:segfault"), {"crashed"}),
    "hang": (_text(b"TROUBLE:hang"), {"timeout"}),
    "memory": (_text(b"TROUBLE:memory"), {"memory"}),
}
"""Kind of file -> what writes it, and the kinds of failure that are right for it."""
NETCDF_ONLY = [kind for kind in BROKEN if kind not in {"bug", "abort", "segfault", "hang", "memory"}]


def write_broken(folder: Path, kinds: list[str] | None = None) -> dict[str, str]:
    """Write a file of each kind between the good ones; return URL -> kind."""
    found = {}
    for place, kind in enumerate(kinds or list(BROKEN)):
        path = folder / f"{place * 3:05d}-{kind}.nc"
        BROKEN[kind][0](path)
        found[f"file://{path}"] = kind
    return found


# -- a scanner that does harm ------------------------------------------------------------------------------------------
PLUGIN = """
import ctypes, os, signal, time
from refmaker.scanners.registry import Scanner

def scan(file, options):
    what = file.source.read(8, file.source.size - 8).decode()
    if what == "abort":
        os.abort()
    if what == "segfault":
        ctypes.string_at(0)
    if what == "hang":
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        ctypes.PyDLL(None).sleep(1000)  # with the GIL held
    if what == "memory":
        kept = [bytearray(1 << 24) for _ in range(1000)]
    if what.startswith("once:") and not os.path.exists(what[5:]):
        open(what[5:], "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
    raise ZeroDivisionError("nobody foresaw this")

SCANNER = Scanner("trouble", lambda head, source: head.startswith(b"TROUBLE:"), "trouble_scanner:scan")
"""


def install_plugin(folder: Path) -> None:
    """Make a distribution that registers the scanner for files that begin with ``TROUBLE:``."""
    (folder / "trouble_scanner.py").write_text(PLUGIN)
    info = folder / "trouble-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: trouble\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[refmaker.scanners]\ntrouble = trouble_scanner:SCANNER\n")
