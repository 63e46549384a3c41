"""The structure walker wishes for all that a scan reads, in rounds that do not grow with the number of objects."""

import io
import random
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import h5py
import netCDF4
import numpy as np
import pytest
from h5py import h5d, h5p, h5s, h5t

import refmaker
from refmaker.source import rounds
from refmaker.source.policy import MOST_ROUNDS
from tests.samples import LAB, OCEAN, ODD
from tests.scanners.comparing_remote import told
from tests.scanners.hdf5.walking import remotely, rounds_of, without_luck

Write = Callable[[h5py.File], None]


def h5(write: Write, **options: Any) -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w", **options) as file:
        write(file)
    return buffer.getvalue()


def many_old_members(file: h5py.File) -> None:
    for number in range(600):
        file.create_dataset(f"group/member {number}", data=np.zeros(3))


def many_links(file: h5py.File) -> None:
    for number in range(3000):
        file.create_group(f"group/a name that is rather long {number}")


def many_ordered_links(file: h5py.File) -> None:
    group = file.create_group("group", track_order=True)
    for number in range(300):
        group.create_dataset(f"member {number}", data=np.zeros(3))


def many_attributes(file: h5py.File) -> None:
    dataset = file.create_dataset("d", data=np.zeros(3))
    for number in range(300):
        dataset.attrs[f"attribute {number}"] = f"text of variable length {number}" * (number % 5)
    dataset.attrs["large"] = np.arange(7000.0)
    with suppress(OSError, RuntimeError):  # old files hold no attribute of more than 64 kB
        dataset.attrs["huge"] = np.arange(20000.0)


def pointing_attributes(file: h5py.File) -> None:
    text = h5py.string_dtype()
    target = file.create_dataset("target", data=np.arange(10))
    file.attrs["names"] = np.array(["a", "b" * 5000, ""], object)
    file.attrs["ragged"] = np.array([np.arange(3), np.arange(900)], object).astype(h5py.vlen_dtype("i4"))
    compound = np.dtype([("number", "i4"), ("name", text), ("more", text, (2,))])
    file.attrs["compound"] = np.array([(1, "one", ["x", "y"]), (2, "two", ["z", ""])], compound)
    file.attrs["reference"] = target.ref
    file.attrs["region"] = target.regionref[2:5]
    file["type"] = np.dtype([("name", text)])
    file.attrs.create("committed", np.array([("a",)], file["type"].dtype), dtype=file["type"])


def values_to_read(file: h5py.File) -> None:
    text = h5py.string_dtype()
    words = np.array([f"word {number}" for number in range(2000)], object)
    file.create_dataset("contiguous", data=words, dtype=text)
    pipeline = {"compression": "gzip", "shuffle": True}
    file.create_dataset("chunked", data=words, dtype=text, chunks=(300,), **pipeline)
    file.create_dataset("szip", data=words[:50], dtype=text, chunks=(50,))
    file.create_dataset("references", data=[file["chunked"].ref] * 9, dtype=h5py.ref_dtype)
    file.create_dataset("padded", data=np.array([b"ab", b"c"], "S9"), dtype=h5t.py_create(np.dtype("S9")))
    kind = h5t.NATIVE_INT16.copy()
    kind.set_precision(12)
    odd = h5d.create(file.id, b"odd", kind, h5s.create_simple((5,)))
    odd.write(h5s.ALL, h5s.ALL, np.arange(5, dtype="i2"))
    compact = h5p.create(h5p.DATASET_CREATE)
    compact.set_layout(h5d.COMPACT)
    h5d.create(file.id, b"compact", h5py.h5t.py_create(text, logical=True), h5s.create_simple((5,)), compact)
    file["compact"][:] = [f"compact {number}" for number in range(5)]


def every_index(file: h5py.File) -> None:
    for name, shape, maxshape in (
        ("fixed", (500, 4), (500, 4)),
        ("extensible", (500, 4), (None, 4)),
        ("btree", (500, 4), (None, None)),
        ("single", (1, 4), (1, 4)),
    ):
        for filters in ({}, {"compression": "gzip"}):
            data = np.arange(np.prod(shape)).reshape(shape)
            chunks = (1, 4)
            file.create_dataset(f"{name}{len(filters)}", data=data, maxshape=maxshape, chunks=chunks, **filters)


def links_of_all_kinds(file: h5py.File) -> None:
    file["a/b/c"] = np.arange(4)
    file["a/b/back"] = file["a"]
    file["soft"] = h5py.SoftLink("/a/b/c")
    file["nowhere"] = h5py.SoftLink("/nothing")
    file["elsewhere"] = h5py.ExternalLink("nothing.h5", "/x")
    layout = h5py.VirtualLayout((2, 4), "i8")
    layout[0] = h5py.VirtualSource(".", "a/b/c", (4,))
    layout[1] = h5py.VirtualSource(".", "a/b/c", (4,))
    file.create_virtual_dataset("virtual", layout)
    file.create_dataset("external", (4,), "f4", external=[("nothing.raw", 0, 16)])


def deep(file: h5py.File) -> None:
    file["/".join("abcdefgh")] = np.zeros(3)


CASES = [
    pytest.param(write, options, id="-".join([write.__name__, *map(str, options.values())]))
    for write in (
        many_old_members, many_links, many_ordered_links, many_attributes, pointing_attributes, values_to_read,
        every_index, links_of_all_kinds, deep,
    )
    for options in ({}, {"libver": "latest"}, {"userblock_size": 1024})
]  # fmt: skip


@pytest.mark.parametrize(("write", "options"), CASES)
def test_a_scan_reads_nothing_that_was_not_foreseen(
    write: Write, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    data = h5(write, **options)
    (tmp_path / "file.h5").write_bytes(data)
    with monkeypatch.context() as patch:
        without_luck(patch)
        result = remotely(data)
    assert result.report.misses == 0
    local = refmaker.scan(str(tmp_path / "file.h5"), on_unsupported="skip")
    if write is not links_of_all_kinds:  # missing files are missing in other words
        assert told(result, "memory://walking") == told(local, f"file://{tmp_path}")


@pytest.mark.parametrize("path", [OCEAN, LAB, ODD], ids=lambda path: path.name)
def test_samples_are_foreseen(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_luck(monkeypatch)
    assert remotely(path.read_bytes()).report.misses == 0


def netcdf4(variables: int) -> bytes:
    file = netCDF4.Dataset("memory.nc", "w", memory=1)
    file.createDimension("time", None)
    file.createDimension("name", 3)
    file.createVariable("name", str, ("name",))[:] = np.array(["a", "bb", "ccc"], object)
    for number in range(variables):
        variable = file.createVariable(f"v{number}", "f4", ("time", "name"), zlib=True, chunksizes=(1, 3))
        variable[:] = np.zeros((70, 3))
        variable.setncatts({f"attribute {n}": "text" for n in range(12)})
    return bytes(file.close())


def test_rounds_do_not_grow_with_the_number_of_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "BLOCK", 4096)
    monkeypatch.setattr(rounds, "GAP", 0)
    few, many = rounds_of(netcdf4(20)), rounds_of(netcdf4(200))
    assert few <= many <= few + 1  # the tree of links is a level deeper


def test_netcdf4_variables_of_every_kind_are_foreseen(monkeypatch: pytest.MonkeyPatch) -> None:
    without_luck(monkeypatch)
    assert remotely(netcdf4(20)).report.misses == 0


@pytest.mark.parametrize("write", [many_links, many_attributes, pointing_attributes, values_to_read, every_index])
@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_broken_bytes_end_the_walk_in_time(write: Write, libver: str) -> None:
    """Whatever the bytes, the walker raises nothing."""
    good = h5(write, libver=libver)
    chance = random.Random(f"{write.__name__}{libver}")
    places = [at for at in range(len(good)) if good[at]]
    deadline = time.monotonic() + 2
    while time.monotonic() < deadline:
        data = bytearray(good)
        for _ in range(chance.choice([1, 3, 30])):
            data[chance.choice(places)] = chance.choice([0, 1, 0x7F, 0xFF, chance.randrange(256)])
        if chance.random() < 0.2:
            data = data[: chance.randrange(len(data))]
        assert rounds_of(bytes(data)) <= MOST_ROUNDS


def test_a_file_that_points_at_itself_is_walked_once() -> None:
    def write(file: h5py.File) -> None:
        file["a"] = file["/"]
        file.create_group("b")["c"] = file["/"]

    assert rounds_of(h5(write)) <= 4
