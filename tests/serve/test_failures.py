"""A chunk that the references promise comes in full or raises, and never becomes a fill value."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import h5py
import numpy as np
import pytest
import xarray as xr
import zarr

from refmaker import scan
from refmaker.errors import ChunkReadError, StaleSourceError
from refmaker.references import write_references
from tests.servers import Faults
from tests.virtual import assert_is_inner, assert_is_sample, sample


@pytest.fixture
def refs(tmp_path: Path) -> Path:
    path = tmp_path / "refs.json"
    write_references(sample(tmp_path), path)
    return path


def remove(path: Path) -> None:
    path.unlink()


def truncate(path: Path) -> None:
    os.truncate(path, 20)


def empty(path: Path) -> None:
    os.truncate(path, 0)


def replace_by_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def forbid(path: Path) -> None:
    path.unlink()
    path.symlink_to(path)  # even root cannot follow a loop


DAMAGE = [remove, truncate, empty, replace_by_directory, forbid]


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_local_file_that_fails_is_an_error(damage: Callable[[Path], None], refs: Path) -> None:
    data = refs.parent / "data é.bin"
    whole = data.stat().st_size
    damage(data)
    for read in readers(str(refs)):
        with pytest.raises((ChunkReadError, StaleSourceError)) as caught:
            read()
        message = str(caught.value)
        assert "air/" in message  # whichever chunk came first
        assert str(data) in message
        assert isinstance(caught.value, StaleSourceError) == (damage in {truncate, empty})
        if caught.value.offset is not None:
            assert 0 < caught.value.offset < whole
    fs = fsspec.filesystem("refmaker", fo=str(refs))
    assert fs.cat_file("number/0")  # inlined
    for on_error in ("raise", "omit"):
        with pytest.raises((ChunkReadError, StaleSourceError)):
            fs.cat(["number/0", "air/0.0.0"], on_error=on_error)


def readers(refs: str) -> list[Callable[[], Any]]:
    return [
        lambda: xr.open_zarr(f"refmaker://{refs}", chunks=None, drop_variables=["time"]).air.values,
        lambda: xr.open_dataset(refs, engine="refmaker", drop_variables=["time"]).air.values,
        lambda: zarr.open_group(f"refmaker://{refs}", mode="r")["air"][...],
        lambda: fsspec.filesystem("refmaker", fo=refs).cat_file("air/0.0.0"),
        lambda: fsspec.get_mapper("refmaker://", fo=refs)["air/0.0.0"],
    ]


@pytest.fixture
def remote(tmp_path: Path, served: Faults) -> str:
    """Return the URL of references to data on an HTTP server."""
    references = sample(tmp_path, f"{served.url}/data.bin")
    shutil.copy(tmp_path / "data é.bin", served.folder / "data.bin")
    write_references(references, served.folder / "refs.json", relative_to=served.url)
    assert '"data.bin"' in (served.folder / "refs.json").read_text()
    return f"{served.url}/refs.json"


def test_http_works_without_any_option(remote: str) -> None:
    assert_is_sample(xr.open_zarr(f"refmaker::{remote}", chunks=None))
    assert_is_sample(xr.open_zarr(f"refmaker://{remote}", chunks=None))
    assert_is_inner(xr.open_dataset(remote, engine="refmaker", group="inner"))
    assert fsspec.filesystem("refmaker", fo=remote).cat_file("number/0")
    assert fsspec.filesystem("refmaker", fo=remote).cat_file("air/0.0.0")
    assert_is_sample(xr.open_zarr(fsspec.get_mapper("refmaker://", fo=remote), chunks=None))
    assert_is_sample(xr.open_zarr(f"refmaker::{remote}").compute(scheduler="threads"))


@pytest.mark.parametrize("how", ["local", "local://"])
@pytest.mark.parametrize("kept", [True, False])
def test_a_source_that_changes_while_references_are_open_is_noticed(how: str, kept: bool, tmp_path: Path) -> None:
    """By who goes on reading, where the file was written in place; by who opens the references again, always."""
    source = tmp_path / "a.h5"
    with h5py.File(source, "w") as file:
        file.create_dataset("a", data=np.arange(6.0), chunks=(2,))
    references = scan(str(source) if how == "local" else f"local://{source}")
    path = tmp_path / "refs.json"
    write_references(references, path)
    first = xr.open_dataset(path, engine="refmaker")
    assert first["a"][:2].values.tolist() == [0, 1]
    if kept:
        with h5py.File(source, "r+") as file:
            file["a"][2:] = -1
    else:
        other = tmp_path / "b.h5"
        shutil.copy(source, other)
        with h5py.File(other, "r+") as file:
            file["a"][2:] = -1
        other.replace(source)
    os.utime(source, (0, source.stat().st_mtime + 100))
    if kept and how == "local":
        with pytest.raises(StaleSourceError):
            first["a"][2:].load()
    with pytest.raises(StaleSourceError):
        xr.open_dataset(path, engine="refmaker")["a"][2:].load()
