"""What all codecs here share: bytes in, bytes out, JSON configuration, typed errors, optional packages on use."""

import lzma
import zlib
from collections.abc import Mapping
from importlib import import_module
from types import ModuleType
from typing import Any, ClassVar, Self, TypeAlias

import numpy as np
import numpy.typing as npt
from numcodecs.abc import Codec
from numcodecs.compat import ensure_contiguous_ndarray, ndarray_copy

from refmaker.errors import BrokenFileError, MissingDependencyError, OptionError, UnsupportedError

__all__ = ["DECODER_ERRORS", "U8", "BytesCodec", "as_u8", "require"]

U8: TypeAlias = npt.NDArray[np.uint8]

DECODER_ERRORS = (
    *(ValueError, RuntimeError, OSError, EOFError, MemoryError, OverflowError, IndexError),
    *(zlib.error, lzma.LZMAError),
)
"""What numcodecs, imagecodecs and blosc2 raise for bytes they cannot decode."""


class BytesCodec(Codec):  # type: ignore[misc]  # numcodecs has no types
    """A numcodecs codec from bytes to bytes; subclasses write ``decode_bytes`` and, where it exists, ``encode_bytes``.

    Public attributes are the configuration, and must be JSON values.
    """

    codec_id: ClassVar[str]

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Return the codec of a configuration without its id.

        Raises:
            OptionError: a number is none. What else is wrong, constructors say.
        """
        kinds = getattr(cls.__init__, "__annotations__", {})  # object.__init__ has none
        for name, value in config.items():
            if kinds.get(name) is int and type(value) is not int:
                raise OptionError(f"{cls.codec_id}: {name} is {value!r:.60}; expected a whole number")
        return cls(**config)

    def decode(self, buf: Any, out: Any = None) -> Any:
        """Return the decoded bytes as contiguous uint8, or ``out`` filled with them.

        Args:
            buf: encoded bytes: any contiguous buffer.
            out: a writable array of exactly the decoded size in bytes, or None.

        Raises:
            BrokenFileError: the bytes are not what the format says, or do not fit ``out``.
            UnsupportedError: they use what this decoder does not know, or a package is missing.
        """
        decoded = self.decode_bytes(as_u8(buf))
        if out is None:
            return decoded
        wanted = as_u8(out).size
        if decoded.size != wanted:
            raise BrokenFileError(f"{self.codec_id}: {decoded.size} bytes decoded, {wanted} expected")
        return ndarray_copy(decoded, out)

    def encode(self, buf: Any) -> U8:
        """Return the encoded bytes as contiguous uint8.

        Raises:
            UnsupportedError: the codec only decodes.
        """
        return self.encode_bytes(as_u8(buf))

    def decode_bytes(self, data: U8) -> U8:
        """Return the decoded bytes of ``data``; may return ``data`` itself, never changes it."""
        raise NotImplementedError

    def encode_bytes(self, data: U8) -> U8:
        """Return the encoded bytes of ``data``; may return ``data`` itself, never changes it."""
        raise UnsupportedError(f"{self.codec_id} is a read-only codec: it decodes {data.size} bytes, never encodes")


def as_u8(buf: Any) -> U8:
    """Return the bytes of a contiguous buffer as a flat uint8 view, without a copy."""
    flat: U8 = ensure_contiguous_ndarray(buf).view(np.uint8)
    return flat


def require(package: str, codec_id: str) -> ModuleType:
    """Return an optional package.

    Raises:
        MissingDependencyError: it is not installed; the message says how to get it.
    """
    try:
        return import_module(package)
    except ImportError as error:
        raise MissingDependencyError(
            f"{codec_id} needs the '{package}' package; pip install 'refmaker[codecs]'", code="dependency"
        ) from error
