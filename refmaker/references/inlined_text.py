"""Inlined bytes as kerchunk spells them: ``"base64:..."``, or text that stands for itself."""

import base64
import binascii

from refmaker.errors import BrokenReferencesError

__all__ = ["BASE64", "inlined_bytes"]

BASE64 = "base64:"


def inlined_bytes(value: str | bytes) -> bytes:
    """Return the bytes that an inlined value stands for.

    Raises:
        BrokenReferencesError: it says base64 and is not.
    """
    if isinstance(value, bytes):
        value = value.decode("latin-1")
        if not value.startswith(BASE64):
            return value.encode("latin-1")
    if not value.startswith(BASE64):
        return value.encode()
    try:
        return base64.b64decode(value[len(BASE64) :], validate=True)
    except (binascii.Error, ValueError) as error:
        raise BrokenReferencesError(f"is not base64: {error}") from error
