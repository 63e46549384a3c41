"""A local HTTP server with byte ranges, which can be told to fail."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest


@dataclass
class Faults:
    """What the server does.

    Attributes:
        folder: what it serves.
        url: where.
        fault: how requests for ``*.bin`` fail: a status, or "short", "empty", "ignores range", "reset"; "" for not.
    """

    folder: Path
    url: str = ""
    fault: str = ""


@pytest.fixture
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Faults]:
    """Run a server for one test."""
    faults = Faults(tmp_path_factory.mktemp("served"))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self.answer(body=False)

        def do_GET(self) -> None:
            self.answer(body=True)

        def answer(self, *, body: bool) -> None:
            path = faults.folder / self.path.lstrip("/")
            fault = faults.fault if self.path.endswith(".bin") else ""
            if fault == "reset":
                self.close_connection = True
                self.connection.close()
                return
            if fault.isdigit() or not path.is_file():
                self.reply(int(fault or 404), b"<html>an error</html>", body=body)
                return
            data, status, span = path.read_bytes(), 200, ""
            if (wanted := self.headers.get("Range")) and fault != "ignores range":
                first, _, last = wanted.removeprefix("bytes=").partition("-")
                stop = min(int(last) + 1, len(data)) if last else len(data)
                span, status = f"bytes {first}-{stop - 1}/{len(data)}", 206
                data = data[int(first) : stop]
            data = {"short": data[:-1], "empty": b""}.get(fault, data)
            self.reply(status, data, span, body=body)

        def reply(self, status: int, data: bytes, span: str = "", *, body: bool) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.send_header("Accept-Ranges", "bytes")
            if span:
                self.send_header("Content-Range", span)
            self.end_headers()
            if body:
                self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    faults.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield faults
    server.shutdown()
    thread.join()
    server.server_close()
