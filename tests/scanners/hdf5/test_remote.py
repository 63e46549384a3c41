"""Files in a store: the same references as of a local copy."""

from pathlib import Path
from typing import Any

import fsspec
import h5py
import netCDF4
import numpy as np
import pytest

from refmaker import scan
from refmaker.model.group import walk_arrays
from tests.samples import SAMPLES
from tests.scanners.hdf5.comparing import assert_same, through_references

HDF5 = [path for path in SAMPLES if not path.name.startswith("classic") and path.read_bytes()[1:4] == b"HDF"]


@pytest.fixture
def store() -> Any:
    filesystem = fsspec.filesystem("memory")
    filesystem.pipe("/bucket/keep", b"")
    yield filesystem
    filesystem.rm("/bucket", recursive=True)


def put(store: Any, *paths: Path) -> str:
    for path in paths:
        store.pipe(f"/bucket/{path.name}", path.read_bytes())
    return f"memory://bucket/{paths[0].name}"


def assert_same_references(remote: Any, local: Any) -> None:
    """All but where they are."""
    assert [Path(s.url).name for s in remote.sources] == [Path(s.url).name for s in local.sources]
    assert remote.report.datasets == local.report.datasets
    assert remote.report.notes == local.report.notes
    got, want = dict(walk_arrays(remote.root)), dict(walk_arrays(local.root))
    assert got.keys() == want.keys()
    for path, array in want.items():
        assert repr(got[path].metadata) == repr(array.metadata), path  # a NaN is like no other, but for its name
        assert got[path].manifest == array.manifest, path


@pytest.mark.parametrize("sample", HDF5, ids=lambda path: path.name)
def test_a_remote_file_gives_the_references_of_a_local_one(sample: Path, store: Any) -> None:
    local = scan(str(sample), on_unsupported="skip")
    remote = scan(put(store, sample), on_unsupported="skip")
    assert_same_references(remote, local)
    assert_same(through_references(remote), through_references(local))


def test_linked_files_are_found_in_the_store(store: Any, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other.create_dataset("data", data=np.arange(12), chunks=(4,))
        other["onward"] = h5py.ExternalLink("third.h5", "d")
    with h5py.File(tmp_path / "third.h5", "w") as third:
        third["padding"] = np.zeros(3000)
        third["d"] = np.arange(3)
    (tmp_path / "raw.bin").write_bytes(np.arange(5, dtype="<i4").tobytes())
    with h5py.File(tmp_path / "main.h5", "w", libver="latest") as file:
        file["far"] = h5py.ExternalLink("other.h5", "data")
        file["further"] = h5py.ExternalLink("other.h5", "onward")
        file.create_dataset("raw", (5,), "<i4", external=[("raw.bin", 0, h5py.h5f.UNLIMITED)])
        layout = h5py.VirtualLayout((24,), "<i8")
        layout[:12] = layout[12:] = h5py.VirtualSource("other.h5", "data", (12,), "<i8")
        file.create_virtual_dataset("virtual", layout)
    paths = [tmp_path / name for name in ("main.h5", "other.h5", "third.h5", "raw.bin")]
    remote = scan(put(store, *paths))
    assert_same_references(remote, scan(str(paths[0])))
    assert {source.url.partition("://")[0] for source in remote.sources} == {"memory"}
    got = through_references(remote)
    assert {name: values.tolist() for name, values in got.items()} == {
        "far": list(range(12)),
        "further": [0, 1, 2],
        "raw": list(range(5)),
        "virtual": [*range(12), *range(12)],
    }


@pytest.mark.parametrize("name", ["/etc/hostname", "../../etc/hostname", "file:///etc/hostname"])
def test_a_remote_file_never_links_to_a_local_one(name: str, store: Any, tmp_path: Path) -> None:
    path = tmp_path / "main.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("raw", (5,), "u1", external=[(name, 0, h5py.h5f.UNLIMITED)])
        file["link"] = h5py.ExternalLink(name, "/")
        file["fine"] = 1
    references = scan(put(store, path), on_unsupported="skip")
    assert {source.url for source in references.sources} == {"memory://bucket/main.h5"}
    assert [report.path for report in references.report.skipped] == ["raw"]


def test_variable_length_text_far_away_is_inlined(store: Any, tmp_path: Path) -> None:
    path = tmp_path / "text.nc"
    with netCDF4.Dataset(path, "w") as file:
        file.createDimension("k", 100)
        file.createVariable("words", str, ("k",))[:] = np.array([f"word {i}" for i in range(100)], object)
    got = through_references(scan(put(store, path)))
    assert got["words"].tolist() == [f"word {i}" for i in range(100)]
