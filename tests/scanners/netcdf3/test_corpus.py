"""Every NetCDF-3 file of the public corpus; skipped where it is not."""

import csv
import os
from pathlib import Path

import pytest

from refmaker.errors import RefmakerError
from tests.scanners.netcdf3.reading import assert_reads_as_netcdf4_does, outcome, scanned_file, values_of

CORPUS = Path(os.environ.get("REFMAKER_CORPUS", Path(__file__).parents[4] / "shared" / "corpus"))
MANIFEST = CORPUS / "MANIFEST.tsv"


def listed(malformed: bool) -> list[str]:
    if not MANIFEST.exists():
        return []
    with MANIFEST.open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    return [r["path"] for r in rows if r["format"].startswith("netcdf3") and bool(r["malformed_why"]) == malformed]


needs_corpus = pytest.mark.skipif(not MANIFEST.exists(), reason=f"no corpus at {CORPUS}")


@needs_corpus
@pytest.mark.parametrize("chunk_bytes", [None, 1000])
@pytest.mark.parametrize("path", listed(malformed=False))
def test_a_public_file_reads_as_netcdf4_reads_it(path: str, chunk_bytes: int | None) -> None:
    result = assert_reads_as_netcdf4_does(CORPUS / path, chunk_bytes=chunk_bytes)
    assert result.report.requests == 1


@needs_corpus
@pytest.mark.parametrize("path", listed(malformed=True))
def test_a_malformed_file_gives_an_error_or_what_it_holds(path: str) -> None:
    result = outcome(lambda: scanned_file(CORPUS / path))
    if isinstance(result, RefmakerError):
        assert path in str(result)
        return
    data = (CORPUS / path).read_bytes()
    for array in result.root.arrays.values():
        if len(array.manifest):
            values_of(array, data)
