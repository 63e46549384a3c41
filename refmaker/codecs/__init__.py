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
``refmaker_tiff_packbits``     TIFF compression 32773
``refmaker_tiff_lzw``          TIFF compression 5 (imagecodecs)
``refmaker_tiff_ccitt``        TIFF compressions 2, 3 and 4: fax (imagecodecs)
``refmaker_tiff_jpeg``         TIFF compression 7 with its tables (imagecodecs)
``refmaker_tiff_jpeg2k``       TIFF compression 34712 (imagecodecs)
``refmaker_tiff_jpegxl``       TIFF compression 50002 (imagecodecs)
``refmaker_tiff_jpegxr``       TIFF compression 34934 (imagecodecs)
``refmaker_tiff_webp``         TIFF compression 50001 (imagecodecs)
``refmaker_tiff_png``          TIFF compression 34933 (imagecodecs)
``refmaker_tiff_lerc``         TIFF compression 34887 (imagecodecs)
``refmaker_tiff_predictor2``   TIFF predictor 2: differences along rows
``refmaker_tiff_predictor3``   TIFF predictor 3: the same of floating-point numbers' bytes
``refmaker_tiff_bitunpack``    samples of 1 to 32 bits, as whole integers
``refmaker_tiff_fillorder``    bytes with their lowest bit first
``refmaker_tiff_complexint``    complex integers as complex floats
``refmaker_tiff_float24``      24-bit floats as 32-bit ones
=============================  =====================================================================================

Importing this package imports none of them: ``get_codec`` and the entry points ``numcodecs.codecs`` do, on use.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from refmaker.errors import OptionError, RefmakerError, UnsupportedError

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
    "refmaker_tiff_bitunpack": "refmaker.codecs.tiff_bitunpack:TiffBitUnpack",
    "refmaker_tiff_ccitt": "refmaker.codecs.tiff_ccitt:TiffCcitt",
    "refmaker_tiff_complexint": "refmaker.codecs.tiff_complexint:TiffComplexInt",
    "refmaker_tiff_fillorder": "refmaker.codecs.tiff_fillorder:TiffFillOrder",
    "refmaker_tiff_float24": "refmaker.codecs.tiff_float24:TiffFloat24",
    "refmaker_tiff_jpeg": "refmaker.codecs.tiff_jpeg:TiffJpeg",
    "refmaker_tiff_jpeg2k": "refmaker.codecs.tiff_jpeg2k:TiffJpeg2k",
    "refmaker_tiff_jpegxl": "refmaker.codecs.tiff_jpegxl:TiffJpegXl",
    "refmaker_tiff_jpegxr": "refmaker.codecs.tiff_jpegxr:TiffJpegXr",
    "refmaker_tiff_lerc": "refmaker.codecs.tiff_lerc:TiffLerc",
    "refmaker_tiff_lzw": "refmaker.codecs.tiff_lzw:TiffLzw",
    "refmaker_tiff_packbits": "refmaker.codecs.tiff_packbits:TiffPackBits",
    "refmaker_tiff_png": "refmaker.codecs.tiff_png:TiffPng",
    "refmaker_tiff_predictor2": "refmaker.codecs.tiff_predictor2:TiffPredictor2",
    "refmaker_tiff_predictor3": "refmaker.codecs.tiff_predictor3:TiffPredictor3",
    "refmaker_tiff_webp": "refmaker.codecs.tiff_webp:TiffWebp",
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
        OptionError: the codec takes no such configuration.
    """
    codec_id = config.get("id") if isinstance(config, Mapping) else None
    try:
        if isinstance(codec_id, str) and codec_id in CODECS:
            return codec_class(codec_id).from_config({key: value for key, value in config.items() if key != "id"})
        if isinstance(codec_id, str) and codec_id in STOCK_BYTE_CODECS:
            import numcodecs

            return numcodecs.get_codec(dict(config))
    except RefmakerError:
        raise
    except (TypeError, ValueError, LookupError, ArithmeticError) as error:
        raise OptionError(f"{codec_id} takes no such configuration ({config!r:.200}): {error}") from error
    raise UnsupportedError(
        f"codec {codec_id!r} is not one that turns bytes into bytes; known are "
        f"{', '.join(sorted(STOCK_BYTE_CODECS | CODECS.keys()))}",
        code="codec",
    )
