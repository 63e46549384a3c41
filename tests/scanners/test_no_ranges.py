"""A server that ignores byte ranges is noticed while scanning, and told."""

from pathlib import Path

import h5py
import numpy as np
import pytest

import refmaker
from refmaker.errors import OptionError
from tests.remote_server import serving
from tests.samples import OCEAN


@pytest.mark.parametrize(
    ("values", "fault", "expected"),
    [(20_000, "no ranges", ["no-ranges"]), (20_000, "", []), (10, "no ranges", []), (10, "", [])],
)
def test_a_server_without_ranges_is_a_note(values: int, fault: str, expected: list[str], tmp_path: Path) -> None:
    """A whole file in answer to all of its bytes, from a server that says it knows ranges, proves nothing."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = np.arange(float(values))
    with serving(tmp_path) as server:
        server.fault = lambda _: fault
        found = refmaker.scan(f"{server.url}/a.h5")
    assert [note.code for note in found.report.notes if note.code == "no-ranges"] == expected


def test_series_of_a_file_that_has_none_are_refused() -> None:
    with pytest.raises(OptionError, match="series and level are of TIFF files"):
        refmaker.scan(OCEAN, series=(0,))
