"""Codec pipelines compared as decoders: what differs only in how hard the encoder tried decodes alike."""

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from refmaker.codecs import get_codec
from refmaker.model.array import Codec

__all__ = ["decoder_of", "decoding", "pipeline", "unified"]

ENCODER_ONLY: dict[str, frozenset[str] | None] = {
    "blosc": None,
    "bz2": None,
    "gzip": None,
    "lz4": None,
    "zlib": None,
    "zstd": None,
    "lzma": frozenset({"preset", "check"}),
}
"""Parameters that decoders do not look at, by codec id; None: all of them."""
PAD = "refmaker_pad"


def decoder_of(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """Return a numcodecs configuration without what its decoder does not look at."""
    ignored = ENCODER_ONLY.get(configuration["id"], frozenset())
    return {
        name: [decoder_of(codec) for codec in value] if name == "codecs" and isinstance(value, list) else value
        for name, value in configuration.items()
        if name == "id" or (ignored is not None and name not in ignored)
    }


def decoding(codecs: Sequence[Codec]) -> list[dict[str, Any]]:
    """Return a pipeline as its decoders see it."""
    return [decoder_of({"id": codec.id, **codec.configuration}) for codec in codecs]


def unified(one: tuple[Codec, ...], other: tuple[Codec, ...]) -> tuple[Codec, ...] | None:
    """Return a pipeline that decodes what either decodes, or None.

    Padding a short last piece changes no whole chunk, so pipelines with and without it go together.
    """
    if one == other:
        return one
    (pad, rest), (other_pad, other_rest) = _without_pad(one), _without_pad(other)
    if decoding(rest) != decoding(other_rest) or (pad and other_pad and pad != other_pad):
        return None
    return (*(pad or other_pad), *rest)


def _without_pad(codecs: tuple[Codec, ...]) -> tuple[tuple[Codec, ...], tuple[Codec, ...]]:
    return (codecs[:1], codecs[1:]) if codecs and codecs[0].id == PAD else ((), codecs)


def pipeline(codecs: Sequence[Codec]) -> tuple[Any, ...]:
    """Return numcodecs codecs in the order of encoding; built once for each configuration.

    Raises:
        UnsupportedError: a codec is not one that turns bytes into bytes, and not one for variable-length text.
    """
    return _pipeline(json.dumps([{"id": codec.id, **codec.configuration} for codec in codecs], sort_keys=True))


@lru_cache(maxsize=256)
def _pipeline(spelled: str) -> tuple[Any, ...]:
    return tuple(_codec(configuration) for configuration in json.loads(spelled))


def _codec(configuration: dict[str, Any]) -> Any:
    if configuration["id"] in {"vlen-utf8", "vlen-bytes"}:
        import numcodecs

        return numcodecs.get_codec(configuration)
    return get_codec(configuration)
