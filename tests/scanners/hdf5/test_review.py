"""What a review found to be wrong in silence: each case as small as it gets, compared with h5py."""

import zlib
from itertools import product
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import xarray as xr
from h5py import h5d, h5p, h5s, h5t

from refmaker import UnsupportedError, scan, write_references
from refmaker.model.attributes import attribute_json
from tests.scanners.hdf5.comparing import Case, check, outcomes, through_references

CHUNK = 256


def incompressible() -> tuple[bytes, bytes]:
    """Return (bytes, their deflated form of exactly as many bytes)."""
    random = np.random.default_rng(0)
    for zeros, level in product(range(CHUNK), (1, 6, 9)):
        raw = random.integers(0, 256, CHUNK, np.uint8)
        raw[:zeros] = 0
        packed = zlib.compress(raw.tobytes(), level)
        if len(packed) == CHUNK:
            return raw.tobytes(), packed
    raise AssertionError("no such bytes")


def shuffled(values: Any) -> bytes:
    return bytes(values.view(np.uint8).reshape(-1, 4).T.tobytes())


def never_written_compound(file: h5py.File) -> None:
    file.create_dataset("d", (4,), [("a", "i4"), ("s", "S3")], chunks=(2,))


def half_written_moments(file: h5py.File) -> None:
    moments = file.create_dataset("d", (4,), h5py.opaque_dtype(np.dtype("M8[s]")), chunks=(2,))
    moments[:2] = np.array([1, 2], "M8[s]").astype(h5py.opaque_dtype(np.dtype("M8[s]")))


def each_chunk_skips_another_filter(file: h5py.File) -> None:
    data = file.create_dataset("d", (128,), "i4", chunks=(64,), shuffle=True, compression="gzip")
    data.id.write_direct_chunk((0,), incompressible()[1], filter_mask=1)
    data.id.write_direct_chunk((64,), shuffled(np.arange(64, dtype="i4")), filter_mask=2)


def most_chunks_skip_all_filters(file: h5py.File) -> None:
    values = np.arange(64, dtype="i4") * 12345
    data = file.create_dataset("d", (256,), "i4", chunks=(64,), shuffle=True, compression="gzip")
    for chunk in (0, 64):
        data.id.write_direct_chunk((chunk,), values.tobytes(), filter_mask=3)
    data.id.write_direct_chunk((128,), shuffled(values), filter_mask=2)
    data[192:] = values


def wide_boolean(file: h5py.File) -> None:
    kind = h5t.enum_create(h5t.STD_I16LE)
    kind.enum_insert(b"FALSE", 0)
    kind.enum_insert(b"TRUE", 1)
    data = h5d.create(file.id, b"d", kind, h5s.create_simple((3,)))
    data.write(h5s.ALL, h5s.ALL, np.array([0, 1, 1], "i2"), kind)


def lzf_behind_deflate(file: h5py.File) -> None:
    properties = h5p.create(h5p.DATASET_CREATE)
    properties.set_chunk((1000,))
    properties.set_deflate(1)
    properties.set_filter(32000, 1, ())
    h5py.Dataset(h5d.create(file.id, b"d", h5t.NATIVE_INT32, h5s.create_simple((1000,)), properties))[:] = 7


CASES = [
    Case("strings of a compound that was never written", never_written_compound),
    Case("moments that were never written", half_written_moments),
    Case(
        "each chunk skips another filter",
        each_chunk_skips_another_filter,
        needs=("refmaker_optional",),
        notes=("filter-mask",),
    ),
    Case("most chunks skip all filters", most_chunks_skip_all_filters, notes=("filter-mask",)),
    Case("lzf behind deflate", lzf_behind_deflate, {"d": "skipped: filter"}),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_it_reads_as_h5py_reads_it(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)


def test_a_wide_boolean_is_an_enumeration(tmp_path: Path) -> None:
    path = tmp_path / "wide.h5"
    with h5py.File(path, "w") as file:
        wide_boolean(file)
    references = scan(str(path))
    array = references.root.arrays["d"].metadata
    assert (array.data_type, array.attributes["flag_meanings"]) == (np.dtype("<i2"), "FALSE TRUE")
    np.testing.assert_array_equal(through_references(references)["d"], [0, 1, 1])


def test_names_that_read_alike_are_not_mixed_up(tmp_path: Path) -> None:
    path = tmp_path / "names.h5"
    with h5py.File(path, "w") as file:
        for raw, value in ((b"c\xe9", 1), ("cé".encode(), 2)):
            space = h5s.create_simple((3,))
            data = h5d.create(file.id, raw, h5t.NATIVE_INT32, space)
            data.write(h5s.ALL, h5s.ALL, np.full(3, value, "i4"))
            h5py.h5a.create(file.id, raw, h5t.NATIVE_INT32, h5s.create(h5s.SCALAR)).write(np.array(value, "i4"))
    references = scan(str(path), on_unsupported="skip")
    assert sorted((d.state, d.code) for d in references.report.datasets) == [("referenced", ""), ("skipped", "name")]
    np.testing.assert_array_equal(through_references(references)["cé"], [2, 2, 2])
    assert references.root.attributes == {"cé": 2}
    assert any("reads like another attribute's name" in note.sentence for note in references.report.notes)


def two_files(folder: Path) -> None:
    with h5py.File(folder / "other.h5", "w") as other:
        other["b"] = np.arange(5)
    with h5py.File(folder / "d.h5", "w") as file:
        file["a"] = np.arange(3)
        file["b"] = h5py.ExternalLink("other.h5", "/b")


def a_link_into_another_group(folder: Path) -> None:
    with h5py.File(folder / "d.h5", "w") as file:
        for group, n in (("g1", 3), ("g2", 5)):
            for name in "xv":
                file[f"{group}/{name}"] = np.arange(n)
            file[f"{group}/x"].make_scale()
            file[f"{group}/v"].dims[0].attach_scale(file[f"{group}/x"])
        file["g2/w"] = file["g1/v"]


def a_scalar_scale(folder: Path) -> None:
    with h5py.File(folder / "d.h5", "w") as file:
        file["s"] = 1.0
        file["s"].make_scale()
        file["t"] = np.arange(1)
        file["t"].dims[0].attach_scale(file["s"])


@pytest.mark.parametrize("make", [two_files, a_link_into_another_group, a_scalar_scale])
def test_a_group_has_one_length_for_each_dimension(make: Any, tmp_path: Path) -> None:
    make(tmp_path)
    references = scan(str(tmp_path / "d.h5"))
    document = tmp_path / "d.json"
    write_references(references, document)
    for group in ("", *references.root.groups):
        with xr.open_zarr(f"refmaker://{document}", group=group) as opened:
            opened.load()
    assert {note.code for note in references.report.notes} == {"dimension"}


def test_regions_are_told_to_be_lost(tmp_path: Path) -> None:
    path = tmp_path / "regions.h5"
    with h5py.File(path, "w") as file:
        file["target"] = np.arange(5)
        regions = file.create_dataset("regions", (1,), h5py.regionref_dtype)
        regions[0] = file["target"].regionref[1:3]
        file.attrs["region"] = file["target"].regionref[0:2]
    references = scan(str(path))
    told = {note.path: note.sentence for note in references.report.notes}
    assert told["regions"] == "of references to regions only the objects are kept, not the regions"
    assert "'region' dropped" in told["/"]


def test_an_external_file_that_could_be_two_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("here", "there"):
        (tmp_path / folder).mkdir()
        np.arange(10, dtype="i4").tofile(tmp_path / folder / "raw.bin")
    with h5py.File(tmp_path / "there" / "d.h5", "w") as file:
        file.create_dataset("d", (10,), "i4", external=[("raw.bin", 0, 40)])
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(UnsupportedError, match="which is meant"):
        scan(str(tmp_path / "there" / "d.h5"))
    monkeypatch.chdir(tmp_path)
    assert outcomes(scan(str(tmp_path / "there" / "d.h5"))) == {"d": "linked"}


def test_moments_are_iso_text_and_durations_have_none() -> None:
    assert attribute_json(np.array(["2020-01-01T00:00:00"], "M8[ns]")) == "2020-01-01T00:00:00.000000000"
    with pytest.raises(UnsupportedError):
        attribute_json(np.timedelta64(1, "ns"))


def test_a_users_own_class_attribute_stays(tmp_path: Path) -> None:
    path = tmp_path / "class.h5"
    with h5py.File(path, "w") as file:
        file.attrs["CLASS"] = np.array(["a", "b"], "S2")
    assert scan(str(path)).root.attributes == {"CLASS": ["a", "b"]}
