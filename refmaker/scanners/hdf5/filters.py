"""HDF5 filter pipelines as Zarr codecs.

Registered filter numbers are those of the HDF Group's list; a filter whose output no codec here decodes exactly is
unsupported, never guessed. Order and repetition are kept: files with deflate twice or shuffle behind fletcher32 exist.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from refmaker.codecs import CODECS, get_codec
from refmaker.errors import UnsupportedError
from refmaker.model.array import Codec
from refmaker.scanners.hdf5.messages import Filter

__all__ = ["FilterStep", "filter_steps"]

FLETCHER32 = 3
CHECKSUM_NBYTES = 4


@dataclass(frozen=True, slots=True)
class FilterStep:
    """One filter of a pipeline.

    Attributes:
        codecs: what encodes as the filter does; none where the filter changes nothing.
        nbytes: bytes the filter gets from a whole chunk, or None where an earlier filter makes that unknown.
    """

    codecs: tuple[Codec, ...]
    nbytes: int | None


@dataclass(frozen=True, slots=True)
class _Message:
    """A filter of a dataset's pipeline, and what it is applied to."""

    id: int
    name: str
    values: tuple[int, ...]
    dtype: np.dtype[Any]
    nbytes: int | None
    """Bytes of the filter's input, as in FilterStep."""

    def value(self, index: int, default: int) -> int:
        """Client data value ``index``, or a default where the writer left it out."""
        return self.values[index] if index < len(self.values) else default


def _shuffle(message: _Message) -> tuple[Codec, ...]:
    size = message.value(0, message.dtype.itemsize)
    if size <= 1:
        return ()
    whole = message.nbytes is not None and message.nbytes % size == 0
    return (Codec("shuffle", {"elementsize": size}) if whole else Codec("refmaker_hdf5_shuffle", {"itemsize": size}),)


def _blosc(message: _Message) -> tuple[Codec, ...]:
    names = ("blosclz", "lz4", "lz4hc", "snappy", "zlib", "zstd")
    name = names[min(message.value(6, 0), len(names) - 1)]
    if name == "snappy":
        raise UnsupportedError("Blosc with Snappy: no maintained decoder has it", code="filter")
    level, shuffle = message.value(4, 5), message.value(5, 1)
    return (Codec("blosc", {"cname": name, "clevel": level, "shuffle": shuffle, "blocksize": 0}),)


def _szip(message: _Message) -> tuple[Codec, ...]:
    names = ("options_mask", "pixels_per_block", "bits_per_pixel", "pixels_per_scanline")
    return (Codec("refmaker_hdf5_szip", dict(zip(names, message.values, strict=False))),)


def _bitshuffle(message: _Message) -> tuple[Codec, ...]:
    compressions = {0: "none", 2: "lz4", 3: "zstd"}
    compression = compressions.get(message.value(4, 0))
    if compression is None:
        raise UnsupportedError(f"bitshuffle with compression {message.value(4, 0)} is unknown", code="filter")
    size = message.value(2, message.dtype.itemsize)
    configuration = {"itemsize": size, "block_size": message.value(3, 0), "compression": compression}
    return (Codec("refmaker_hdf5_bitshuffle", configuration),)


def _sized(codec_id: str) -> Callable[[_Message], tuple[Codec, ...]]:
    """A codec that must know how many bytes come out: those the filter got."""

    def convert(message: _Message) -> tuple[Codec, ...]:
        if message.nbytes is None:
            raise UnsupportedError(
                f"filter {message.id} ({message.name}) behind one of unknown output: nothing tells how many bytes it "
                "decodes to",
                code="filter",
            )
        return (Codec(codec_id, {"nbytes": message.nbytes}),)

    return convert


def _verbatim(codec_id: str) -> Callable[[_Message], tuple[Codec, ...]]:
    """A codec configured by the filter's client data values as they are stored."""
    return lambda message: (Codec(codec_id, {"cd_values": list(message.values)}),)


def _nothing(_: _Message) -> tuple[Codec, ...]:
    """Bit grooming and rounding lose bits when writing; there is nothing to undo."""
    return ()


FILTERS: dict[int, Callable[[_Message], tuple[Codec, ...]]] = {
    1: lambda message: (Codec("zlib", {"level": min(message.value(0, 6), 9)}),),
    2: _shuffle,
    FLETCHER32: lambda _: (Codec("fletcher32"),),
    4: _szip,
    5: _verbatim("refmaker_hdf5_nbit"),
    6: _verbatim("refmaker_hdf5_scaleoffset"),
    307: lambda message: (Codec("bz2", {"level": message.value(0, 9)}),),
    32000: _sized("refmaker_hdf5_lzf"),
    32001: _blosc,
    32004: lambda _: (Codec("refmaker_hdf5_lz4"),),
    32008: _bitshuffle,
    32013: _verbatim("refmaker_hdf5_zfp"),
    32015: lambda message: (Codec("zstd", {"level": message.value(0, 3)}),),
    32022: _nothing,
    32023: _nothing,
    32026: _sized("refmaker_hdf5_blosc2"),
}
"""Filter number -> codecs. FORMATS section 5 says how each was compared with the library."""


def _check(codecs: Sequence[Codec]) -> None:
    """Build our own codecs once, so that parameters they refuse are known now and not when somebody reads.

    Raises:
        UnsupportedError: this variant of the filter has no decoder.
        BrokenFileError: no writer of the filter stores such parameters.
    """
    for codec in codecs:
        if codec.id in CODECS:
            get_codec({"id": codec.id, **codec.configuration})


def _output_nbytes(message: _Message, codecs: Sequence[Codec]) -> int | None:
    """Bytes that come out of a filter, where its input alone decides that."""
    if message.nbytes is None or not codecs:
        return message.nbytes
    if message.id == FLETCHER32:
        return message.nbytes + CHECKSUM_NBYTES
    return message.nbytes if codecs[0].id in {"shuffle", "refmaker_hdf5_shuffle"} else None


@lru_cache(1024)
def filter_steps(filters: tuple[Filter, ...], dtype: np.dtype[Any], chunk_nbytes: int) -> tuple[FilterStep, ...]:
    """Return a dataset's filters in encoding order; cached, since files repeat few pipelines.

    Raises:
        UnsupportedError: one of them has no decoder here (code ``"filter"``).
    """
    steps: list[FilterStep] = []
    nbytes: int | None = chunk_nbytes
    for number, name, values in filters:
        message = _Message(number, name, values, dtype, nbytes)
        convert = FILTERS.get(number)
        if convert is None:
            raise UnsupportedError(f"HDF5 filter {number} ({name or 'unnamed'}) has no decoder here", code="filter")
        codecs = convert(message)
        _check(codecs)
        steps.append(FilterStep(codecs, nbytes))
        nbytes = _output_nbytes(message, codecs)
    return tuple(steps)
