"""Filter pipelines: every filter that can be decoded, in whatever order and wherever it was skipped."""

import os
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np
import pytest
from h5py import h5d, h5p, h5s, h5t, h5z

from refmaker import UnsupportedError, scan
from tests.scanners.hdf5.comparing import Case, array_of, assert_reads_as_h5py, check, made
from tests.scanners.hdf5.native import DONT_FILTER_PARTIAL_CHUNKS, libhdf5

hdf5plugin.register(force=True)  # netCDF4 brings a Blosc filter of its own, which fails

SHAPE, CHUNKS = (24, 40), (10, 16)
SMOOTH = np.cumsum(np.arange(960) % 7).reshape(SHAPE)
NOISE = np.random.default_rng(1)


def smooth(dtype: str) -> np.ndarray[Any, Any]:
    """Return values that every compressor shortens and every type here holds."""
    return (SMOOTH % 120).astype(dtype)


def filtered(dtype: str = "<i4", **options: Any) -> Callable[[h5py.File], object]:
    """Return a maker of a dataset with filters that h5py.create_dataset knows."""
    return lambda file: file.create_dataset("d", data=smooth(dtype), chunks=CHUNKS, **options)


def pipeline(
    *filters: tuple[Any, ...], dtype: str = "<i4", chunks: tuple[int, ...] = CHUNKS, raw_edges: bool = False
) -> Callable[[h5py.File], object]:
    """Return a maker of a dataset with filters (number, values...) in exactly this order."""

    def make(file: h5py.File) -> None:
        properties = creation(filters, chunks, raw_edges=raw_edges)
        limit = tuple(h5s.UNLIMITED if chunk > n else n for chunk, n in zip(chunks, SHAPE, strict=True))
        space = h5s.create_simple(SHAPE, limit)
        made = h5py.Dataset(h5d.create(file.id, b"d", h5t.py_create(np.dtype(dtype)), space, properties))
        made[...] = smooth(dtype)

    return make


def creation(
    filters: Sequence[tuple[Any, ...]], chunks: tuple[int, ...] = CHUNKS, *, raw_edges: bool = False
) -> h5p.PropDCID:
    properties = h5p.create(h5p.DATASET_CREATE)
    properties.set_chunk(chunks)
    for number, *values in filters:
        if number == FLETCHER32[0]:
            properties.set_fletcher32()
        else:
            properties.set_filter(number, h5z.FLAG_OPTIONAL, tuple(values))
    if raw_edges:
        libhdf5("H5Pset_chunk_opts", properties, DONT_FILTER_PARTIAL_CHUNKS)
    return properties


DEFLATE, SHUFFLE, FLETCHER32, LZF = (1, 6), (2,), (3,), (32000,)

BUILT_IN = [
    Case("deflate", filtered(compression="gzip")),
    Case("deflate at level 0", filtered(compression=0)),
    Case("shuffle", filtered(shuffle=True)),
    Case("shuffle of single bytes", filtered("i1", shuffle=True)),
    Case("shuffle and deflate", filtered(compression=9, shuffle=True)),
    Case("all of 8 bytes, big-endian", filtered(">f8", compression=9, shuffle=True, fletcher32=True)),
    Case("fletcher32", filtered(fletcher32=True)),
    Case("fletcher32 of an odd number of bytes", pipeline(FLETCHER32, dtype="i1", chunks=(5, 7))),
    Case("fletcher32 first", pipeline(FLETCHER32, DEFLATE)),
    Case("fletcher32 between", pipeline(SHUFFLE, FLETCHER32, DEFLATE)),
    Case("fletcher32 last", pipeline(SHUFFLE, DEFLATE, FLETCHER32)),
    Case("fletcher32 twice", pipeline(FLETCHER32, DEFLATE, FLETCHER32)),
    Case("shuffle of 4 bytes behind fletcher32", pipeline(FLETCHER32, SHUFFLE, DEFLATE)),
    Case(
        "shuffle of 8 bytes behind fletcher32",
        pipeline(FLETCHER32, SHUFFLE, DEFLATE, dtype="<f8"),
        needs=("refmaker_hdf5_shuffle",),
    ),
    Case("deflate twice", pipeline(DEFLATE, DEFLATE)),
    Case("shuffle, deflate twice", pipeline(SHUFFLE, DEFLATE, DEFLATE)),
    Case("deflate, shuffle, deflate", pipeline(DEFLATE, SHUFFLE, DEFLATE), needs=("refmaker_hdf5_shuffle",)),
    Case("newest structures", filtered(compression=9, shuffle=True, fletcher32=True), libver="latest"),
    Case("lzf", filtered(compression="lzf"), needs=("refmaker_hdf5_lzf",)),
    Case("lzf and shuffle", filtered("<f8", compression="lzf", shuffle=True), needs=("refmaker_hdf5_lzf",)),
    Case("lzf behind fletcher32", pipeline(FLETCHER32, LZF), needs=("refmaker_hdf5_lzf",)),
    Case("lzf twice", pipeline(LZF, DEFLATE, LZF), {"d": "skipped: filter"}),
    *(
        Case(f"szip {kind}, {dtype}", filtered(dtype, compression="szip", compression_opts=(kind, 8)),
             needs=("refmaker_hdf5_szip",))
        for kind in ("nn", "ec")
        for dtype in ("u1", "<i2", ">i4", "<f8")
    ),
    *(
        Case(f"scaleoffset, {dtype}", filtered(dtype, scaleoffset=0), needs=("refmaker_hdf5_scaleoffset",))
        for dtype in ("i1", "u1", "<i2", ">u2", "<i4", ">i8", "<u8")
    ),
    *(
        Case(f"scaleoffset, {dtype}", filtered(dtype, scaleoffset=2), needs=("refmaker_hdf5_scaleoffset",))
        for dtype in ("<f4", ">f8")
    ),
    Case("scaleoffset of 5 bits", filtered("<i4", scaleoffset=8), needs=("refmaker_hdf5_scaleoffset",)),
    Case(
        "scaleoffset with a fill value, and deflate",
        filtered("<i4", scaleoffset=0, fillvalue=7, compression=4),
        needs=("refmaker_hdf5_scaleoffset",),
    ),
]  # fmt: skip

BLOSC = [
    Case(
        f"blosc {name}, shuffle {shuffle}, {dtype}",
        filtered(dtype, **hdf5plugin.Blosc(cname=name, clevel=5, shuffle=shuffle)),
        needs=("refmaker_optional",) if not shuffle and name in {"blosclz", "lz4"} else (),  # they gain too little
    )
    for name in ("blosclz", "lz4", "lz4hc", "zlib", "zstd")
    for shuffle, dtype in ((0, "<i4"), (1, "<f8"), (2, "<i2"))
]
BITSHUFFLE = [
    Case(
        f"bitshuffle {name}, {dtype}",
        filtered(dtype, **hdf5plugin.Bitshuffle(cname=name)),
        needs=("refmaker_hdf5_bitshuffle",),
    )
    for name in ("none", "lz4", "zstd")
    for dtype in ("u1", "<i2", ">f4", "<f8")
]
ZFP = {"reversible": {"reversible": True}, "accuracy": {"accuracy": 0.01}, "precision": {"precision": 20},
       "rate": {"rate": 16}}  # fmt: skip
PLUGINS = [
    Case("bzip2", filtered(**hdf5plugin.BZip2())),
    Case("zstd", filtered(**hdf5plugin.Zstd(clevel=9))),
    Case("zstd and shuffle", filtered(shuffle=True, **hdf5plugin.Zstd())),
    Case("lz4", filtered(**hdf5plugin.LZ4()), needs=("refmaker_hdf5_lz4",)),
    Case("lz4 in small blocks", filtered(**hdf5plugin.LZ4(nbytes=64)), needs=("refmaker_hdf5_lz4",)),
    *BLOSC,
    Case("blosc behind fletcher32", pipeline(FLETCHER32, (32001, 2, 2, 4, 640, 5, 1, 1))),
    *(
        Case(f"blosc2 {name}", filtered(dtype, **hdf5plugin.Blosc2(cname=name)), needs=("refmaker_hdf5_blosc2",))
        for name, dtype in (("blosclz", "<i4"), ("lz4", "<f8"), ("zstd", "u1"))
    ),
    *BITSHUFFLE,
    *(
        Case(f"zfp {mode}, {dtype}", filtered(dtype, **hdf5plugin.Zfp(**options)), needs=("refmaker_hdf5_zfp",))
        for mode, options in ZFP.items()
        for dtype in ("<f4", "<f8")
    ),
    Case("zfp of integers", filtered("<i4", **hdf5plugin.Zfp(reversible=True)), needs=("refmaker_hdf5_zfp",)),
    *(
        Case(name, filtered(dtype, **options), {"d": "skipped: filter"})
        for name, dtype, options in (
            ("zfp, expert", "<f4", hdf5plugin.Zfp(minbits=1, maxbits=16657, maxprec=64, minexp=-1074)),
            ("SZ", "<f4", hdf5plugin.SZ(absolute=0.1)),
            ("SZ3", "<f4", hdf5plugin.SZ3(absolute=0.1)),
            ("sperr", "<f4", hdf5plugin.Sperr(rate=16)),
        )
    ),
]


@pytest.mark.parametrize("case", [*BUILT_IN, *PLUGINS], ids=str)
def test_every_filter_reads_as_h5py_reads_it(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)


def test_the_pipeline_keeps_its_order_and_repetitions(tmp_path: Path) -> None:
    path = made(Case("", pipeline(FLETCHER32, SHUFFLE, DEFLATE, DEFLATE)), tmp_path)
    codecs = array_of(scan(str(path))).metadata.codecs
    assert [codec.id for codec in codecs] == ["fletcher32", "shuffle", "zlib", "zlib"]


def test_an_unknown_filter_is_refused_by_number_and_name(tmp_path: Path) -> None:
    path = tmp_path / "unknown.h5"
    with h5py.File(path, "w") as file:
        properties = creation([DEFLATE])
        h5d.create(file.id, b"d", h5t.STD_I32LE, h5s.create_simple(SHAPE), properties).write_direct_chunk(
            (0, 0), zlib.compress(bytes(640))
        )
    data = path.read_bytes()
    at = data.index(b"deflate\0") - 8
    assert data[at : at + 2] == b"\1\0"
    patched = data[:at] + (999).to_bytes(2, "little") + data[at + 2 :]
    path.write_bytes(patched.replace(b"deflate\0", b"inflate\0"))
    with pytest.raises(UnsupportedError, match=r"filter 999 \(inflate\)") as caught:
        scan(str(path))
    assert caught.value.code == "filter"
    assert caught.value.path == "d"
    (report,) = scan(str(path), on_unsupported="skip").report.skipped
    assert (report.path, report.code) == ("d", "filter")
    assert "999 (inflate)" in report.reason


# -- filters that some chunks skipped --------------------------------------------------------------------------------
def direct(
    filters: Sequence[tuple[Any, ...]], masks: Mapping[tuple[int, ...], int], *, dtype: str = "<i4", libver: str = ""
) -> Callable[[h5py.File], object]:
    """Return a maker of chunks written directly: filter i left out where bit i of a chunk's mask is set.

    The mask of the other chunks is ``masks[()]``. Only deflate and shuffle are applied here.
    """

    def make(file: h5py.File) -> None:
        values = np.zeros((30, 48), dtype)
        values[:24, :40] = smooth(dtype)
        written = h5d.create(file.id, b"d", h5t.py_create(np.dtype(dtype)), h5s.create_simple(SHAPE), creation(filters))
        for row in range(0, 24, 10):
            for column in range(0, 40, 16):
                mask = masks.get((row, column), masks[()])
                chunk = np.ascontiguousarray(values[row : row + 10, column : column + 16])
                written.write_direct_chunk((row, column), encoded(chunk, filters, mask), mask)

    return make


def encoded(chunk: np.ndarray[Any, Any], filters: Sequence[tuple[Any, ...]], mask: int) -> bytes:
    data = chunk.tobytes()
    for bit, (number, *_) in enumerate(filters):
        if not mask >> bit & 1:
            data = zlib.compress(data) if number == 1 else shuffled(data, chunk.itemsize)
    return data


def shuffled(data: bytes, itemsize: int) -> bytes:
    return np.frombuffer(data, np.uint8).reshape(-1, itemsize).T.tobytes()


BOTH = (SHUFFLE, DEFLATE)
OPTIONAL = ("refmaker_optional",)
MASKS = [
    Case("no filter for any chunk", direct(BOTH, {(): 3})),
    Case("no deflate for any chunk", direct(BOTH, {(): 2})),
    Case("no shuffle for any chunk", direct(BOTH, {(): 1})),
    Case("bits beyond the pipeline", direct(BOTH, {(): 0, (0, 0): 0xF0})),
    Case("no filter for one chunk", direct(BOTH, {(): 0, (10, 16): 3}), needs=OPTIONAL),
    Case("no filter for all but one chunk", direct(BOTH, {(): 3, (10, 16): 0}), needs=OPTIONAL),
    Case("no deflate for one chunk", direct(BOTH, {(): 0, (10, 16): 2}), needs=OPTIONAL),
    Case("no deflate for any chunk but one, no shuffle for any", direct(BOTH, {(): 3, (10, 16): 1}), needs=OPTIONAL),
    Case("no shuffle for one chunk", direct(BOTH, {(): 0, (10, 16): 1}), needs=OPTIONAL, notes=("filter-mask",)),
    Case(
        "every mask there is",
        direct(BOTH, {(): 0, (0, 16): 1, (10, 16): 2, (10, 32): 3}),
        needs=OPTIONAL,
        notes=("filter-mask",),
    ),
    Case("one chunk without shuffle, in pairs", direct((SHUFFLE, DEFLATE, SHUFFLE), {(): 4, (10, 16): 7}),
         needs=OPTIONAL),
]  # fmt: skip


@pytest.mark.parametrize("case", MASKS, ids=str)
@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_chunks_that_skipped_filters_read_as_h5py_reads_them(case: Case, libver: str, tmp_path: Path) -> None:
    check(case._replace(libver=libver), tmp_path)


@pytest.mark.parametrize("compression", ["lzf", "szip", "blosc"])
def test_compressors_that_did_not_win_leave_chunks_raw(compression: str, tmp_path: Path) -> None:
    """Half of the chunks are noise, which HDF5 then stores without the filter, and says so in their masks."""
    options = {
        "lzf": {"compression": "lzf"},
        "szip": {"compression": "szip"},
        "blosc": dict(hdf5plugin.Blosc(cname="lz4")),
    }[compression]
    path = tmp_path / "noise.h5"
    with h5py.File(path, "w") as file:
        values = NOISE.integers(0, 1 << 31, (64, 64), "<i4")
        values[:32] = 1
        dataset = file.create_dataset("d", data=values, chunks=(16, 32), **options)
        masks = set()
        dataset.id.chunk_iter(lambda chunk: masks.add(chunk.filter_mask))
    assert masks == {0, 1}
    references = scan(str(path))
    assert [codec.id for codec in array_of(references).metadata.codecs] == ["refmaker_optional"]
    assert_reads_as_h5py(references, path)


def test_a_skipped_chunk_that_cannot_be_told_apart_is_decoded_and_inlined(tmp_path: Path) -> None:
    """A filtered chunk of exactly the raw size: passing bytes of that size through would show it encoded."""
    path = tmp_path / "same.h5"
    noise = NOISE.bytes(40)
    raw = next(data for n in range(40) if len(zlib.compress(data := noise[:n] + bytes(40 - n))) == 40)
    with h5py.File(path, "w") as file:
        created = h5d.create(file.id, b"d", h5t.STD_U8LE, h5s.create_simple((120,)), creation([DEFLATE], (40,)))
        created.write_direct_chunk((0,), zlib.compress(raw), 0)
        created.write_direct_chunk((40,), raw, 1)
        created.write_direct_chunk((80,), zlib.compress(bytes(40)), 0)
    references = scan(str(path))
    array = array_of(references)
    assert array.manifest.lookup(0).data == raw
    assert [note.code for note in references.report.notes] == ["filter-mask"]
    assert_reads_as_h5py(references, path)


# -- partial edge chunks that HDF5 was told not to filter ------------------------------------------------------------
EDGES = {
    "deflate": ((DEFLATE,), CHUNKS, OPTIONAL),
    "shuffle and deflate": (BOTH, CHUNKS, OPTIONAL),
    "all of them": ((SHUFFLE, DEFLATE, FLETCHER32), CHUNKS, OPTIONAL),
    "only along one axis": ((DEFLATE,), (8, 16), OPTIONAL),
    "no chunk is partial": ((DEFLATE,), (8, 8), ()),
    "the only chunk is partial": ((DEFLATE,), (25, 41), ()),
}


@pytest.mark.parametrize(("filters", "chunks", "needs"), EDGES.values(), ids=EDGES)
@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_partial_edge_chunks_without_filters_read_as_h5py_reads_them(
    filters: Sequence[tuple[Any, ...]],
    chunks: tuple[int, ...],
    needs: tuple[str, ...],
    libver: str,
    tmp_path: Path,
) -> None:
    make = pipeline(*filters, chunks=chunks, raw_edges=True)
    check(Case("", make, needs=needs, libver=libver), tmp_path)


def test_unfiltered_edges_that_only_the_library_can_index_are_never_taken_for_filtered(tmp_path: Path) -> None:
    """The layout flag that says so is found by our own reader only."""
    path = made(Case("", pipeline(DEFLATE, raw_edges=True), libver="latest"), tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("refmaker.scanners.hdf5.hdf5_file.read_chunk_index", broken)
        assert_reads_as_h5py(scan(str(path)), path)


def broken(*_: Any, **__: Any) -> Any:
    raise UnsupportedError("no native index in this test", location=os.devnull)
    yield
