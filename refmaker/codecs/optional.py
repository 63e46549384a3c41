"""``refmaker_optional``: filters that were applied to some chunks of an array and not to others.

HDF5 skips filters chunk by chunk: an optional compressor that does not win (a bit in the chunk's filter mask), and all
filters of partial edge chunks (layout flag bit 0, mask 0). What was skipped is stored with its raw length, and a chunk
of any other length went through. The scanner checks that rule on every chunk before it emits this codec.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from refmaker.codecs import get_codec
from refmaker.codecs.base import DECODER_ERRORS, U8, BytesCodec, as_u8
from refmaker.errors import BrokenFileError, OptionError

__all__ = ["Optional"]


class Optional(BytesCodec):
    """Passes exactly ``nbytes`` bytes through, and decodes any other length with ``codecs``.

    Attributes:
        codecs: numcodecs configurations of the filters that are skipped together, in the order of encoding.
        nbytes: length in bytes before those filters encode: the raw chunk, when nothing stands before them.
    """

    codec_id = "refmaker_optional"

    def __init__(self, *, codecs: Sequence[Mapping[str, Any]], nbytes: int) -> None:
        if nbytes < 0 or not codecs:
            raise OptionError(f"{self.codec_id}: {len(codecs)} codecs, nbytes {nbytes}; expected one and 0 or more")
        self._chain = [get_codec(config) for config in codecs]
        self.codecs = [codec.get_config() for codec in self._chain]
        self.nbytes = nbytes

    def decode_bytes(self, data: U8) -> U8:
        """Return ``nbytes`` bytes; BrokenFileError when ``data`` does not decode to that many."""
        if data.size == self.nbytes:
            return data
        for codec in reversed(self._chain):
            try:
                data = as_u8(codec.decode(np.ascontiguousarray(data)))
            except DECODER_ERRORS as error:
                raise BrokenFileError(f"{self.codec_id}: {codec.codec_id} cannot decode the chunk: {error}") from error
        if data.size != self.nbytes:
            raise BrokenFileError(f"{self.codec_id}: {data.size} bytes decoded, {self.nbytes} expected")
        return data

    def encode_bytes(self, data: U8) -> U8:
        """Return the filtered bytes, or ``data`` itself when filtering would give them the raw length."""
        if data.size != self.nbytes:
            raise OptionError(f"{self.codec_id}: {data.size} bytes to encode, {self.nbytes} expected")
        encoded = data
        for codec in self._chain:
            encoded = as_u8(codec.encode(encoded))
        return data if encoded.size == self.nbytes else encoded
