"""Which failures of a store may pass, and trying again after them.

Again: HTTP 408, 425, 429 and 5xx, reset connections, timeouts, bodies that end early. Never: 401, 403, 404, 416, and
whatever else says that the request is wrong.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar

from refmaker.errors import RefmakerError

__all__ = ["HttpStatusError", "ShortBodyError", "status_of", "transient", "with_retries"]

T = TypeVar("T")
PASSING = frozenset({408, 425, 429})
"""Statuses below 500 that may pass; 5xx all may, but 501 and 505 say "never"."""
NEVER = frozenset({501, 505})
LONGEST_DELAY = 10.0
FINAL = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError, NotImplementedError)
"""Exceptions without a status that say: the request is wrong."""


class HttpStatusError(OSError):
    """A response that is no success."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(f"HTTP status {status} {reason}".strip())
        self.status = status


class ShortBodyError(EOFError):
    """A response with fewer (or more) bytes than it announced or was asked for."""


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an exception and what caused it."""
    seen = 0
    while error is not None and seen < 10:
        yield error
        error = error.__cause__ or error.__context__
        seen += 1


def status_of(error: BaseException) -> int | None:
    """Return the HTTP status that one exception holds, as aiohttp, requests, botocore, gcsfs or Azure spell it."""
    response: Any = getattr(error, "response", None)
    if isinstance(response, dict):  # botocore
        found = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        return found if isinstance(found, int) else None
    for holder, name in ((error, "status"), (error, "status_code"), (error, "code"), (response, "status_code")):
        found = getattr(holder, name, None)
        if isinstance(found, int) and 100 <= found <= 599:
            return found
    return None


def transient(error: BaseException) -> bool:
    """Whether the same request may succeed later: the outermost exception that tells decides.

    A failed connection tells first: aiohttp gives a body that ends early the status 400 as its cause.
    """
    for one in chain(error):
        if isinstance(one, (RefmakerError, *FINAL)):
            return False
        if isinstance(one, ConnectionError | TimeoutError | EOFError) or _is_connection_failure(one):
            return True
        status = status_of(one)
        if status is not None and status >= 400:
            return status in PASSING or (status >= 500 and status not in NEVER)
    return isinstance(error, OSError)


def _is_connection_failure(error: BaseException) -> bool:
    """Whether it is a network failure of aiohttp or botocore, without importing them."""
    return any(
        kind.__name__
        in {"ClientConnectionError", "ClientPayloadError", "HTTPClientError", "IncompleteReadError", "FSTimeoutError"}
        for kind in type(error).__mro__
    )


async def with_retries(call: Callable[[], Awaitable[T]], *, attempts: int, first_delay: float) -> T:
    """Return what ``call`` returns, trying up to ``attempts`` times while failures may pass."""
    for attempt in range(1, attempts + 1):
        try:
            return await call()
        except Exception as error:  # whatever a store's library raises; all but passing ones go on
            if attempt == attempts or not transient(error):
                raise
        delay = min(first_delay * 2 ** (attempt - 1), LONGEST_DELAY)
        await asyncio.sleep(delay * random.uniform(0.5, 1.0))  # noqa: S311  so that many readers do not come in step
    raise AssertionError("attempts is at least 1")
