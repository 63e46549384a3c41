"""Local servers that tests start themselves: HTTP with byte ranges, told to fail in many ways; S3 by moto."""

import hashlib
import socket
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

LOGIN = b"<!DOCTYPE html><html><head><title>Sign in</title></head><body>who are you?</body></html>"


@dataclass
class Faults:
    """What the server does.

    Attributes:
        folder: what it serves.
        url: where.
        fault: how requests for ``*.bin`` fail: a status, or "short", "cut", "empty", "ignores range", "reset",
            "login 200", "login 206", "bare login 206", "no range", "other range", "slow", "other etag"; "" for not.
        times: how many requests fail; None: all.
        requests: (method, path, range) of every request so far.
        seconds: how long "slow" takes.
        in_flight: most requests at the same time so far.
    """

    folder: Path
    url: str = ""
    fault: str = ""
    times: int | None = None
    requests: list[tuple[str, str, str | None]] = field(default_factory=list)
    seconds: float = 0.0
    delay: float = 0.0
    in_flight: int = 0
    now: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take_fault(self, path: str) -> str:
        """Return how this request fails, counting it."""
        with self.lock:
            if not path.endswith(".bin") or not self.fault or self.times == 0:
                return ""
            if self.times is not None:
                self.times -= 1
            return self.fault

    def gets(self) -> list[str | None]:
        """Return the ranges of the requests for data."""
        return [span for method, path, span in self.requests if method == "GET" and path.endswith(".bin")]


@pytest.fixture
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Faults]:
    """Run a server for one test."""
    faults = Faults(tmp_path_factory.mktemp("served"))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self.counted(body=False)

        def do_GET(self) -> None:
            self.counted(body=True)

        def counted(self, *, body: bool) -> None:
            with faults.lock:
                faults.requests.append((self.command, self.path, self.headers.get("Range")))
                faults.now += 1
                faults.in_flight = max(faults.in_flight, faults.now)
            time.sleep(faults.delay)
            try:
                self.answer(body=body)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True
            finally:
                with faults.lock:
                    faults.now -= 1

        def answer(self, *, body: bool) -> None:
            path = faults.folder / self.path.lstrip("/")
            fault = faults.take_fault(self.path) if body else ""
            if fault == "reset":
                self.close_connection = True
                linger = struct.pack("ii", 1, 0)
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                self.connection.close()
                return
            if fault == "slow":
                time.sleep(faults.seconds)
            if fault.isdigit() or not path.is_file():
                self.reply(int(fault or 404), b"<html>an error</html>", body=body)
                return
            if fault == "login 200":
                self.reply(200, LOGIN, kind="text/html", body=body)
                return
            whole = data = path.read_bytes()
            etag = hashlib.md5(whole + fault.encode() * (fault == "other etag")).hexdigest()
            status, span = 200, ""
            if (wanted := self.headers.get("Range")) and fault != "ignores range":
                first, _, last = wanted.removeprefix("bytes=").partition("-")
                if int(first) >= len(data):
                    self.reply(416, b"", body=body)
                    return
                stop = min(int(last) + 1, len(data)) if last else len(data)
                span, status = f"bytes {first}-{stop - 1}/{len(data)}", 206
                data = data[int(first) : stop]
                if fault == "other range":
                    span = f"bytes {int(first) + 1}-{stop}/{len(whole)}"
            announced = len(data)
            if fault in {"login 206", "bare login 206"}:
                data = LOGIN.ljust(len(data))[: len(data)]
                span = span if fault == "login 206" else ""
            if fault == "no range":
                span = ""
            if fault in {"short", "empty"}:
                data = data[:-1] if fault == "short" else b""
                announced = len(data)
            if fault == "cut":
                data = data[: len(data) // 2]
                self.close_connection = True
            self.reply(status, data, span, etag=etag, announced=announced, body=body)

        def reply(
            self,
            status: int,
            data: bytes,
            span: str = "",
            *,
            body: bool,
            kind: str = "",
            etag: str = "",
            announced: int | None = None,
        ) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(data) if announced is None else announced))
            self.send_header("Accept-Ranges", "bytes")
            for name, value in (("Content-Range", span), ("Content-Type", kind), ("ETag", etag and f'"{etag}"')):
                if value:
                    self.send_header(name, value)
            self.end_headers()
            if body:
                self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

    server = Server(("127.0.0.1", 0), Handler)
    faults.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield faults
    server.shutdown()
    thread.join()
    server.server_close()


@dataclass(frozen=True)
class S3:
    """A bucket of a local S3 server; ``options`` are s3fs's."""

    options: dict[str, Any]
    client: Any
    bucket: str = "bucket"

    def put(self, key: str, data: bytes) -> None:
        self.client.put_object(Bucket=self.bucket, Key=key, Body=data)


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3]:
    """Run moto's S3 server for one test."""
    pytest.importorskip("moto")
    pytest.importorskip("s3fs")
    import boto3
    from moto.server import ThreadedMotoServer

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1")
    client.create_bucket(Bucket="bucket")
    yield S3({"endpoint_url": endpoint, "key": "testing", "secret": "testing"}, client)
    client.close()
    server.stop()
