"""How the strips and tiles of a page are decoded: its tags as a data type and a pipeline of codecs.

Decoding runs: bit order, decompression, unpacking of odd samples, predictor. Pipelines list codecs in the order of
encoding, so the other way round. What tifffile does is the rule; its name for a thing stands where TIFF has none.
"""

import base64
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from refmaker.errors import UnsupportedError
from refmaker.model.array import Codec

__all__ = ["FAX", "JPEG", "PICTURES", "Pipeline", "check_data_type", "pipeline_of"]

YCBCR = 6
"""The PhotometricInterpretation of luminance and chrominance."""
UNCOLOURED = frozenset({0, 1, 5, 8, 9, 10})
"""Those of grey, ink and lightness: libjpeg takes three samples of a picture that names no colours for YCbCr."""
LITTLE, BIG = "little", "big"


@dataclass(frozen=True, slots=True)
class Segment:
    """A whole strip or tile of a page: rows (depth included), pixels in a row, samples in a pixel."""

    page: Any
    rows: int
    width: int
    samples: int
    itemsize: int

    @property
    def nbytes(self) -> int:
        """Bytes when unpacked."""
        return self.rows * self.width * self.samples * self.itemsize

    @property
    def picture(self) -> dict[str, Any]:
        """What every codec of whole pictures must know."""
        return {"shape": [self.rows, self.width, self.samples], "itemsize": self.itemsize}

    @property
    def byteorder(self) -> str:
        """The file's byte order, as codecs spell it."""
        return LITTLE if self.page.parent.byteorder == "<" else BIG


@dataclass(frozen=True, slots=True)
class Pipeline:
    """How segments decode.

    Attributes:
        data_type: the elements that come out.
        codecs: in the order of encoding; none: the segments are the elements.
        row_nbytes: stored bytes of a row of pixels where nothing is compressed, else None.
    """

    data_type: np.dtype[Any]
    codecs: tuple[Codec, ...]
    row_nbytes: int | None


def _stock(name: str) -> Callable[[Segment], Codec]:
    return lambda _: Codec(name)


def _sized(name: str) -> Callable[[Segment], Codec]:
    return lambda segment: Codec(name, {"nbytes": segment.nbytes})


def _lerc(segment: Segment) -> Codec:
    """As libtiff does it, which compresses the numbers of big-endian files with their bytes swapped: nobody else."""
    if segment.itemsize > 1 and segment.byteorder == BIG:
        raise UnsupportedError("LERC in a big-endian file: readers differ on its order", code="dtype")
    samples = {"samples": segment.samples} if segment.samples > 1 else {}
    return Codec("refmaker_tiff_lerc", {"nbytes": segment.nbytes, **samples})


def _picture(name: str) -> Callable[[Segment], Codec]:
    return lambda segment: Codec(name, segment.picture)


def _ccitt(segment: Segment) -> Codec:
    page = segment.page
    found = {"scheme": int(page.compression), "rows": segment.rows, "width": segment.width}
    options = page.tags.valueof(292)
    options = int(options) if isinstance(options, int) else 0
    return Codec("refmaker_tiff_ccitt", {**found, "t4options": options} if options else found)


def _jpeg(segment: Segment) -> Codec:
    """As tifffile does it: YCbCr becomes RGB, RGB without a JFIF marker is taken as it is.

    Separate planes are grey pictures each, as libtiff has it; libjpeg (and so tifffile) refuses to take one for RGB.
    """
    page = segment.page
    if page.planarconfig != 1 and int(page.photometric) == YCBCR:
        raise UnsupportedError("JPEG of YCbCr in separate planes", code="layout")
    if segment.samples == 3 and int(page.photometric) in UNCOLOURED:
        raise UnsupportedError("JPEG of three samples that are no RGB: readers differ on them", code="photometric")
    extra: dict[str, Any] = {"bits": int(page.bitspersample)}
    if page.jpegtables:
        extra["tables"] = base64.b64encode(page.jpegtables).decode()
    if page.jpegheader:
        extra["header"] = base64.b64encode(page.jpegheader).decode()
    photometric = int(page.photometric)
    if not page.extrasamples:
        if photometric == 2 and not page.is_jfif and page.planarconfig == 1:
            extra["colorspace"] = 2
        if photometric in {2, 6}:
            extra["outcolorspace"] = 2
        elif photometric == 5:
            extra["outcolorspace"] = 4
        elif photometric > 3:
            if not hasattr(page.photometric, "name"):
                raise UnsupportedError(f"JPEG of photometric interpretation {photometric}", code="photometric")
            extra["outcolorspace"] = page.photometric.name
    if page.planarconfig != 1:
        extra["outcolorspace"] = 1
    return Codec("refmaker_tiff_jpeg", {**segment.picture, **extra})


COMPRESSION: dict[int, Callable[[Segment], Codec]] = {
    2: _ccitt,
    3: _ccitt,
    4: _ccitt,
    5: _sized("refmaker_tiff_lzw"),
    7: _jpeg,
    8: _stock("zlib"),
    22610: _picture("refmaker_tiff_jpegxr"),
    32773: _stock("refmaker_tiff_packbits"),
    32946: _stock("zlib"),
    33003: _picture("refmaker_tiff_jpeg2k"),
    33004: _picture("refmaker_tiff_jpeg2k"),
    33005: _picture("refmaker_tiff_jpeg2k"),
    33007: _jpeg,
    34712: _picture("refmaker_tiff_jpeg2k"),
    34887: _lerc,
    34892: _jpeg,
    34925: _stock("lzma"),
    34926: _stock("zstd"),
    34927: _picture("refmaker_tiff_webp"),
    34933: _picture("refmaker_tiff_png"),
    34934: _picture("refmaker_tiff_jpegxr"),
    50000: _stock("zstd"),
    50001: _picture("refmaker_tiff_webp"),
    50002: _picture("refmaker_tiff_jpegxl"),
    50013: _stock("zlib"),
    52546: _picture("refmaker_tiff_jpegxl"),
}
"""The Compression tag: TIFF 6.0, its technical notes and supplements, libtiff's and Aperio's numbers."""

FAX = frozenset({2, 3, 4})
PICTURES = frozenset({7, 22610, 33003, 33004, 33005, 33007, 34712, 34892, 34927, 34933, 34934, 50001, 50002, 52546})
"""Compressions of whole pictures: they know their samples, and neither predictor nor bit order applies."""
JPEG = frozenset({7, 33007, 34892})
NATIVE = PICTURES | {34887}
"""Compressions that give numbers in the machine's byte order."""

PREDICTOR_DISTANCE = {2: 1, 34892: 2, 34893: 4, 3: 1, 34894: 2, 34895: 4}
"""The Predictor tag -> pixels apart; TIFF 6.0 section 14, Adobe's technical note 3 and DNG."""
FLOATING_POINT = frozenset({3, 34894, 34895})

COMPLEX_INTEGER = 5
"""The SampleFormat of complex integers."""


def pipeline_of(page: Any, rows: int, width: int, samples: int) -> Pipeline:
    """Return how the segments of a page (a keyframe of tifffile's) decode.

    Args:
        page: the page.
        rows: rows of a whole segment; for tiles of a volume, those of all its planes.
        width: pixels in a row.
        samples: samples in a pixel of a segment.

    Raises:
        UnsupportedError: nothing here decodes it.
    """
    check_data_type(page)
    _check_samples(page)
    segment = Segment(page, rows, width, samples, page.dtype.itemsize)
    compression = int(page.compression)
    decompress = COMPRESSION.get(compression)
    if decompress is None and compression != 1:
        raise UnsupportedError(f"compression {_named(page.compression)} is not supported", code="compression")
    codecs: list[Codec] = [] if decompress is None else [decompress(segment)]
    native = page.dtype.newbyteorder("<")
    if compression in PICTURES or compression in FAX:
        data_type = native
    else:
        data_type, unpack = _unpacked(segment)
        if compression in NATIVE:
            data_type = native if not unpack else data_type
        data_type, unpredict = _unpredicted(segment, data_type)
        codecs = [*unpredict, *unpack, *codecs]
    if int(page.fillorder) == 2 and compression not in PICTURES:
        codecs.append(Codec("refmaker_tiff_fillorder"))
    bits = page.bitspersample
    row = -(-bits * width * samples // 8) if compression == 1 else None
    return Pipeline(data_type, tuple(codecs), row)


def check_data_type(page: Any) -> None:
    """Refuse a page whose samples are no numbers that numpy has."""
    if page.dtype is None or page._dtype is None:  # tifffile looks at both
        raise UnsupportedError(
            f"samples of {_listed(page.bitspersample)} bits (SampleFormat {_listed(page.sampleformat)}) "
            "have no data type",
            code="dtype",
        )


def _check_samples(page: Any) -> None:
    """Refuse what tifffile refuses: samples that differ, chroma subsampling outside JPEG, packed RGB."""
    compression = int(page.compression)
    if isinstance(page.bitspersample, tuple):
        raise UnsupportedError(f"pixels of {_listed(page.bitspersample)} bits are not supported", code="dtype")
    formats = page.tags.valueof(339)
    if isinstance(formats, tuple) and len(set(formats)) > 1:
        raise UnsupportedError(f"sample formats differ: {_listed(formats)}", code="dtype")
    if page.is_subsampled and (compression not in JPEG or page.planarconfig == 2):
        raise UnsupportedError("chroma subsampling without JPEG is not supported", code="subsampling")
    if (compression in FAX) != (compression in FAX and page.bitspersample == 1):
        raise UnsupportedError("fax compression of other than bilevel images", code="compression")


def _unpacked(segment: Segment) -> tuple[np.dtype[Any], list[Codec]]:
    """Return the data type of unpacked samples and the codec that unpacks them, if one is needed."""
    page, bits = segment.page, segment.page.bitspersample
    kind = page.dtype.newbyteorder("<" if segment.byteorder == LITTLE else ">")
    if int(page.sampleformat) == COMPLEX_INTEGER:
        return kind, [Codec("refmaker_tiff_complexint", {"itemsize": bits // 16, "byteorder": segment.byteorder})]
    if bits == 8 * page.dtype.itemsize:
        return kind, []
    if kind.kind == "f":
        return kind, [Codec("refmaker_tiff_float24", {"byteorder": segment.byteorder})]
    layout = {"bits": bits, "length": segment.width * segment.samples, "itemsize": kind.itemsize}
    if bits % 8 == 0 and segment.byteorder == BIG:
        raise UnsupportedError(f"{bits}-bit samples of a big-endian file: readers differ on their order", code="dtype")
    return kind.newbyteorder("<"), [Codec("refmaker_tiff_bitunpack", layout)]


def _unpredicted(segment: Segment, kind: np.dtype[Any]) -> tuple[np.dtype[Any], list[Codec]]:
    """Return the data type behind the predictor and its codec, if there is one."""
    page = segment.page
    predictor = int(page.predictor)
    if predictor == 1:
        return kind, []
    distance = PREDICTOR_DISTANCE.get(predictor)
    if distance is None:
        raise UnsupportedError(f"predictor {_named(page.predictor)} is not supported", code="predictor")
    layout: dict[str, Any] = {"itemsize": kind.itemsize, "width": segment.width, "samples": segment.samples}
    if distance > 1:
        layout["distance"] = distance
    if predictor in FLOATING_POINT:
        if kind.kind != "f" or page.bitspersample == 24:
            raise UnsupportedError(
                f"the floating-point predictor for {page.bitspersample}-bit {kind}", code="predictor"
            )
        return kind.newbyteorder(">"), [Codec("refmaker_tiff_predictor3", layout)]
    if kind.kind == "c" or page.bitspersample in {1, 24}:
        raise UnsupportedError(f"predictor 2 for {page.bitspersample}-bit {kind}", code="predictor")
    order = BIG if kind.byteorder == ">" else LITTLE
    return kind, [Codec("refmaker_tiff_predictor2", {**layout, "byteorder": order})]


def _listed(value: Any) -> str:
    return ", ".join(str(int(part)) for part in value) if isinstance(value, tuple) else str(int(value))


def _named(value: Any) -> str:
    return f"{int(value)} ({value.name})" if hasattr(value, "name") else str(int(value))
