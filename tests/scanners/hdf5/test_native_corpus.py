"""The native chunk index against libhdf5's, on every chunked dataset of the public files at hand."""

import csv
import os
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import h5py
import pytest

from tests.scanners.hdf5.native import assert_same_index

CORPUS = Path(os.environ.get("REFMAKER_CORPUS", Path(__file__).parents[4] / "shared" / "corpus"))
MANIFEST = CORPUS / "MANIFEST.tsv"
FORMATS = {"hdf5", "netcdf4"}


def corpus_files() -> list[Path]:
    """Return the files that are not malformed."""
    with MANIFEST.open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    return [CORPUS / row["path"] for row in rows if row["format"] in FORMATS and not row["malformed_why"]]


def chunked_datasets(file: h5py.File) -> list[Any]:
    """Return the chunked datasets whose index libhdf5 reads (``visititems`` stops at the first it cannot)."""
    names: list[str] = []

    def keep(name: str, link: Any) -> None:
        if isinstance(link, h5py.HardLink):
            names.append(name)

    file.visititems_links(keep)
    found = []
    for name in names:
        with suppress(KeyError, OSError, RuntimeError, TypeError, ValueError):
            thing = file[name]
            if isinstance(thing, h5py.Dataset) and thing.chunks is not None:
                thing.id.get_num_chunks()
                found.append(thing)
    return found


@pytest.mark.skipif(not MANIFEST.exists(), reason="no corpus of public files: set REFMAKER_CORPUS")
def test_the_native_index_of_every_corpus_dataset_is_the_one_libhdf5_iterates(record_property: Any) -> None:
    compared: Counter[str] = Counter()
    for path in corpus_files():
        data = path.read_bytes()
        with h5py.File(path) as file:
            for dataset in chunked_datasets(file):
                assert_same_index(data, dataset)
                compared["datasets"] += 1
                compared["chunks"] += dataset.id.get_num_chunks()
            compared["files"] += 1
    record_property("compared", dict(compared))
    assert compared["datasets"]
