"""What a scan may be asked: one group, some datasets, and what to do with those that cannot be expressed."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from refmaker import BrokenFileError, OptionError, SourceError, UnsupportedError, scan
from tests.scanners.hdf5.comparing import outcomes, through_references

PATHS = ("top", "ocean/temp", "ocean/salt", "ocean/deep/temp", "air/temp", "air/wind")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "some.h5"
    with h5py.File(made, "w") as file:
        for number, name in enumerate(PATHS):
            file[name] = np.full(3, number)
        file["ocean"].attrs["title"] = "the sea"
    return made


SELECTIONS: list[tuple[dict[str, Any], tuple[str, ...]]] = [
    ({}, PATHS),
    ({"group": "ocean"}, ("temp", "salt", "deep/temp")),
    ({"group": "/ocean/deep/"}, ("temp",)),
    ({"include": ("top",)}, ("top",)),
    ({"include": ("ocean/*",)}, ("ocean/temp", "ocean/salt", "ocean/deep/temp")),
    ({"include": ("*temp",)}, ("ocean/temp", "ocean/deep/temp", "air/temp")),
    ({"include": ("*/temp", "top")}, ("top", "ocean/temp", "ocean/deep/temp", "air/temp")),
    ({"exclude": ("air/*", "top")}, ("ocean/temp", "ocean/salt", "ocean/deep/temp")),
    ({"include": ("ocean/*",), "exclude": ("*/deep/*",)}, ("ocean/temp", "ocean/salt")),
    ({"include": ("absent",)}, ()),
    ({"group": "ocean", "include": ("deep/*",)}, ("deep/temp",)),
]


@pytest.mark.parametrize(("options", "paths"), SELECTIONS, ids=str)
def test_only_what_is_asked_for_is_scanned(options: dict[str, Any], paths: tuple[str, ...], path: Path) -> None:
    references = scan(str(path), **options)
    assert set(outcomes(references)) == set(paths)
    inside = options.get("group", "").strip("/")
    got = through_references(references)
    assert {name: values[0] for name, values in got.items()} == {
        name: PATHS.index(f"{inside}/{name}" if inside else name) for name in paths
    }


def test_the_group_becomes_the_root(path: Path) -> None:
    assert scan(str(path), group="ocean").root.attributes == {"title": "the sea"}


@pytest.mark.parametrize("group", ["absent", "ocean/absent", "top", "ocean/temp"])
def test_a_group_that_is_not_there_is_a_mistake(group: str, path: Path) -> None:
    with pytest.raises(OptionError, match=f"no group '{group}'"):
        scan(str(path), group=group)


def test_what_is_left_out_is_never_looked_at(path: Path) -> None:
    """Nor can it stop the scan."""
    with h5py.File(path, "a") as file:
        file.create_dataset("ocean/ragged", (2,), h5py.vlen_dtype("i4"))
    with pytest.raises(UnsupportedError):
        scan(str(path))
    assert "ocean/ragged" not in outcomes(scan(str(path), exclude=("*ragged",)))
    assert "ocean/ragged" not in outcomes(scan(str(path), group="air"))


MISTAKES = [{"on_unsupported": "ignore"}, {"chunk_bytes": 0}, {"include": "one"}, {"format": "hdf6"}]


@pytest.mark.parametrize("options", MISTAKES, ids=str)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], path: Path) -> None:
    with pytest.raises(OptionError):
        scan(str(path), **options)


def test_a_file_that_is_not_there_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"absent\.h5"):
        scan(str(tmp_path / "absent.h5"))
    with pytest.raises(SourceError, match="directory"):
        scan(str(tmp_path))
    (tmp_path / "empty.h5").write_bytes(b"")
    with pytest.raises(BrokenFileError, match="empty"):
        scan(str(tmp_path / "empty.h5"))
