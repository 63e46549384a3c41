"""Parquet references behind HTTP: partitions are fetched when chunks are looked up, whichever door asks."""

from collections.abc import Callable
from typing import Any

import fsspec
import pytest
import xarray as xr

from refmaker import ReferenceSet, RefmakerError, VirtualGroup, open_references, write_references
from tests.references.encodings import chunks_of
from tests.servers import Faults
from tests.virtual import assert_is_sample, sample


@pytest.fixture
def published(served: Faults) -> ReferenceSet:
    references = sample(served.folder, f"{served.url}/data.bin")
    (served.folder / "data é.bin").rename(served.folder / "data.bin")
    flat = ReferenceSet(VirtualGroup(references.root.arrays, {}, references.root.attributes), references.sources)
    write_references(flat, served.folder / "x.parq", record_size=3)
    return flat


def test_only_the_partitions_asked_for_are_fetched(served: Faults, published: ReferenceSet) -> None:
    opened = open_references(f"{served.url}/x.parq")
    assert not [path for _, path, _ in served.requests if path.endswith(".parq")]
    assert opened.root.arrays["air"].manifest.lookup(3) == published.root.arrays["air"].manifest.lookup(3)
    assert {path for _, path, _ in served.requests if path.endswith(".parq")} == {"/x.parq/air/refs.1.parq"}
    assert chunks_of(opened) == chunks_of(published)


OPENINGS: dict[str, Callable[[str], Any]] = {
    "refmaker://": lambda url: xr.open_zarr("refmaker://", storage_options={"fo": url}),
    "refmaker::": lambda url: xr.open_zarr(f"refmaker::{url}"),
    "engine": lambda url: xr.open_dataset(url, engine="refmaker"),
}


@pytest.mark.usefixtures("published")
@pytest.mark.parametrize("door", OPENINGS)
def test_every_door_opens_them(door: str, served: Faults) -> None:
    assert_is_sample(OPENINGS[door](f"{served.url}/x.parq"))


@pytest.mark.usefixtures("published")
def test_a_partition_that_is_gone_is_an_error_at_every_door(served: Faults) -> None:
    (served.folder / "x.parq" / "words" / "refs.0.parq").unlink()
    with pytest.raises(RefmakerError, match=r"words/refs\.0\.parq"):
        fsspec.filesystem("refmaker", fo=f"{served.url}/x.parq").cat_file("words/0")
    for opening in OPENINGS.values():
        with pytest.raises(RefmakerError, match=r"words/refs\.0\.parq"):
            opening(f"{served.url}/x.parq")["words"].load()
