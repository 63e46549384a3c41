"""ReferenceSets made by hand: raw files of encoded chunks, and the numpy arrays they stand for."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np

from refmaker.model.array import ArrayMetadata, Codec, VirtualArray, grid_of
from refmaker.model.chunks import ChunkManifest
from refmaker.model.group import VirtualGroup
from refmaker.model.reference_set import ReferenceSet, SourceFile

SHUFFLE = Codec("shuffle", {"elementsize": 4})
ZLIB = Codec("zlib", {"level": 4})


def encoded(values: np.ndarray, codecs: Sequence[Codec]) -> bytes:
    """Return a chunk as numcodecs encodes it."""
    data: Any = np.ascontiguousarray(values)
    for codec in codecs:
        data = numcodecs.get_codec({"id": codec.id, **codec.configuration}).encode(data)
    return bytes(numcodecs.compat.ensure_bytes(data))


class RawFile:
    """A file of chunks, growing."""

    def __init__(self, location_id: int = 0) -> None:
        self.data = bytearray(b"a header")
        self.location_id = location_id

    def add(self, data: bytes) -> tuple[int, int]:
        offset = len(self.data)
        self.data += data
        return offset, len(data)

    def array(
        self,
        values: np.ndarray,
        chunk_shape: tuple[int, ...],
        dimension_names: tuple[str, ...],
        *,
        codecs: tuple[Codec, ...] = (),
        attributes: Mapping[str, Any] | None = None,
        fill_value: Any = None,
        missing: Sequence[int] = (),
    ) -> VirtualArray:
        """Append an array's chunks, without those at some positions; return the array."""
        grid = grid_of(values.shape, chunk_shape)
        rows = []
        for position, index in enumerate(itertools.product(*map(range, grid))):
            window = tuple(slice(i * c, (i + 1) * c) for i, c in zip(index, chunk_shape, strict=True))
            part = values[window]
            chunk = np.zeros(chunk_shape, values.dtype)
            chunk[tuple(map(slice, part.shape))] = part
            if position not in missing:
                rows.append((position, *self.add(encoded(chunk, codecs))))
        position, offset, length = np.array(rows, np.uint64).reshape(-1, 3).T
        manifest = ChunkManifest.from_positions(
            grid, position, location_id=self.location_id, offset=offset, length=length
        )
        metadata = ArrayMetadata(
            values.shape, chunk_shape, values.dtype, fill_value, codecs, dimension_names, attributes or {}
        )
        return VirtualArray(metadata, manifest)


AIR = np.arange(4 * 6 * 5, dtype=">f4").reshape(4, 6, 5)
TIME = np.arange(4.0)
WORDS = np.array([b"one", b"two", b"three"])
COUNTS = np.arange(10, dtype="<i2")
ODD_NAME = 'vent é"'


def sample(folder: Path, url: str | None = None) -> ReferenceSet:
    """Write ``folder/data é.bin`` and return references into it (as ``url``): groups, gaps, inlined, odd names."""
    file = RawFile()
    inlined = ChunkManifest.inlined((), [np.int32(7).tobytes()])
    root = VirtualGroup(
        {
            "air": file.array(
                AIR,
                (1, 4, 5),
                ("time", "y", "x"),
                codecs=(SHUFFLE, ZLIB),
                attributes={"units": "K", "limit": float("inf"), 'q"\\é': "ü{{x}}", "big": 2**64, "list": [1, 2.5]},
            ),
            "time": file.array(TIME, (4,), ("time",)),
            "words": file.array(WORDS, (2,), ("word",)),
            "number": VirtualArray(ArrayMetadata((), (), np.dtype("<i4")), inlined),
            "none": VirtualArray(
                ArrayMetadata((0, 3), (1, 3), np.dtype("<f8"), dimension_names=("zero", "three")),
                ChunkManifest.empty((0, 1)),
            ),
        },
        {
            "inner": VirtualGroup(
                {ODD_NAME: file.array(COUNTS, (3,), ("k",), codecs=(ZLIB,), fill_value=np.int16(-5), missing=(1,))},
                {"deep": VirtualGroup({"time": file.array(TIME[:2], (2,), ("t",))}, attributes={"level": 2})},
            )
        },
        {"title": "by hand"},
    )
    path = folder / "data é.bin"
    path.write_bytes(file.data)
    return ReferenceSet(root, (SourceFile(url or f"file://{path}", size=len(file.data)),))


def assert_is_sample(tree: Any) -> None:
    """Check what xarray shows of the sample: a dataset of the root, or a DataTree."""
    np.testing.assert_array_equal(tree["air"].values, AIR)
    np.testing.assert_array_equal(tree["time"].values, TIME)
    np.testing.assert_array_equal(tree["words"].values, WORDS)
    assert tree["number"].item() == 7
    assert tree["none"].shape == (0, 3)
    assert tree["air"].dims == ("time", "y", "x")
    assert tree["air"].attrs == {
        "units": "K", "limit": float("inf"), 'q"\\é': "ü{{x}}", "big": 2**64, "list": [1, 2.5],
    }  # fmt: skip
    assert tree.attrs == {"title": "by hand"}


def assert_is_inner(dataset: Any) -> None:
    """Check what xarray shows of the sample's group ``inner``: chunk 1 is absent and masked."""
    expected = COUNTS.astype("f4")
    expected[3:6] = np.nan
    np.testing.assert_array_equal(dataset[ODD_NAME].values, expected)
