"""Broken, hostile and cut files: one typed error, or what the file holds; soon, and in little memory."""

import random
import resource
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from refmaker.errors import BrokenFileError, OptionError, RefmakerError, TruncatedFileError, UnsupportedError
from refmaker.model.group import walk_arrays
from tests.scanners.tiff.packing import Entry, grey, pack
from tests.scanners.tiff.reading import outcome, scanned, values_of
from tests.scanners.tiff.samples import SAMPLES

LOOP = pack(grey(), grey(), last=20)
OME = (
    '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0"><Pixels ID="Pixels:0" '
    'DimensionOrder="XYZCT" SizeX="4" SizeY="3" SizeZ="{z}" SizeC="1" SizeT="1" Type="uint8">'
    '<TiffData IFD="0" PlaneCount="{planes}"/></Pixels></Image></OME>'
)


def text(tag: int, value: str) -> Entry:
    return Entry(tag, 2, [*value.encode(), 0])


BROKEN: dict[str, tuple[bytes, type[RefmakerError]]] = {
    "no header": (b"RIFF" + bytes(40), BrokenFileError),
    "shorter than a header": (b"II*\0", TruncatedFileError),
    "no directory": (b"II*\0" + bytes(20), BrokenFileError),
    "a directory in the header": (b"II*\0" + b"\4\0\0\0" + bytes(20), BrokenFileError),
    "a directory past the end": (b"II*\0" + b"\xff\0\0\0" + bytes(20), TruncatedFileError),
    "a directory that is its own next": (pack(grey(), last=20), BrokenFileError),
    "directories in a loop": (LOOP, BrokenFileError),
    "a BigTIFF of 4-byte offsets": (b"II+\0\4\0\0\0" + bytes(40), BrokenFileError),
    "too many entries": (b"II*\0\x08\0\0\0" + b"\xff\xff" + bytes(70000), BrokenFileError),
    "entries past the end": (b"II*\0\x08\0\0\0" + b"\xff\x0f" + bytes(100), TruncatedFileError),
    "offsets past the end": (pack(grey(4, 3, Entry(273, 4, [8] * 2, count=1 << 30))), TruncatedFileError),
    "a count that overflows": (
        pack(grey(4, 3, Entry(324, 16, [16] * 2, count=(1 << 61) + 2)), big=True), TruncatedFileError
    ),
    "data past the end": (pack(grey(4000, 3000)), TruncatedFileError),
    "a strip past the end": (
        pack(grey(4, 3, Entry(259, 3, [8]), Entry(279, 4, [99999]))), TruncatedFileError
    ),
    "an offset that overflows": (
        pack(grey(4, 3, Entry(259, 3, [8]), Entry(273, 16, [(1 << 64) - 2]), Entry(279, 16, [9])), big=True),
        TruncatedFileError,
    ),
    "tiles without width": (
        pack(grey(64, 64, Entry(322, 3, [0]), Entry(323, 3, [16]), Entry(324, 4, [8]), Entry(325, 4, [12]))),
        BrokenFileError,
    ),
    "planes without end": (
        pack(grey(4, 3, text(270, OME.format(z=1 << 40, planes=1)))), BrokenFileError
    ),
    "pages without end": (
        pack(grey(4, 3, text(270, OME.format(z=2, planes=1 << 40)))), BrokenFileError
    ),
}  # fmt: skip
UNSUPPORTED = {
    "old JPEG": grey(4, 3, Entry(259, 3, [6])),
    "a compression nobody knows": grey(4, 3, Entry(259, 3, [4242])),
    "a predictor nobody knows": grey(4, 3, Entry(259, 3, [8]), Entry(317, 3, [99])),
    "bits without a type": grey(4, 3, Entry(258, 3, [40])),
    "samples of different lengths": grey(4, 3, Entry(258, 3, [8, 16]), Entry(277, 3, [2]), Entry(279, 4, [36])),
    "a strip that is too short": grey(4, 3, Entry(273, 4, [8, 9]), Entry(278, 3, [2]), Entry(279, 4, [1, 4])),
}


def written(data: bytes, folder: Path) -> Path:
    path = folder / "it.tif"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_file_is_one_typed_error(what: str, tmp_path: Path) -> None:
    data, kind = BROKEN[what]
    with pytest.raises(kind) as caught:
        scanned(written(data, tmp_path), on_unsupported="skip")
    assert "it.tif" in str(caught.value)


@pytest.mark.parametrize("what", UNSUPPORTED)
def test_what_cannot_be_expressed_is_named_or_left_out_with_its_reason(what: str, tmp_path: Path) -> None:
    path = written(pack(UNSUPPORTED[what]), tmp_path)
    with pytest.raises(UnsupportedError) as caught:
        scanned(path)
    assert (caught.value.path, caught.value.location) == ("data", f"file://{path}")
    result = scanned(path, on_unsupported="skip")
    (state,) = result.report.skipped
    assert (state.path, state.code, state.reason[:9]) == ("data", caught.value.code, "series 0:")
    assert "data" not in result.root.arrays


def test_one_page_that_cannot_be_expressed_leaves_the_others(tmp_path: Path) -> None:
    result = scanned(written(pack(grey(), UNSUPPORTED["old JPEG"], grey(5, 2)), tmp_path), on_unsupported="skip")
    assert [state.state for state in result.report.datasets] == ["referenced", "skipped", "referenced"]
    assert [path for path, _ in walk_arrays(result.root)] == ["series_0/data", "series_2/data"]
    assert result.report.skipped[0].reason.startswith("series 1: compression 6")


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("big", [False, True])
def test_a_file_packed_by_hand_is_read(big: bool, order: str, tmp_path: Path) -> None:
    result = scanned(written(pack(grey(offset=16 if big else 8), order=order, big=big), tmp_path))
    assert values_of(result.root.arrays["data"], result).ravel().tolist() == list(range(12))


def without_lengths(*more: Entry) -> list[Entry]:
    return [entry for entry in grey(4, 4, Entry(278, 3, [1]), *more) if entry.tag != 279]


@pytest.mark.parametrize("offsets", [[8, 12, 16, 20], [20, 8, 16, 12]], ids=["in order", "apart"])
def test_plain_strips_need_no_lengths(offsets: list[int], tmp_path: Path) -> None:
    path = written(pack(without_lengths(Entry(273, 4, offsets)), data=bytes(range(16))), tmp_path)
    result = scanned(path)
    wanted = [n - 8 + i for n in offsets for i in range(4)]
    assert values_of(result.root.arrays["data"], result).ravel().tolist() == wanted


def test_compressed_strips_without_lengths_are_left_out(tmp_path: Path) -> None:
    page = without_lengths(Entry(273, 4, [8, 12, 16, 20]), Entry(259, 3, [8]))
    result = scanned(written(pack(page, data=bytes(range(16))), tmp_path), on_unsupported="skip")
    assert "lengths" in result.report.skipped[0].reason


def test_an_image_of_astronomic_size_is_no_allocation(tmp_path: Path) -> None:
    size = [Entry(256, 4, [1 << 31]), Entry(257, 4, [1 << 31]), Entry(259, 3, [8]), Entry(278, 4, [1])]
    path = written(pack(grey(4, 3, *size)), tmp_path)
    started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    array = scanned(path).root.arrays["data"]
    assert (array.manifest.present, len(array.manifest)) == (1, 1 << 31)
    assert time.perf_counter() - started < 2
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000


def test_directories_that_share_one_huge_tag_are_refused(tmp_path: Path) -> None:
    """10,000 directories, each of which points to the same 10 MB of offsets: a bomb for whoever reads them all."""
    count = 2_500_000
    data = bytes(4 * count)
    entries = [Entry(273, 4, [8], count=count, offset=8), *grey()[5:6]]
    with pytest.raises(BrokenFileError, match="more than it holds"):
        scanned(written(pack(*[entries] * 500, data=data), tmp_path))


FUZZED = [
    "strips-short-last-apart",
    "pyramid-subifds",
    "ome-rgb-tiles",
    "imagej",
    "two-series",
    "palette",
    "planar-raw",
]


@pytest.mark.parametrize("name", FUZZED)
def test_a_sample_cut_anywhere_gives_an_error_or_what_is_left(name: str, tmp_path: Path) -> None:
    path = tmp_path / "it.tif"
    SAMPLES[name](path)
    data = path.read_bytes()
    lengths = [*range(0, min(len(data), 600), 7), *range(600, len(data), max(len(data) // 60, 1))]
    survives(path, lambda number: data[: lengths[number]], len(lengths))


@pytest.mark.parametrize("name", FUZZED)
def test_a_mutated_sample_gives_an_error_or_what_it_says(name: str, tmp_path: Path) -> None:
    path = tmp_path / "it.tif"
    SAMPLES[name](path)
    data = path.read_bytes()
    source = random.Random(name)

    def mutated(_: int) -> bytes:
        changed = bytearray(data)
        for _ in range(source.choice((1, 1, 2, 8))):
            at = source.randrange(min(len(data), 900)) if source.random() < 0.8 else source.randrange(len(data))
            changed[at] = source.choice((0, 1, 255, changed[at] ^ 1, source.randrange(256)))
        return bytes(changed)

    survives(path, mutated, 150)


def survives(path: Path, content: Callable[[int], bytes], count: int) -> None:
    """Scan files; each gives references inside the file, or a RefmakerError, in bounded time."""
    for number in range(count):
        path.write_bytes(content(number))
        started = time.perf_counter()
        result = outcome(lambda: scanned(path, on_unsupported="skip"))
        assert time.perf_counter() - started < 5
        if isinstance(result, RefmakerError):
            assert not isinstance(result, OptionError)
            continue
        size = path.stat().st_size
        for _, array in walk_arrays(result.root):
            for block in array.manifest.blocks():
                ranges = block.location_id == 0
                assert int((block.offset[ranges] + block.length[ranges]).max(initial=0)) <= size


def test_slides_whose_offsets_do_not_fit_are_refused(tmp_path: Path) -> None:
    """NDPI keeps the upper halves of offsets behind a directory, where no other TIFF has them."""
    path = tmp_path / "it.ndpi"
    path.write_bytes(pack(grey(4, 3), data=bytes(20)) + bytes(64))
    assert scanned(path).root.arrays
    with path.open("r+b") as file:
        file.truncate((1 << 32) + 1)  # a hole: it takes no space
    with pytest.raises(UnsupportedError, match="Hamamatsu"):
        scanned(path)
