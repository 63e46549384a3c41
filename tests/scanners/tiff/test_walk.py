"""Reading a remote TIFF ahead: nothing is missed, predictions are verified, broken bytes end it in time."""

import io
import random
import time
from collections.abc import Callable
from pathlib import Path

import fsspec
import numpy as np
import pytest
import tifffile

import refmaker
from refmaker.scanners.tiff.walk import walk
from refmaker.source.base import MemorySource
from refmaker.source.blocks import BlockStore
from refmaker.source.policy import MOST_ROUNDS
from refmaker.source.rounds import FileAhead, worth_keeping
from tests.scanners.comparing_remote import told
from tests.scanners.hdf5.walking import without_luck

Write = Callable[[tifffile.TiffWriter], None]


def pages(file: tifffile.TiffWriter) -> None:
    for number in range(40):
        file.write(np.full((32, 48), number, "u2"), photometric="minisblack", metadata=None, contiguous=False)


def uneven_pages(file: tifffile.TiffWriter) -> None:
    """Equal distances that end: what was predicted beyond must not be believed."""
    for number in range(60):
        height = 32 if number < 20 or number % 3 else 64
        file.write(np.zeros((height, 48), "u2"), photometric="minisblack", metadata=None, contiguous=False)


def pyramid(file: tifffile.TiffWriter) -> None:
    options = {"tile": (64, 64), "photometric": "minisblack"}
    file.write(np.zeros((512, 512), "u1"), subifds=2, **options)
    file.write(np.zeros((256, 256), "u1"), subfiletype=1, **options)
    file.write(np.zeros((128, 128), "u1"), subfiletype=1, **options)


def described(file: tifffile.TiffWriter) -> None:
    file.write(
        np.zeros((4, 3, 40, 50), "u1"),
        photometric="minisblack",
        metadata={"axes": "TCYX", "Description": "long " * 9000},
    )


def tiff(write: Write, **options: bool) -> bytes:
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer, **options) as file:
        write(file)
    return buffer.getvalue()


def walked(data: bytes) -> int:
    """Return the rounds that the walker takes."""
    ahead, store = FileAhead(len(data), "it"), BlockStore(MemorySource(data))
    ahead.start(walk(ahead))
    rounds = 0
    while (step := ahead.advance(store))[0]:
        rounds += 1
        store.put([piece for a, b in step[0] for piece in worth_keeping(a, data[a:b], step[1])])
    assert store.misses == 0
    return rounds


@pytest.mark.parametrize("write", [pages, uneven_pages, pyramid, described])
@pytest.mark.parametrize("options", [{}, {"bigtiff": True}, {"ome": True}], ids=str)
def test_a_scan_reads_nothing_that_was_not_foreseen(
    write: Write, options: dict[str, bool], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    data = tiff(write, **options)
    (tmp_path / "it.tif").write_bytes(data)
    fsspec.filesystem("memory").pipe_file("/tiff-walk/it.tif", data)
    with monkeypatch.context() as patch:
        without_luck(patch)
        remote = refmaker.scan("memory://tiff-walk/it.tif", on_unsupported="skip")
    assert remote.report.misses == 0
    local = refmaker.scan(str(tmp_path / "it.tif"), on_unsupported="skip")
    assert told(remote, "memory://tiff-walk") == told(local, f"file://{tmp_path}")


@pytest.mark.parametrize("write", [pages, uneven_pages, pyramid, described])
def test_broken_bytes_end_the_walk_in_time(write: Write) -> None:
    good = tiff(write)
    chance = random.Random(write.__name__)
    places = [at for at in range(len(good)) if good[at]]
    deadline = time.monotonic() + 1
    while time.monotonic() < deadline:
        data = bytearray(good)
        for _ in range(chance.choice([1, 3, 30])):
            data[chance.choice(places)] = chance.choice([0, 1, 0x7F, 0xFF, chance.randrange(256)])
        if chance.random() < 0.3:
            data = data[: chance.randrange(len(data))]
        assert walked(bytes(data)) <= MOST_ROUNDS
