"""Every TIFF of the public corpus; skipped where it is not."""

import csv
import os
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile

from refmaker.errors import RefmakerError
from tests.scanners.tiff.reading import array_at, assert_same, outcome, scanned, values_of

CORPUS = Path(os.environ.get("REFMAKER_CORPUS", Path(__file__).parents[4] / "shared" / "corpus"))
MANIFEST = CORPUS / "MANIFEST.tsv"
LARGEST = 32_000_000
"""Bytes of a level beyond which it is not read."""


def listed(malformed: bool) -> list[str]:
    if not MANIFEST.exists():
        return []
    with MANIFEST.open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    kinds = ("tiff", "cog")
    return [
        row["path"]
        for row in rows
        if any(kind in row["format"] for kind in kinds) and bool(row["malformed_why"]) == malformed
    ]


needs_corpus = pytest.mark.skipif(not MANIFEST.exists(), reason=f"no corpus at {CORPUS}")
TRUNCATED = {"bigtiff_header_extract.tif", "noeof.tif"}
"""Files that end before their own structures do, which tifffile reads in part."""


@needs_corpus
@pytest.mark.parametrize("path", listed(malformed=False))
def test_a_public_file_reads_as_tifffile_reads_it(path: str) -> None:
    result = outcome(lambda: scanned(CORPUS / path, on_unsupported="skip"))
    if isinstance(result, RefmakerError):
        assert Path(path).name in TRUNCATED
        return
    states = iter(result.report.datasets)
    with tifffile.TiffFile(CORPUS / path) as file:
        for series in file.series:
            for level in series.levels:
                state = next(states)
                if level.nbytes > LARGEST or state.state == "skipped":
                    continue
                try:
                    want = np.asarray(level.asarray())
                except (ValueError, RuntimeError, NotImplementedError):
                    continue  # tifffile cannot read it
                assert_same(values_of(array_at(result, state.path), result), want.reshape(level.shape), state.path)


@needs_corpus
@pytest.mark.parametrize("path", listed(malformed=True))
def test_a_malformed_file_gives_an_error_or_what_it_holds(path: str) -> None:
    started = time.perf_counter()
    result = outcome(lambda: scanned(CORPUS / path, on_unsupported="skip"))
    assert time.perf_counter() - started < 5
    if isinstance(result, RefmakerError):
        assert path in str(result)
