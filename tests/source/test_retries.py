"""Which failures pass."""

import asyncio
import errno
import ssl
from typing import Any

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey

from refmaker.errors import SourceError
from refmaker.source import retries
from refmaker.source.retries import HttpStatusError, ShortAnswerError, is_passing, persistent


class WithStatusError(Exception):
    def __init__(self, **attributes: Any) -> None:
        super().__init__()
        self.__dict__.update(attributes)


class IncompleteReadError(Exception):
    """As botocore names it."""


KEY = ConnectionKey("h", 443, True, True, None, None, None)


@pytest.mark.parametrize(
    "error",
    [
        *(WithStatusError(status=status) for status in (408, 425, 429, 500, 502, 503, 504)),
        WithStatusError(status_code=503),
        WithStatusError(code=500),
        ShortAnswerError(),
        TimeoutError(),
        ConnectionResetError(),
        OSError(errno.EBUSY, "slow down"),
        OSError(errno.EIO, "internal error"),
        aiohttp.ServerDisconnectedError(),
        aiohttp.ClientPayloadError(),
        IncompleteReadError(),
    ],
    ids=repr,
)
def test_these_pass(error: Exception) -> None:
    assert is_passing(error)


@pytest.mark.parametrize(
    "error",
    [
        *(WithStatusError(status=status) for status in (400, 401, 403, 404, 416)),
        FileNotFoundError(errno.ENOENT, "no such key"),
        PermissionError(errno.EACCES, "forbidden"),
        aiohttp.ClientConnectorCertificateError(KEY, ssl.SSLCertVerificationError()),
        ValueError("bug"),
        WithStatusError(code="AccessDenied"),
    ],
    ids=repr,
)
def test_these_do_not(error: Exception) -> None:
    assert not is_passing(error)


class CausedError(Exception):
    """What a filesystem wraps its client's error in."""


def caused(outer: Exception, cause: Exception) -> Exception:
    outer.__cause__ = cause
    return outer


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (caused(CausedError(), WithStatusError(status=503)), True),
        (caused(CausedError(), WithStatusError(status=404)), False),
        (caused(OSError(errno.EIO, "not implemented"), WithStatusError(status=501)), False),
        (caused(aiohttp.ClientPayloadError(), WithStatusError(status=400)), True),
        (caused(FileNotFoundError(), WithStatusError(status=503)), False),
        (WithStatusError(response={"ResponseMetadata": {"HTTPStatusCode": 503}}), True),
        (WithStatusError(response=WithStatusError(status_code=429)), True),
        (WithStatusError(status=505), False),
        (HttpStatusError(502, "Bad Gateway"), True),
        (SourceError("is no allowed location"), False),
    ],
    ids=repr,
)
def test_the_outermost_cause_that_tells_decides(error: Exception, passes: bool) -> None:
    assert is_passing(error) is passes


def attempts_until(failures: list[Exception], attempts: int) -> list[float]:
    """Return the delays of a call that fails so and then succeeds; raise what ``persistent`` raises."""
    delays: list[float] = []

    async def call() -> str:
        if failures:
            raise failures.pop(0)
        return "done"

    async def slept(delay: float) -> None:
        delays.append(delay)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asyncio, "sleep", slept)
        assert asyncio.run(persistent(call, attempts=attempts, first_delay=1.0)) == "done"
    return delays


def test_delays_double_and_are_uneven() -> None:
    first, second, third = attempts_until([TimeoutError(), HttpStatusError(503, ""), EOFError()], 4)
    assert 0.5 <= first <= 1.5
    assert 1 <= second <= 3
    assert 2 <= third <= 6


def test_what_the_store_asks_for_is_waited_for_but_not_for_long() -> None:
    assert attempts_until([HttpStatusError(429, "", {"Retry-After": "3"})], 2) == [3.0]
    assert attempts_until([HttpStatusError(429, "", {"Retry-After": "3600"})], 2) == [retries.LONGEST_DELAY]


def test_only_passing_failures_are_tried_again_and_not_for_ever() -> None:
    failures: list[Exception] = [TimeoutError()] * 3
    with pytest.raises(TimeoutError):
        attempts_until(failures, 3)
    failures = [HttpStatusError(404, "Not Found"), TimeoutError()]
    with pytest.raises(HttpStatusError, match="404"):
        attempts_until(failures, 3)
    assert len(failures) == 1
