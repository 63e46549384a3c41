"""Every public file at hand, scanned where it lies and over HTTP; skipped where they are not."""

import csv
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import refmaker
from tests.remote_server import RemoteServer, serving
from tests.scanners.comparing_remote import both, scanned
from tests.scanners.hdf5.walking import without_luck

CORPUS = Path(os.environ.get("REFMAKER_CORPUS", Path(__file__).parents[3] / "shared" / "corpus")).resolve()
MANIFEST = CORPUS / "MANIFEST.tsv"
pytestmark = pytest.mark.skipif(not MANIFEST.exists(), reason="no corpus of public files: set REFMAKER_CORPUS")

NOT_ALIKE = {
    "cve-2024-32606.h5": "a missing linked file is missing in other words",
    "test_byteshuffle_compressed_datasets_latest.hdf5": "HDF5 itself refuses it only as a local file: marked as open",
}

UNFORESEEN = {"hdf5_mali_chunk2.h5": "chunks that skipped filters ambiguously are read, to be stored decoded"}


def rows() -> list[dict[str, str]]:
    with MANIFEST.open(newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


@pytest.fixture(scope="module")
def server() -> Iterator[RemoteServer]:
    with serving(CORPUS) as server:
        yield server


@pytest.mark.slow
def test_every_file_gives_the_same_remotely(server: RemoteServer, record_property: Any) -> None:
    different = []
    for row in rows():
        local, remote = both(CORPUS / row["path"], server)
        if local != remote and Path(row["path"]).name not in NOT_ALIKE:
            different.append(row["path"])
    record_property("files", len(rows()))
    assert different == []


@pytest.mark.parametrize(
    ("formats", "block"),
    [
        ({"hdf5", "netcdf4"}, 512),
        ({"hdf5", "netcdf4"}, 64 << 10),
        ({"tiff", "bigtiff", "cog", "cog+bigtiff", "geotiff", "geotiff+bigtiff", "ome-tiff"}, 64 << 10),
        ({"netcdf3-64bit", "netcdf3-cdf5", "netcdf3-classic"}, 64 << 10),
    ],
    ids=["hdf5-512", "hdf5", "tiff", "netcdf3"],
)
def test_files_are_walked_without_a_miss(
    formats: set[str], block: int, server: RemoteServer, monkeypatch: pytest.MonkeyPatch, record_property: Any
) -> None:
    """Also where nothing is fetched whole, and where only 512 bytes are fetched of what nobody wished for."""
    without_luck(monkeypatch, block)
    cost: Counter[str] = Counter()
    missed = []
    for row in rows():
        if row["format"] in formats and not row["malformed_why"]:
            result = scanned(f"{server.url}/{row['path']}")
            if isinstance(result, refmaker.ReferenceSet):
                cost["files"] += 1
                cost["bytes"] += result.report.bytes_read or 0
                cost["rounds"] = max(cost["rounds"], result.report.rounds or 0)
                if result.report.misses and Path(row["path"]).name not in UNFORESEEN:
                    missed.append((row["path"], result.report.misses))
    record_property("cost", dict(cost))
    assert cost["files"] > 50
    assert missed == []
