"""Decoders that stock numcodecs lacks, one per file, for Zarr v2 (numcodecs) and Zarr v3 (``zarr_v3``).

Every codec turns bytes into bytes. Their configuration is plain JSON; ``decode`` takes any buffer, gives contiguous
uint8, and raises ``BrokenFileError`` for bytes that are not what the format says.

=============================  =====================================================================================
``refmaker_pad``               right-pads a short last piece (TIFF strips, cut contiguous blocks) with zeros
``refmaker_optional``          passes chunks of the raw size through: filters that HDF5 skipped for some chunks
``refmaker_hdf5_shuffle``      HDF5 filter 2, for any length: bytes that fill no element stay where they are
``refmaker_hdf5_szip``         HDF5 filter 4 (imagecodecs)
``refmaker_hdf5_nbit``         HDF5 filter 5
``refmaker_hdf5_scaleoffset``  HDF5 filter 6
``refmaker_hdf5_lzf``          HDF5 filter 32000 (imagecodecs)
``refmaker_hdf5_lz4``          HDF5 filter 32004: framed blocks, not numcodecs' LZ4
``refmaker_hdf5_bitshuffle``   HDF5 filter 32008, alone or with LZ4 or Zstandard blocks
``refmaker_hdf5_zfp``          HDF5 filter 32013 (imagecodecs)
``refmaker_hdf5_blosc2``       HDF5 filter 32026 (blosc2): a contiguous frame, n-dimensional or not
``refmaker_hdf5_integer``      integers whose precision is less than their size, as integers that fill it
``refmaker_hdf5_float``        floating-point numbers of any bit layout, as IEEE ones
``refmaker_hdf5_string``       fixed-length strings as numpy has them: NULs after the end
``refmaker_hdf5_compound``     compound elements without the gaps between their members
=============================  =====================================================================================

Importing this package imports none of them: ``get_codec`` and the entry points ``numcodecs.codecs`` do, on use.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from refmaker.errors import UnsupportedError

if TYPE_CHECKING:
    import numcodecs.abc

__all__ = ["CODECS", "STOCK_BYTE_CODECS", "codec_class", "get_codec"]

CODECS: dict[str, str] = {
    "refmaker_hdf5_bitshuffle": "refmaker.codecs.hdf5_bitshuffle:Hdf5Bitshuffle",
    "refmaker_hdf5_blosc2": "refmaker.codecs.hdf5_blosc2:Hdf5Blosc2",
    "refmaker_hdf5_compound": "refmaker.codecs.hdf5_compound:Hdf5Compound",
    "refmaker_hdf5_float": "refmaker.codecs.hdf5_float:Hdf5Float",
    "refmaker_hdf5_integer": "refmaker.codecs.hdf5_integer:Hdf5Integer",
    "refmaker_hdf5_lz4": "refmaker.codecs.hdf5_lz4:Hdf5Lz4",
    "refmaker_hdf5_lzf": "refmaker.codecs.hdf5_lzf:Hdf5Lzf",
    "refmaker_hdf5_nbit": "refmaker.codecs.hdf5_nbit:Hdf5Nbit",
    "refmaker_hdf5_scaleoffset": "refmaker.codecs.hdf5_scaleoffset:Hdf5ScaleOffset",
    "refmaker_hdf5_shuffle": "refmaker.codecs.hdf5_shuffle:Hdf5Shuffle",
    "refmaker_hdf5_string": "refmaker.codecs.hdf5_string:Hdf5String",
    "refmaker_hdf5_szip": "refmaker.codecs.hdf5_szip:Hdf5Szip",
    "refmaker_hdf5_zfp": "refmaker.codecs.hdf5_zfp:Hdf5Zfp",
    "refmaker_optional": "refmaker.codecs.optional:Optional",
    "refmaker_pad": "refmaker.codecs.pad:Pad",
}
"""Codec id -> ``module:class``: what the entry points in pyproject.toml repeat."""

STOCK_BYTE_CODECS = frozenset(
    [
        "adler32",
        "blosc",
        "bz2",
        "crc32",
        "crc32c",
        "fletcher32",
        "gzip",
        "jenkins_lookup3",
        "lz4",
        "lzma",
        "shuffle",
        "zlib",
        "zstd",
    ]
)
"""The numcodecs ids that turn bytes into bytes. Others make objects (``pickle`` runs code) or need array shapes."""


def codec_class(codec_id: str) -> type["numcodecs.abc.Codec"]:
    """Return the class of one of refmaker's codecs; KeyError for any other id."""
    module, _, name = CODECS[codec_id].partition(":")
    found: type[numcodecs.abc.Codec] = getattr(import_module(module), name)
    return found


def get_codec(config: Mapping[str, Any]) -> "numcodecs.abc.Codec":
    """Return the bytes-to-bytes codec of a numcodecs configuration, entry points installed or not.

    Raises:
        UnsupportedError: the id is neither one of ``CODECS`` nor one of ``STOCK_BYTE_CODECS``.
    """
    codec_id = config.get("id")
    if codec_id in CODECS:
        return codec_class(codec_id).from_config({key: value for key, value in config.items() if key != "id"})
    if codec_id in STOCK_BYTE_CODECS:
        import numcodecs

        return numcodecs.get_codec(dict(config))
    raise UnsupportedError(
        f"codec {codec_id!r} is not one that turns bytes into bytes; known are "
        f"{', '.join(sorted(STOCK_BYTE_CODECS | CODECS.keys()))}",
        code="codec",
    )
