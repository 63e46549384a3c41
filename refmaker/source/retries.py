"""Which failures of a store pass by themselves, and trying again after them.

Passing: statuses 408, 425, 429 and 5xx, connections that break, time that runs out, answers that are cut short. Not
passing: the store knows what is asked and says no (401, 403, 404, 416, certificates), and everything unknown.
"""

import asyncio
import errno
import random
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from refmaker.source.policy import Transfer

__all__ = ["ShortAnswerError", "is_passing", "persistent"]

T = TypeVar("T")

PASSING_STATUSES = frozenset({408, 425, 429})
"""Besides 5xx: request timeout, too early, too many requests."""
PASSING_ERRNOS = frozenset({
    errno.EAGAIN, errno.EBUSY, errno.ECONNABORTED, errno.ECONNREFUSED, errno.ECONNRESET, errno.EHOSTUNREACH,
    errno.EINTR, errno.EIO, errno.ENETRESET, errno.ENETUNREACH, errno.EPIPE, errno.ETIMEDOUT,
})  # fmt: skip
"""EBUSY and EIO are what s3fs makes of "SlowDown" and "InternalError"."""
CONNECTION_ERRORS = frozenset({
    "ClientConnectionError", "ClientPayloadError", "ConnectTimeoutError", "ConnectionClosedError", "HTTPClientError",
    "IncompleteReadError", "ReadTimeoutError", "ResponseStreamingError", "ServiceRequestError", "ServiceResponseError",
})  # fmt: skip
"""What the clients under fsspec (aiohttp, botocore, azure-core) call a broken connection, wherever in the ancestry."""
LONGEST_DELAY = 10.0
"""Seconds; a store that asks for more is not waited for."""


class ShortAnswerError(Exception):
    """The store sent fewer bytes than it was asked for."""


def is_passing(error: BaseException) -> bool:
    """Whether the same request may well succeed a moment later."""
    status = _status(error)
    if status is not None:
        return status in PASSING_STATUSES or status >= 500
    ancestry = {kind.__name__ for kind in type(error).__mro__}
    if any("Certificate" in name or "CertVerification" in name for name in ancestry):
        return False
    if isinstance(error, ShortAnswerError | TimeoutError | ConnectionError | EOFError):
        return True
    if ancestry & CONNECTION_ERRORS:
        return True
    return isinstance(error, OSError) and error.errno in PASSING_ERRNOS


def _status(error: BaseException) -> int | None:
    """Return the HTTP status an error carries, whatever its library calls it."""
    for name in ("status", "status_code", "code"):
        status = getattr(error, name, None)
        if isinstance(status, int) and 400 <= status < 600:
            return status
    return None


async def persistent(call: Callable[[], Awaitable[T]], limit: asyncio.Semaphore, transfer: Transfer) -> T:
    """Return what ``call`` returns, asking again after passing failures; ``limit`` is held only while asking."""
    for attempt in range(transfer.retries + 1):
        try:
            async with limit, asyncio.timeout(transfer.timeout):
                return await call()
        except Exception as error:
            if attempt == transfer.retries or not is_passing(error):
                raise
            delay = _delay(error, transfer.first_delay * 2**attempt)
        await asyncio.sleep(delay)
    raise AssertionError


def _delay(error: BaseException, usual: float) -> float:
    """Return the seconds to wait: what the store asks for, or ``usual`` made uneven so that requests spread."""
    headers: Any = getattr(error, "headers", None) or {}
    asked = str(headers.get("Retry-After", ""))
    wanted = float(asked) if asked.isdigit() else usual * random.uniform(0.5, 1.5)  # noqa: S311  no secret
    return min(wanted, LONGEST_DELAY)
