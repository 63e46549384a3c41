"""Which failures pass."""

import errno
import ssl
from typing import Any

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey

from refmaker.source.retries import ShortAnswerError, is_passing


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
