"""Where the bytes of a dataset lie: every storage layout reads as h5py reads it."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from h5py import h5d, h5f, h5p, h5s, h5t

from refmaker import BrokenFileError, UnsupportedError, scan
from tests.scanners.hdf5.comparing import Case, array_of, assert_reads_as_h5py, check, made
from tests.scanners.hdf5.native import libhdf5

NUMBERS = np.arange(1, 241, dtype="<i4").reshape(12, 20)
INLINED = {"d": "inlined"}


def dataset(
    shape: tuple[int, ...] = (12, 20),
    *,
    values: Any = NUMBERS,
    chunks: tuple[int, ...] | None = None,
    maxshape: tuple[int | None, ...] | None = None,
    dtype: str = "<i4",
    **options: Any,
) -> Callable[[h5py.File], object]:
    """Return a maker of a dataset ``d``; ``values=None`` writes nothing, ``fillvalue`` comes with the options."""

    def make(file: h5py.File) -> None:
        made = file.create_dataset("d", shape, dtype, chunks=chunks, maxshape=maxshape, **options)
        if values is not None:
            made[...] = np.resize(values, shape)

    return make


def compact(shape: tuple[int, ...], dtype: str = "<i4") -> Callable[[h5py.File], object]:
    """Return a maker of a dataset whose bytes lie in its object header."""

    def make(file: h5py.File) -> None:
        properties = h5p.create(h5p.DATASET_CREATE)
        properties.set_layout(h5d.COMPACT)
        space = h5s.create_simple(shape) if shape else h5s.create(h5s.SCALAR)
        made = h5py.Dataset(h5d.create(file.id, b"d", h5t.py_create(np.dtype(dtype)), space, properties))
        made[...] = np.resize(NUMBERS.astype(dtype), shape)

    return make


def sparse(file: h5py.File) -> None:
    made = file.create_dataset("d", (300, 300), "<f8", chunks=(10, 10), fillvalue=-1.5)
    made[290:, 290:] = 7
    made[50:60, 100:110] = 8


def early(file: h5py.File) -> None:
    """An implicit index: chunks allocated at once, unfiltered."""
    properties = h5p.create(h5p.DATASET_CREATE)
    properties.set_chunk((5, 7))
    properties.set_alloc_time(h5d.ALLOC_TIME_EARLY)
    h5py.Dataset(h5d.create(file.id, b"d", h5t.STD_I32LE, h5s.create_simple((12, 20)), properties))[...] = NUMBERS


def grown(*shapes: tuple[int, ...]) -> Callable[[h5py.File], object]:
    """Return a maker of an unlimited dataset that takes one shape after the other; each adds values."""

    def make(file: h5py.File) -> None:
        made = file.create_dataset("d", shapes[0], "<i4", chunks=(4, 6), maxshape=(None, None), compression=1)
        for shape in shapes:
            made.resize(shape)
            made[...] = np.resize(NUMBERS, shape)

    return make


CASES = [
    Case("compact", compact((3, 4)), INLINED),
    Case("compact of one byte, which JSON could take for a document", compact((), "i1"), INLINED),
    Case("compact of 2,000 bytes", compact((25, 20)), INLINED),
    Case("compact of 60,000 bytes", compact((7500,), "<f8"), INLINED, libver="latest"),
    Case("contiguous", dataset()),
    Case("contiguous, never allocated", dataset(values=None)),
    Case("contiguous, never allocated, with a fill value", dataset(values=None, fillvalue=-9), INLINED),
    Case("scalar", lambda file: file.create_dataset("d", data=np.float32(2.5))),
    Case("scalar never written", dataset((), values=None)),
    Case("scalar never written, with a fill value", dataset((), values=None, fillvalue=5), INLINED),
    Case("of no length", dataset((0,), values=None)),
    Case("of no length along one axis", dataset((3, 0, 2), values=None)),
    Case("chunked, of no length", dataset((0, 4), values=None, chunks=(2, 2), maxshape=(None, 4))),
    Case("chunked", dataset(chunks=(5, 7))),
    Case("chunked, one chunk", dataset(chunks=(12, 20))),
    Case("chunked, one filtered chunk", dataset(chunks=(12, 20), compression=4), libver="latest"),
    Case("chunked, never written", dataset((600, 600), values=None, chunks=(100, 100))),
    Case("chunked, few chunks written", sparse, notes=("fill-value",)),
    Case("chunked, chunks longer than an unlimited axis", dataset(chunks=(50, 20), maxshape=(None, 20))),
    Case("chunks longer than two unlimited axes", dataset((3, 4), chunks=(8, 8), maxshape=(None, None))),
    Case("allocated early", early, libver="latest"),
    Case("allocated early, old structures", early),
    Case("unlimited along axis 0", dataset(chunks=(2, 7), maxshape=(None, 20)), libver="latest"),
    Case("unlimited along axis 1 only", dataset(chunks=(2, 3), maxshape=(12, None)), libver="latest"),
    Case("the same, filtered", dataset(chunks=(2, 3), maxshape=(12, None), compression=1), libver="latest"),
    Case(
        "unlimited along axis 2 of 3",
        dataset((4, 5, 6), chunks=(1, 2, 2), maxshape=(4, 5, None), compression=1),
        libver="latest",
    ),
    Case("unlimited along both axes", dataset(chunks=(2, 3), maxshape=(None, None)), libver="latest"),
    Case("grown", grown((4, 6), (12, 20), (13, 21))),
    Case("grown and shrunk", grown((4, 6), (12, 20), (5, 7)), libver="latest"),
    Case("shrunk to nothing", grown((12, 20), (0, 20)), libver="latest"),
    Case("larger than it will ever be", dataset(chunks=(5, 7), maxshape=(100, 20)), libver="latest"),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_layout_reads_as_h5py_reads_it(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)


# -- the file around them ---------------------------------------------------------------------------------------------
def low_level_file(path: Path, *, userblock: int = 0, sizes: tuple[int, int] = (8, 8), libver: str = "earliest") -> Any:
    """Create a file with properties that h5py.File does not offer."""
    creation, access = h5p.create(h5p.FILE_CREATE), h5p.create(h5p.FILE_ACCESS)
    creation.set_userblock(userblock)
    creation.set_sizes(*sizes)
    versions = {"earliest": h5f.LIBVER_EARLIEST, "v108": h5f.LIBVER_V18, "v110": h5f.LIBVER_V110}
    access.set_libver_bounds(versions.get(libver, h5f.LIBVER_LATEST), h5f.LIBVER_LATEST)
    return h5py.File(h5f.create(os.fsencode(path), h5f.ACC_TRUNC, creation, access))


def some_of_everything(file: h5py.File) -> None:
    """Every layout, and attributes that need reading too."""
    file.attrs["title"] = "all layouts"
    group = file.create_group("group")
    group["contiguous"] = NUMBERS
    for name, options in {
        "chunked": {},
        "filtered": {"compression": 4, "shuffle": True, "fletcher32": True},
        "growing": {"maxshape": (None, 20)},
        "growing both ways": {"maxshape": (None, None), "compression": 1},
    }.items():
        group.create_dataset(name, data=NUMBERS, chunks=(3, 7), **options)
    file.create_dataset("text", data=["a", "bcd"], dtype=h5py.string_dtype())
    compact((5,))(file)


FILES = {
    "superblock 0": {},
    "superblock 2": {"libver": "v108"},
    "superblock 3": {"libver": "v110"},
    "newest structures": {"libver": "latest"},
    "user block of 512 bytes": {"userblock": 512},
    "user block of 1024 bytes": {"userblock": 1024},
    "user block of 4096 bytes, newest structures": {"userblock": 4096, "libver": "latest"},
    "offsets of 4 bytes": {"sizes": (4, 4)},
    "offsets of 4 bytes, newest structures": {"sizes": (4, 8), "libver": "latest"},
    "offsets of 8 bytes, lengths of 4": {"sizes": (8, 4)},
    "offsets of 4 bytes behind a user block": {"sizes": (4, 4), "userblock": 512},
    "offsets of 2 bytes": {"sizes": (2, 2)},
}


@pytest.mark.parametrize("options", FILES.values(), ids=FILES)
def test_files_of_every_kind_read_as_h5py_reads_them(options: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "some.h5"
    with low_level_file(path, **options) as file:
        some_of_everything(file)
    if options.get("userblock"):
        with path.open("r+b") as raw:
            raw.write(b"not HDF5 yet")
    references = scan(str(path))
    assert not references.report.skipped
    assert references.root.attributes == {"title": "all layouts"}
    assert_reads_as_h5py(references, path)


def test_a_file_with_a_superblock_of_version_1_reads(tmp_path: Path) -> None:
    """An unusual B-tree rank makes the library write version 1."""
    path = tmp_path / "one.h5"
    creation = h5p.create(h5p.FILE_CREATE)
    libhdf5("H5Pset_istore_k", creation, 3)
    access = h5p.create(h5p.FILE_ACCESS)
    access.set_libver_bounds(h5f.LIBVER_EARLIEST, h5f.LIBVER_LATEST)
    with h5py.File(h5f.create(os.fsencode(path), h5f.ACC_TRUNC, creation, access)) as file:
        file.create_dataset("d", data=NUMBERS, chunks=(1, 2))
    assert path.read_bytes()[8] == 1
    assert_reads_as_h5py(scan(str(path)), path)


def test_a_file_that_h5py_has_open_is_scanned(tmp_path: Path) -> None:
    path = made(Case("", dataset(chunks=(5, 7), compression=1)), tmp_path)
    for mode in ("r", "r+", "a"):
        with h5py.File(path, mode) as file:
            references = scan(str(path))
            np.testing.assert_array_equal(file["d"][...], NUMBERS)
            (recorded,) = references.sources
        assert recorded.last_modified is not None
        os.utime(path, (recorded.last_modified, recorded.last_modified))  # closing touched it, and changed nothing
        assert_reads_as_h5py(references, path)


def test_several_drivers_of_one_data_set_are_refused_with_the_way_out(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "part-%d.h5", "w", driver="family", memb_size=1024) as file:
        file["d"] = NUMBERS
    with h5py.File(tmp_path / "split", "w", driver="split") as file:
        file["d"] = NUMBERS
    for name in ("part-0.h5", "split-m.h5"):
        with pytest.raises(UnsupportedError, match=r"h5repart|h5repack|copy") as caught:
            scan(str(tmp_path / name))
        assert caught.value.location is not None
        assert caught.value.location.endswith(name)
    for name in ("part-1.h5", "split-r.h5"):
        with pytest.raises(BrokenFileError, match="none of the known formats"):
            scan(str(tmp_path / name))


# -- contiguous data, cut up -----------------------------------------------------------------------------------------
CUTS = [
    ((12, 20), 320, (4, 20), ()),
    ((12, 20), 100, (1, 20), ()),
    ((12, 20), 20, (1, 5), ()),
    ((13, 20), 400, (5, 20), ("refmaker_pad",)),
    ((3, 13, 2), 40, (1, 5, 2), ("refmaker_pad",)),
    ((12, 20), 1 << 20, (12, 20), ()),
    ((), 1, (), ()),
]


@pytest.mark.parametrize(("shape", "chunk_bytes", "chunk_shape", "needs"), CUTS)
def test_contiguous_data_are_cut_into_chunks_of_about_the_bytes_wanted(
    shape: tuple[int, ...], chunk_bytes: int, chunk_shape: tuple[int, ...], needs: tuple[str, ...], tmp_path: Path
) -> None:
    path = made(Case("", dataset(shape)), tmp_path)
    references = scan(str(path), chunk_bytes=chunk_bytes)
    array = array_of(references)
    assert array.metadata.chunk_shape == chunk_shape
    assert tuple(codec.id for codec in array.metadata.codecs) == needs
    assert_reads_as_h5py(references, path)


def test_only_contiguous_data_are_cut(tmp_path: Path) -> None:
    path = made(Case("", some_of_everything), tmp_path)
    references = scan(str(path), chunk_bytes=64)
    assert array_of(references, "group/contiguous").metadata.chunk_shape == (1, 20)
    assert array_of(references, "group/chunked").metadata.chunk_shape == (3, 7)
    assert_reads_as_h5py(references, path)


def test_a_dataset_whose_chunks_were_never_written_costs_nothing(tmp_path: Path) -> None:
    path = made(Case("", dataset((1 << 40, 1 << 20), values=None, chunks=(1, 1))), tmp_path)
    manifest = array_of(scan(str(path))).manifest
    assert manifest.grid_shape == (1 << 40, 1 << 20)
    assert manifest.present == 0
    assert manifest.memory_nbytes == 0
