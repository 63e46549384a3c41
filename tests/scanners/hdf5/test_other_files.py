"""Data in other files: external storage and virtual datasets, linked through where they lie on chunks."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import pytest
from h5py import h5d, h5p, h5s, h5t

from refmaker import SourceError, UnsupportedError, scan
from tests.scanners.hdf5.comparing import (
    array_of,
    assert_reads_as_h5py,
    outcomes,
    through_h5py,
    through_references,
)

NUMBERS = np.arange(1, 241, dtype="<i4").reshape(12, 20)
ROW = 80
"""Bytes of a row of NUMBERS."""


class Linked(NamedTuple):
    """A file ``main.h5`` with a dataset ``d``, files beside it, what becomes of it, and the codecs it needs."""

    name: str
    make: Callable[[h5py.File, Path], object]
    becomes: str = "linked"
    needs: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.name


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where files are; the working directory too, from where HDF5 looks for external files."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def check(case: Linked, folder: Path) -> Any:
    path = folder / "main.h5"
    with h5py.File(path, "w", libver="latest") as file:
        case.make(file, folder)
    references = scan(str(path), on_unsupported="skip")
    found = {name: state for name, state in outcomes(references).items() if not name.startswith("source")}
    assert found == {"d": case.becomes}, [d.reason for d in references.report.skipped]
    assert sorted({codec for d in references.report.datasets for codec in d.codecs}) == sorted(case.needs)
    assert sorted({note.code for note in references.report.notes}) == sorted(case.notes)
    assert_reads_as_h5py(references, path)
    return references


# -- external storage --------------------------------------------------------------------------------------------------
def external(
    *extents: tuple[str, int, int],
    files: Mapping[str, bytes],
    shape: tuple[int, ...] = (12, 20),
    fill: int | None = None,
    dtype: str = "<i4",
) -> Callable[[h5py.File, Path], object]:
    """Return a maker of a dataset in raw files: (name, offset, bytes) of each extent, and the files' bytes."""

    def make(file: h5py.File, folder: Path) -> None:
        for name, data in files.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(data)
        file.create_dataset("d", shape, dtype, external=list(extents), fillvalue=fill)

    return make


RAW = NUMBERS.tobytes()
ALL = h5py.h5f.UNLIMITED
PAD = ("refmaker_pad",)

EXTERNAL = [
    Linked("one extent", external(("a.raw", 0, ALL), files={"a.raw": RAW})),
    Linked(
        "one extent of a size, from the middle", external(("a.raw", 7, len(RAW)), files={"a.raw": b"heading" + RAW})
    ),
    Linked("in a folder", external(("raw/a.raw", 0, ALL), files={"raw/a.raw": RAW})),
    Linked("big-endian", external(("a.raw", 0, ALL), files={"a.raw": RAW}, dtype=">i4")),
    Linked("of no length", external(("a.raw", 0, ALL), files={"a.raw": b""}, shape=(0, 3)), "referenced"),
    Linked(
        "an extent for every four rows",
        external(
            *((f"{i}.raw", i, 4 * ROW) for i in range(3)),
            files={f"{i}.raw": b"x" * i + RAW[i * 4 * ROW : (i + 1) * 4 * ROW] for i in range(3)},
        ),
    ),
    Linked(
        "a shorter last extent",
        external(("a.raw", 0, 8 * ROW), ("b.raw", 0, ALL), files={"a.raw": RAW[: 8 * ROW], "b.raw": RAW[8 * ROW :]}),
        needs=PAD,
    ),
    Linked(
        "two extents of one file, swapped",
        external(("a.raw", 6 * ROW, 6 * ROW), ("a.raw", 0, 6 * ROW), files={"a.raw": RAW}),
    ),
    Linked("a file too short", external(("a.raw", 0, ALL), files={"a.raw": RAW[:500]}), needs=PAD),
    Linked("an empty file", external(("a.raw", 0, ALL), files={"a.raw": b""}), needs=PAD),
    Linked("an empty file and a fill value", external(("a.raw", 0, ALL), files={"a.raw": b""}, fill=5), needs=PAD),
    Linked(
        "a file too short and a fill value", external(("a.raw", 0, ALL), files={"a.raw": RAW[:9]}, fill=5), needs=PAD
    ),
    Linked(
        "the second of two files empty, and a fill value",
        external(("a.raw", 0, 6 * ROW), ("b.raw", 0, ALL), files={"a.raw": RAW[: 6 * ROW], "b.raw": b""}, fill=5),
        needs=PAD,
    ),
    Linked(
        "extents that end within rows",
        external(("a.raw", 0, 100), ("b.raw", 0, ALL), files={"a.raw": RAW[:100], "b.raw": RAW[100:]}),
        "skipped: external-storage",
    ),
    Linked(
        "extents of uneven lengths",
        external(
            ("a.raw", 0, ROW),
            ("b.raw", 0, 3 * ROW),
            ("c.raw", 0, ALL),
            files={"a.raw": RAW[:ROW], "b.raw": RAW[ROW : 4 * ROW], "c.raw": RAW[4 * ROW :]},
        ),
        "skipped: external-storage",
    ),
]


@pytest.mark.parametrize("case", EXTERNAL, ids=str)
def test_external_storage_reads_as_h5py_reads_it(case: Linked, folder: Path) -> None:
    check(case, folder)


def test_a_missing_external_file_is_refused_by_name(folder: Path) -> None:
    with h5py.File(folder / "main.h5", "w") as file:
        external(("absent.raw", 0, ALL), files={})(file, folder)
    (report,) = scan(str(folder / "main.h5"), on_unsupported="skip").report.skipped
    assert "absent.raw" in report.reason
    with pytest.raises((UnsupportedError, SourceError), match=r"absent\.raw"):
        scan(str(folder / "main.h5"))


def test_external_data_are_cut_as_contiguous_data_are(folder: Path) -> None:
    with h5py.File(folder / "main.h5", "w") as file:
        external(("a.raw", 3, ALL), files={"a.raw": b"???" + RAW})(file, folder)
    references = scan(str(folder / "main.h5"), chunk_bytes=2 * ROW)
    assert array_of(references).metadata.chunk_shape == (2, 20)
    assert_reads_as_h5py(references, folder / "main.h5")


# -- virtual datasets --------------------------------------------------------------------------------------------------
def source(folder: Path, name: str, values: Any = NUMBERS, **options: Any) -> h5py.VirtualSource:
    """Write a source file with a dataset ``data``; return it for a virtual layout."""
    options = {"chunks": (4, 10), "compression": 1} | options
    with h5py.File(folder / name, "w", libver="latest") as file:
        return h5py.VirtualSource(file.create_dataset("data", data=values, **options))


def stacked(file: h5py.File, folder: Path) -> None:
    """Three files, one after the other."""
    layout = h5py.VirtualLayout((36, 20), "<i4")
    for i in range(3):
        layout[12 * i : 12 * i + 12] = source(folder, f"{i}.h5", NUMBERS + 1000 * i)
    file.create_virtual_dataset("d", layout)


def side_by_side(file: h5py.File, folder: Path) -> None:
    layout = h5py.VirtualLayout((12, 40), "<i4")
    for i in range(2):
        layout[:, 20 * i : 20 * i + 20] = source(folder, f"{i}.h5", NUMBERS + 1000 * i)
    file.create_virtual_dataset("d", layout)


def new_axis(file: h5py.File, folder: Path) -> None:
    """Two images as the planes of a cube: the sources have an axis less."""
    layout = h5py.VirtualLayout((2, 12, 20), "<i4")
    for i in range(2):
        layout[i] = source(folder, f"{i}.h5", NUMBERS + 1000 * i)
    file.create_virtual_dataset("d", layout)


def planes(file: h5py.File, folder: Path) -> None:
    layout = h5py.VirtualLayout((2, 12, 20), "<i4")
    for i in range(2):
        layout[i : i + 1] = source(folder, f"{i}.h5", NUMBERS[None] + 1000 * i, chunks=(1, 4, 10))
    file.create_virtual_dataset("d", layout)


def part(rows: slice, into: slice, *, shape: tuple[int, ...] = (12, 20), **options: Any) -> Callable[..., object]:
    """Return a maker of a virtual dataset of some rows of one source; the rest is not mapped."""

    def make(file: h5py.File, folder: Path) -> None:
        layout = h5py.VirtualLayout(shape, "<i4")
        layout[into] = source(folder, "s.h5", **options)[rows]
        file.create_virtual_dataset("d", layout)

    return make


def contiguous(file: h5py.File, folder: Path) -> None:
    layout = h5py.VirtualLayout((24, 20), "<i4")
    for i in range(2):
        layout[12 * i : 12 * i + 12] = source(folder, f"{i}.h5", NUMBERS + i, chunks=None, compression=None)
    file.create_virtual_dataset("d", layout)


def in_the_same_file(file: h5py.File, folder: Path) -> None:
    file.create_dataset("source", data=NUMBERS, chunks=(4, 10))
    layout = h5py.VirtualLayout((24, 20), "<i4")
    layout[:12] = layout[12:] = h5py.VirtualSource(file["source"])
    file.create_virtual_dataset("d", layout)


def missing_file(file: h5py.File, folder: Path) -> None:
    stacked(file, folder)
    (folder / "1.h5").unlink()


def missing_file_and_fill(file: h5py.File, folder: Path) -> None:
    layout = h5py.VirtualLayout((24, 20), "<i4")
    for i in range(2):
        layout[12 * i : 12 * i + 12] = source(folder, f"{i}.h5")
    file.create_virtual_dataset("d", layout, fillvalue=-7)
    (folder / "1.h5").unlink()


def all_missing(file: h5py.File, folder: Path) -> None:
    stacked(file, folder)
    for i in range(3):
        (folder / f"{i}.h5").unlink()


def missing_dataset(file: h5py.File, folder: Path) -> None:
    stacked(file, folder)
    with h5py.File(folder / "1.h5", "a") as linked:
        del linked["data"]


def through_links(file: h5py.File, folder: Path) -> None:
    """The source's name leads on into a third file."""
    with h5py.File(folder / "third.h5", "w") as third:
        third["padding"] = np.zeros(9000)
        third.create_dataset("data", data=NUMBERS, chunks=(4, 10))
    with h5py.File(folder / "second.h5", "w") as second:
        second["data"] = h5py.ExternalLink("third.h5", "/data")
        second["padding"] = np.zeros(9000)
    layout = h5py.VirtualLayout((12, 20), "<i4")
    layout[...] = h5py.VirtualSource("second.h5", "data", (12, 20), "<i4")
    file.create_virtual_dataset("d", layout)


def fill_mismatch(file: h5py.File, folder: Path) -> None:
    """A source with a chunk never written, which reads as its own fill value."""
    with h5py.File(folder / "s.h5", "w") as linked:
        linked.create_dataset("data", (12, 20), "<i4", chunks=(4, 10), fillvalue=5)[:4] = NUMBERS[:4]
    layout = h5py.VirtualLayout((12, 20), "<i4")
    layout[...] = h5py.VirtualSource("s.h5", "data", (12, 20), "<i4")
    file.create_virtual_dataset("d", layout, fillvalue=9)


def from_a_stack(file: h5py.File, folder: Path) -> None:
    layout = h5py.VirtualLayout((12, 20), "<i4")
    layout[...] = source(folder, "s.h5", np.stack([NUMBERS, -NUMBERS, NUMBERS + 7]), chunks=(1, 4, 10))[1]
    file.create_virtual_dataset("d", layout)


def from_thick_chunks(file: h5py.File, folder: Path) -> None:
    layout = h5py.VirtualLayout((12, 20), "<i4")
    layout[...] = source(folder, "s.h5", np.stack([NUMBERS, -NUMBERS, NUMBERS + 7]), chunks=(2, 4, 10))[1]
    file.create_virtual_dataset("d", layout)


def interleaved(file: h5py.File, folder: Path) -> None:
    """Detector frames: every third image is in the same file."""
    layout = h5py.VirtualLayout((8, 12, 20), "<i4")
    for i in range(3):
        images = np.stack([NUMBERS + 1000 * i + 100 * k for k in range(len(range(i, 8, 3)))])
        layout[i::3] = source(folder, f"{i}.h5", images, chunks=(1, 12, 20))
    file.create_virtual_dataset("d", layout)


def hyperslab(*numbers: tuple[int, ...]) -> Callable[[h5s.SpaceID], object]:
    start, stride, count, block = numbers
    return lambda space: space.select_hyperslab(start, count, stride, block)


def interleaved_rows(file: h5py.File, folder: Path) -> None:
    for i in range(2):
        source(folder, f"{i}.h5", NUMBERS + 1000 * i, chunks=(2, 10))
    low_level(
        (24, 20),
        (24, 20),
        *(
            (
                hyperslab((2 * i, 0), (4, 1), (6, 1), (2, 20)),
                f"{i}.h5",
                (12, 20),
                hyperslab((0, 0), (1, 1), (1, 1), (12, 20)),
            )
            for i in range(2)
        ),
    )(file)


def gathered(file: h5py.File, folder: Path) -> None:
    source(folder, "s.h5", chunks=(2, 10))
    low_level(
        (6, 20),
        (6, 20),
        (
            hyperslab((0, 0), (1, 1), (1, 1), (6, 20)),
            "s.h5",
            (12, 20),
            hyperslab((2, 0), (4, 1), (3, 1), (2, 20)),
        ),
    )(file)


def swapped(file: h5py.File, folder: Path) -> None:
    layout = h5py.VirtualLayout((12, 20), "<i4")
    linked = source(folder, "s.h5")
    layout[:4], layout[4:12] = linked[8:], linked[:8]
    file.create_virtual_dataset("d", layout)


def printf_of_parts(file: h5py.File, folder: Path) -> None:
    """Of each source only some rows."""
    for i in range(2):
        source(folder, f"part-{i}.h5", NUMBERS + 1000 * i)
    low_level(
        (8, 20),
        (UNLIMITED, 20),
        (
            lambda space: space.select_hyperslab((0, 0), (UNLIMITED, 1), (4, 1), (4, 20)),
            "part-%b.h5",
            (12, 20),
            lambda space: space.select_hyperslab((8, 0), (1, 1), (1, 1), (4, 20)),
        ),
    )(file)


def other_type(file: h5py.File, folder: Path) -> None:
    layout = h5py.VirtualLayout((12, 20), "<f8")
    layout[...] = source(folder, "s.h5")
    file.create_virtual_dataset("d", layout)


def other_chunks(file: h5py.File, folder: Path) -> None:
    layout = h5py.VirtualLayout((24, 20), "<i4")
    layout[:12] = source(folder, "a.h5")
    layout[12:] = source(folder, "b.h5", chunks=(3, 20))
    file.create_virtual_dataset("d", layout)


def strided(file: h5py.File, folder: Path) -> None:
    layout = h5py.VirtualLayout((24, 20), "<i4")
    layout[::2], layout[1::2] = source(folder, "a.h5"), source(folder, "b.h5", -NUMBERS)
    file.create_virtual_dataset("d", layout)


def of_virtual(file: h5py.File, folder: Path) -> None:
    with h5py.File(folder / "middle.h5", "w") as middle:
        layout = h5py.VirtualLayout((12, 20), "<i4")
        layout[...] = source(folder, "s.h5")
        middle.create_virtual_dataset("data", layout)
    layout = h5py.VirtualLayout((12, 20), "<i4")
    layout[...] = h5py.VirtualSource("middle.h5", "data", (12, 20), "<i4")
    file.create_virtual_dataset("d", layout)


def overlapping(file: h5py.File, folder: Path) -> None:
    """The second mapping covers a part of the first."""
    layout = h5py.VirtualLayout((16, 20), "<i4")
    layout[:12] = source(folder, "a.h5")
    layout[4:16] = source(folder, "b.h5", -NUMBERS)
    file.create_virtual_dataset("d", layout)


def short_last_chunk(file: h5py.File, folder: Path) -> None:
    """The last file's last chunk is partial; that of an earlier one would not fit."""
    layout = h5py.VirtualLayout((22, 20), "<i4")
    layout[:12] = source(folder, "a.h5")
    layout[12:] = source(folder, "b.h5", -NUMBERS[:10])
    file.create_virtual_dataset("d", layout)


def large_unaligned(file: h5py.File, folder: Path) -> None:
    values = np.arange(600 * 600, dtype="<i4").reshape(600, 600)
    layout = h5py.VirtualLayout((598, 600), "<i4")
    layout[...] = source(folder, "s.h5", values, chunks=(100, 100))[2:]
    file.create_virtual_dataset("d", layout)


def low_level(
    shape: tuple[int, ...],
    maximum: tuple[int, ...],
    *mappings: tuple[Callable[[h5s.SpaceID], object], str, tuple[int, ...], Callable[[h5s.SpaceID], object]],
) -> Callable[[h5py.File], object]:
    """Return a maker of mappings that h5py's layouts cannot say: unlimited and printf-style ones."""

    def make(file: h5py.File) -> None:
        properties = h5p.create(h5p.DATASET_CREATE)
        for select, name, source_shape, select_source in mappings:
            space = h5s.create_simple(shape, maximum)
            select(space)
            unlimited = tuple(h5s.UNLIMITED for _ in source_shape)
            source_space = h5s.create_simple(source_shape, unlimited)
            select_source(source_space)
            properties.set_virtual(space, name.encode(), b"data", source_space)
        h5d.create(file.id, b"d", h5t.STD_I32LE, h5s.create_simple(shape, maximum), properties)

    return make


UNLIMITED = h5s.UNLIMITED


def printf(file: h5py.File, folder: Path) -> None:
    """``part-%b.h5``: block after block along an unlimited axis; the third file is missing."""
    for i in (0, 1, 3):
        source(folder, f"part-{i}.h5", NUMBERS + 1000 * i)
    low_level(
        (48, 20),
        (UNLIMITED, 20),
        (
            lambda space: space.select_hyperslab((0, 0), (UNLIMITED, 1), (12, 1), (12, 20)),
            "part-%b.h5",
            (12, 20),
            lambda space: space.select_hyperslab((0, 0), (1, 1), (1, 1), (12, 20)),
        ),
    )(file)


def printf_with_percent(file: h5py.File, folder: Path) -> None:
    for i in range(2):
        source(folder, f"100% {i}.h5", NUMBERS + 1000 * i)
    low_level(
        (24, 20),
        (UNLIMITED, 20),
        (
            lambda space: space.select_hyperslab((0, 0), (UNLIMITED, 1), (12, 1), (12, 20)),
            "100%% %b.h5",
            (12, 20),
            lambda space: space.select_hyperslab((0, 0), (1, 1), (1, 1), (12, 20)),
        ),
    )(file)


def unlimited(file: h5py.File, folder: Path) -> None:
    """One source that may grow, mapped along its unlimited axis."""
    source(folder, "s.h5", maxshape=(None, 20))
    low_level(
        (12, 20),
        (UNLIMITED, 20),
        (
            lambda space: space.select_hyperslab((0, 0), (1, 1), (1, 1), (UNLIMITED, 20)),
            "s.h5",
            (12, 20),
            lambda space: space.select_hyperslab((0, 0), (1, 1), (1, 1), (UNLIMITED, 20)),
        ),
    )(file)


INLINED_VDS = {"becomes": "inlined", "notes": ("virtual-dataset",)}
VIRTUAL = [
    Linked("stacked", stacked),
    Linked("side by side", side_by_side),
    Linked("planes of a cube", planes),
    Linked("images as planes", new_axis),
    Linked("planes as images", from_a_stack),
    Linked("planes of thick chunks as images", from_thick_chunks, **INLINED_VDS),
    Linked("interleaved images", interleaved),
    Linked("interleaved pairs of rows", interleaved_rows),
    Linked("two parts of one source, swapped", swapped),
    Linked("rows as blocks of a source with gaps", gathered),
    Linked("whole source", part(slice(0, 12), slice(0, 12))),
    Linked("leading rows of a source", part(slice(0, 8), slice(0, 8), shape=(8, 20))),
    Linked("inner rows of a source", part(slice(4, 8), slice(4, 8), shape=(8, 20))),
    Linked("rows not on chunks", part(slice(1, 9), slice(0, 8), shape=(8, 20)), **INLINED_VDS),
    Linked("rows put beside chunks", part(slice(0, 8), slice(2, 10)), **INLINED_VDS),
    Linked("rows that end within a chunk", part(slice(0, 6), slice(0, 6)), **INLINED_VDS),
    Linked("rows that end within a chunk at the end", part(slice(0, 6), slice(0, 6), shape=(6, 20))),
    Linked("contiguous sources", contiguous),
    Linked("in the same file", in_the_same_file),
    Linked("missing file", missing_file, notes=("missing-source",)),
    Linked("missing file and a fill value", missing_file_and_fill, notes=("fill-value", "missing-source")),
    Linked("all files missing", all_missing, notes=("missing-source",)),
    Linked("missing dataset", missing_dataset, notes=("missing-source",)),
    Linked("through links", through_links),
    Linked("fill values that differ", fill_mismatch, **INLINED_VDS),
    Linked("another type", other_type, **INLINED_VDS),
    Linked("other chunks", other_chunks, **INLINED_VDS),
    Linked("strided", strided, **INLINED_VDS),
    Linked("of a virtual dataset", of_virtual, **INLINED_VDS),
    Linked("overlapping", overlapping),
    Linked("a short last chunk", short_last_chunk),
    Linked("large and unaligned", large_unaligned, "skipped: virtual-dataset"),
    Linked("printf-style names, one file missing", printf),
    Linked("printf-style names with a percent sign", printf_with_percent),
    Linked("printf-style names, a part of each source", printf_of_parts),
    Linked("an unlimited source", unlimited),
]


@pytest.mark.parametrize("case", VIRTUAL, ids=str)
def test_virtual_datasets_read_as_h5py_reads_them(case: Linked, folder: Path) -> None:
    check(case, folder)


def test_virtual_datasets_of_files_in_folders_are_found_beside_the_file(tmp_path: Path) -> None:
    """Whatever the working directory."""
    (tmp_path / "parts").mkdir()
    with h5py.File(tmp_path / "main.h5", "w", libver="latest") as file:
        layout = h5py.VirtualLayout((12, 20), "<i4")
        source(tmp_path / "parts", "s.h5")
        layout[...] = h5py.VirtualSource("parts/s.h5", "data", (12, 20), "<i4")
        file.create_virtual_dataset("d", layout)
    references = scan(str(tmp_path / "main.h5"))
    assert outcomes(references) == {"d": "linked"}
    assert {Path(source.url).name for source in references.sources} == {"main.h5", "s.h5"}
    np.testing.assert_array_equal(through_references(references)["d"], NUMBERS)
    assert through_h5py(tmp_path / "main.h5")["d"].tolist() == NUMBERS.tolist()


@pytest.mark.parametrize("rows", [8, 16, 24])
def test_a_source_that_is_not_as_long_as_it_was_mapped_is_never_guessed(rows: int, folder: Path) -> None:
    """A mapping of all of a source then fits no more, which HDF5 refuses; that of a part takes what there is."""
    with h5py.File(folder / "main.h5", "w", libver="latest") as file:
        stacked(file, folder)
        layout = h5py.VirtualLayout((12, 20), "<i4")
        layout[:8] = h5py.VirtualSource("1.h5", "data", (12, 20), "<i4")[:8]
        file.create_virtual_dataset("part", layout)
    source(folder, "1.h5", np.resize(NUMBERS, (rows, 20)))
    references = scan(str(folder / "main.h5"), on_unsupported="skip")
    assert outcomes(references) == {"d": "skipped: broken", "part": "linked"}
    assert_reads_as_h5py(references, folder / "main.h5")
