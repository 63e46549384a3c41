"""The libraries that read ranges of S3 objects: how a test has one of them asked, and the other one not."""

from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from refmaker.serve import obstore_range

HTTP, S3FS, OBSTORE = "http", "s3 by s3fs", "s3 by obstore"


def only(client: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have ranges in S3 read by one of its two clients, and by that one only."""
    s3fs = pytest.importorskip("s3fs")
    if client == S3FS:
        monkeypatch.setattr(obstore_range, "_store", lambda *_: None)
        return
    pytest.importorskip("obstore")
    asked = s3fs.S3FileSystem._call_s3

    async def asked_for_no_data(self: Any, method: str, *akwarglist: Any, **kwargs: Any) -> Any:
        assert not str(kwargs.get("Key")).endswith(".bin"), "s3fs was asked"
        return await asked(self, method, *akwarglist, **kwargs)

    monkeypatch.setattr(s3fs.S3FileSystem, "_call_s3", asked_for_no_data)


def last_modified_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the faulty server tell when files were modified, as S3 always does and obstore wants it."""
    end_headers = BaseHTTPRequestHandler.end_headers

    def told(self: BaseHTTPRequestHandler) -> None:
        self.send_header("Last-Modified", "Sat, 21 Nov 2026 00:00:00 GMT")
        end_headers(self)

    monkeypatch.setattr(BaseHTTPRequestHandler, "end_headers", told)
