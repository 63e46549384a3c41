"""Which failures of a store pass by themselves, and trying again after them.

Passing: statuses 408, 425, 429 and 5xx, connections that break, time that runs out, answers that are cut short. Not
passing: the store knows what is asked and says no (401, 403, 404, 416, 501, certificates), and everything unknown.
"""

import asyncio
import errno
import random
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar

from refmaker.errors import RefmakerError

__all__ = ["HttpStatusError", "ShortAnswerError", "is_absent", "is_passing", "persistent", "told"]

T = TypeVar("T")

PASSING_STATUSES = frozenset({408, 425, 429})
"""Besides 5xx: request timeout, too early, too many requests."""
FINAL_STATUSES = frozenset({501, 505})
"""The two of 5xx that say "never": not implemented, no such HTTP version."""
FINAL_ERRORS = (
    RefmakerError, FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError, NotImplementedError,
)  # fmt: skip
"""They tell whatever caused them: the request is wrong."""
PASSING_ERRNOS = frozenset({
    errno.EAGAIN, errno.EBUSY, errno.ECONNABORTED, errno.ECONNREFUSED, errno.ECONNRESET, errno.EHOSTUNREACH,
    errno.EINTR, errno.EIO, errno.ENETRESET, errno.ENETUNREACH, errno.EPIPE, errno.ETIMEDOUT,
})  # fmt: skip
"""EBUSY and EIO are what s3fs makes of "SlowDown" and "InternalError"."""
CONNECTION_ERRORS = frozenset({
    "ClientConnectionError", "ClientPayloadError", "ConnectTimeoutError", "ConnectionClosedError", "FSTimeoutError",
    "HTTPClientError", "IncompleteReadError", "ReadTimeoutError", "ResponseStreamingError", "ServiceRequestError",
    "ServiceResponseError",
})  # fmt: skip
"""What the clients under fsspec (aiohttp, botocore, azure-core) call a broken connection, wherever in the ancestry."""
ABSENT_STATUSES = frozenset({404, 410})
ABSENT_ERRNOS = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP})
LONGEST_DELAY = 10.0
"""Seconds; a store that asks for more is not waited for."""
LONGEST_CHAIN = 10


class HttpStatusError(OSError):
    """A response that is no success."""

    def __init__(self, status: int, reason: str, headers: Any = None) -> None:
        super().__init__(f"HTTP status {status} {reason}".strip())
        self.status = status
        self.headers = headers


class ShortAnswerError(EOFError):
    """The store sent fewer bytes (or others) than it was asked for."""


def is_passing(error: BaseException) -> bool:
    """Whether the same request may well succeed a moment later: the outermost of the causes that tells decides.

    A broken connection tells before a status: aiohttp gives a body that ends early the status 400 as its cause.
    """
    for one in _causes(error):
        ancestry = {kind.__name__ for kind in type(one).__mro__}
        if isinstance(one, FINAL_ERRORS) or any("Certificate" in name or "CertVerif" in name for name in ancestry):
            return False
        if isinstance(one, ConnectionError | TimeoutError | EOFError) or ancestry & CONNECTION_ERRORS:
            return True
        status = _status(one)
        if status is not None:
            return status in PASSING_STATUSES or (status >= 500 and status not in FINAL_STATUSES)
    return isinstance(error, OSError) and error.errno in PASSING_ERRNOS


def is_absent(error: BaseException) -> bool:
    """Whether a store says that there is no such file: the innermost cause tells.

    Some filesystems make "not found" of every failure, 401 and 503 too, so a status tells before that.
    """
    causes = [one for one in _causes(error) if not isinstance(one, RefmakerError)]
    statuses = [status for one in causes if (status := _status(one)) is not None]
    if statuses:
        return statuses[-1] in ABSENT_STATUSES
    if any({kind.__name__ for kind in type(one).__mro__} & CONNECTION_ERRORS for one in causes):
        return False
    failures = [one for one in causes if isinstance(one, OSError)]
    return bool(failures) and all(
        isinstance(one, FileNotFoundError | NotADirectoryError) or one.errno in ABSENT_ERRNOS for one in failures
    )


def told(error: Exception) -> str:
    """Return what a store's failure is, in words: the HTTP status, even where the client made another error of it."""
    for one in _causes(error):
        if type(one).__name__ == "ClientResponseError":  # its own text repeats the URL
            return f"HTTP status {getattr(one, 'status', '?')} ({getattr(one, 'message', '')})"
    name, said = type(error).__name__, str(error)
    text = f"{name}: {said}" if said else name
    if name == "NoCredentialsError":
        text += "; for a public bucket, pass the storage option anon=True (--storage-option anon=true)"
    return text


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and what caused it."""
    one: BaseException | None = error
    for _ in range(LONGEST_CHAIN):
        if one is None:
            return
        yield one
        one = one.__cause__ or one.__context__


def _status(error: BaseException) -> int | None:
    """Return the HTTP status that one exception carries, as aiohttp, requests, botocore, gcsfs or Azure spell it."""
    response: Any = getattr(error, "response", None)
    if isinstance(response, dict):  # botocore
        told = iter([response.get("ResponseMetadata", {}).get("HTTPStatusCode")])
    else:
        names = ("status", "status_code", "code")
        told = (getattr(holder, name, None) for holder in (error, response) for name in names)
    return next((one for one in told if isinstance(one, int) and 400 <= one < 600), None)


async def persistent(call: Callable[[], Awaitable[T]], *, attempts: int, first_delay: float) -> T:
    """Return what ``call`` returns, trying up to ``attempts`` times while failures pass.

    Args:
        call: one request.
        attempts: 1 or more.
        first_delay: seconds before the second attempt, twice as many before each further one; made uneven, so that
            many readers do not come in step. What the store asks for (Retry-After) goes before.
    """
    for attempt in range(attempts):
        try:
            return await call()
        except Exception as error:  # whatever a store's library raises; all but passing ones go on
            if attempt == attempts - 1 or not is_passing(error):
                raise
            delay = _delay(error, first_delay * 2**attempt)
        await asyncio.sleep(delay)
    raise AssertionError("attempts is at least 1")


def _delay(error: BaseException, usual: float) -> float:
    """Return the seconds to wait: what the store asks for, or about as many as usual."""
    headers: Any = getattr(error, "headers", None) or {}
    asked = str(headers.get("Retry-After", ""))
    wanted = float(asked) if asked.isdigit() else usual * random.uniform(0.5, 1.5)  # noqa: S311  no secret
    return min(wanted, LONGEST_DELAY)
