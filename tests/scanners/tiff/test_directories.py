"""Directories on hand-packed bytes: what is found, and the same bytes cut at every length."""

import pytest

from refmaker.errors import BrokenFileError, RefmakerError
from refmaker.scanners.tiff.directories import read_directories
from refmaker.scanners.tiff.view import View
from refmaker.source.base import MemorySource
from tests.scanners.tiff.packing import Entry, grey, pack

LAYOUTS = pytest.mark.parametrize(("order", "big"), [("<", False), (">", False), ("<", True), (">", True)])


def view_of(data: bytes) -> View:
    return View(MemorySource(data, "it.tif"), is_local=True)


@LAYOUTS
def test_columns_are_read_as_they_stand(order: str, big: bool) -> None:
    offsets = list(range(8, 1008, 10))
    view = view_of(pack(grey(4, 3, Entry(273, 4, offsets), Entry(279, 3, [7] * 100)), order=order, big=big))
    found = read_directories(view)
    (directory,) = found.chain
    for tag, values in ((273, offsets), (279, [7] * 100), (256, [4])):
        column = found.column(directory, tag, view)
        assert column is not None
        assert column.tolist() == values
    assert found.column(directory, 330, view) is None
    assert found.column(directory + 1, 273, view) is None


@LAYOUTS
def test_a_chain_and_its_subifds_are_found_in_order(order: str, big: bool) -> None:
    first = pack(grey(4, 3, Entry(330, 4, [0])), grey(5, 2), order=order, big=big)
    chain = read_directories(view_of(first)).chain
    data = pack(grey(4, 3, Entry(330, 4, [chain[1]])), grey(5, 2), order=order, big=big)
    found = read_directories(view_of(data))
    assert len(found.chain) == 2
    assert set(found.by_offset) >= set(found.chain)


def test_the_first_of_two_tags_counts() -> None:
    view = view_of(pack([*grey()[:1], Entry(256, 3, [99]), *grey()[1:]]))
    found = read_directories(view)
    column = found.column(found.chain[0], 256, view)
    assert column is not None
    assert column.tolist() == [4]


def test_tags_of_unknown_types_are_left_out() -> None:
    view = view_of(pack([*grey(), Entry(65000, 1, [1], count=1)]).replace(b"\xe8\xfd\x01\x00", b"\xe8\xfd\x63\x00"))
    found = read_directories(view)
    assert 65000 not in found.by_offset[found.chain[0]].entries


@LAYOUTS
def test_a_file_cut_anywhere_is_a_typed_error(order: str, big: bool) -> None:
    data = pack(grey(4, 3, Entry(273, 4, [8] * 9), Entry(279, 4, [1] * 9)), grey(), order=order, big=big)
    for length in range(len(data)):
        with pytest.raises(RefmakerError):
            read_directories(view_of(data[:length]))


def test_overlapping_directories_are_refused() -> None:
    """A chain that steps through one directory, two bytes on each time."""
    data = bytearray(b"II*\0\x08\0\0\0" + bytes(600))
    for number in range(120):
        at = 8 + 4 * number
        data[at : at + 2] = b"\x02\0"
    for number in range(120):
        at = 8 + 4 * number + 2 + 24
        if at + 4 <= len(data):
            data[at : at + 4] = (8 + 4 * (number + 1)).to_bytes(4, "little")
    with pytest.raises(BrokenFileError):
        read_directories(view_of(bytes(data)))


def test_patches_show_in_reads_that_hold_them_whole() -> None:
    view = view_of(bytes(100))
    view.patch({10: b"abcd", 50: b"xy"})
    view.seek(8)
    assert view.read(8) == b"\0\0abcd\0\0"
    assert view.read(40) == bytes(34) + b"xy" + bytes(4)
    assert view.at(10, 4) == bytes(4)
