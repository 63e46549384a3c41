"""This package's codecs in Zarr v3: ``{"name": "numcodecs.refmaker_pad", "configuration": {"nbytes": 96}}``.

zarr-python wraps only the numcodecs it knows by name. This one class serves all of ours, registered under each name by
the entry points ``zarr.codecs``; the configuration is the numcodecs one without its id.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self, cast

import numcodecs.abc
import numpy as np
from zarr.abc.codec import BytesBytesCodec
from zarr.core.array_spec import ArraySpec
from zarr.core.buffer import Buffer
from zarr.registry import register_codec

from refmaker.codecs import CODECS, get_codec
from refmaker.codecs.base import as_u8
from refmaker.errors import UnsupportedError

__all__ = ["PREFIX", "RefmakerCodec", "register"]

PREFIX = "numcodecs."
"""How zarr-python, and what converts v2 metadata to v3, spell the name of a numcodecs codec."""


@dataclass(frozen=True)
class RefmakerCodec(BytesBytesCodec):
    """Any codec of ``refmaker.codecs.CODECS`` as a bytes-to-bytes codec of Zarr v3.

    Attributes:
        codec_id: its numcodecs id.
        configuration: its parameters, without the id.
    """

    codec_id: str
    configuration: Mapping[str, Any]
    _codec: numcodecs.abc.Codec = field(init=False, repr=False, compare=False)

    is_fixed_size = False

    def __post_init__(self) -> None:
        if self.codec_id not in CODECS:
            raise UnsupportedError(f"codec {self.codec_id!r} is not one of refmaker's", code="codec")
        object.__setattr__(self, "_codec", get_codec({"id": self.codec_id, **self.configuration}))

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Return the codec of a v3 ``{"name": ..., "configuration": ...}``."""
        return cls(data["name"].removeprefix(PREFIX), data.get("configuration", {}))

    def to_dict(self) -> dict[str, Any]:
        """Return the v3 JSON."""
        return {"name": PREFIX + self.codec_id, "configuration": dict(self.configuration)}

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: ArraySpec) -> int:
        """Not known before encoding."""
        raise NotImplementedError

    def _decode_sync(self, chunk_data: Buffer, chunk_spec: ArraySpec) -> Buffer:
        decoded = as_u8(self._codec.decode(chunk_data.as_numpy_array()))
        return chunk_spec.prototype.buffer.from_array_like(cast("Any", np.ascontiguousarray(decoded)))

    def _encode_sync(self, chunk_data: Buffer, chunk_spec: ArraySpec) -> Buffer | None:
        encoded = as_u8(self._codec.encode(chunk_data.as_numpy_array()))
        return chunk_spec.prototype.buffer.from_array_like(cast("Any", np.ascontiguousarray(encoded)))

    async def _decode_single(self, chunk_data: Buffer, chunk_spec: ArraySpec) -> Buffer:
        return await asyncio.to_thread(self._decode_sync, chunk_data, chunk_spec)

    async def _encode_single(self, chunk_data: Buffer, chunk_spec: ArraySpec) -> Buffer | None:
        return await asyncio.to_thread(self._encode_sync, chunk_data, chunk_spec)


def register(codec_ids: Iterable[str] = CODECS) -> None:
    """Register names with zarr in this process, as the entry points do where refmaker is installed."""
    for codec_id in codec_ids:
        register_codec(PREFIX + codec_id, RefmakerCodec)
