"""The cycle collector rests while anybody wants it to."""

import gc
from pathlib import Path

import h5py
import pytest

from refmaker.source.collector import collector_paused
from refmaker.source.location import open_file
from refmaker.verify.native_hdf5 import HDF5


def test_pauses_overlap() -> None:
    assert gc.isenabled()
    one, other = collector_paused(), collector_paused()
    one.__enter__()
    other.__enter__()
    one.__exit__(None, None, None)
    assert not gc.isenabled()
    other.__exit__(None, None, None)
    assert gc.isenabled()


def test_a_collector_that_was_off_stays_off() -> None:
    gc.disable()
    try:
        with collector_paused():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


@pytest.mark.parametrize("store", ["", "local://"])
def test_nothing_is_collected_while_h5py_waits_for_bytes_under_its_lock(store: str, tmp_path: Path) -> None:
    """The thread that fetches what HDF5 waits for must not free h5py's objects; of local files HDF5 waits for none."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = [1, 2]
    opened = open_file(f"{store}{tmp_path / 'a.h5'}")
    native = HDF5(opened)
    assert gc.isenabled() == (store == "")
    native.close()
    assert gc.isenabled()
    opened.source.close()
