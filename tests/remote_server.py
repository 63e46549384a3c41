"""An HTTP server with latency that answers byte ranges and can be told to fail: in a thread, or as a program.

``python -m tests.remote_server FOLDER --latency 0.05`` prints its URL and serves until it is killed.
"""

import argparse
import asyncio
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web

Fault = Callable[["Asked"], str]


@dataclass(frozen=True)
class Asked:
    """One request: its number (from 0), method, path, and range (None: the whole file)."""

    number: int
    method: str
    path: str
    span: tuple[int, int] | None


@dataclass
class RemoteServer:
    """What is served, and how.

    Attributes:
        folder: what it serves.
        latency: seconds before each answer.
        fault: called for each request; how it fails: a status, "reset", "short", "slow", "no ranges", or "" for not.
        asked: all requests so far.
        most_at_once: the most requests that waited at a time.
    """

    folder: Path
    latency: float = 0.0
    fault: Fault = lambda _: ""
    url: str = ""
    asked: list[Asked] = field(default_factory=list)
    most_at_once: int = 0
    waiting: int = 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        span = None
        if wanted := request.headers.get("Range"):
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            span = int(first), int(last) + 1
        asked = Asked(len(self.asked), request.method, request.path, span)
        self.asked.append(asked)
        self.waiting += 1
        self.most_at_once = max(self.most_at_once, self.waiting)
        await asyncio.sleep(self.latency)
        self.waiting -= 1
        return await self.reply(request, asked, self.fault(asked))

    async def reply(self, request: web.Request, asked: Asked, fault: str) -> web.StreamResponse:
        path = self.folder / asked.path.lstrip("/")
        if fault == "reset":
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        if fault == "slow":
            await asyncio.sleep(3)
        if fault.isdigit() or not path.is_file():
            return web.Response(status=int(fault or 404), text="an error")
        status = path.stat()
        headers = {"ETag": f'"{status.st_mtime_ns:x}-{status.st_size:x}"', "Accept-Ranges": "bytes"}
        headers["Last-Modified"] = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(status.st_mtime))
        if asked.span is None or fault == "no ranges":
            return web.Response(body=path.read_bytes(), headers=headers)
        start, stop = asked.span[0], min(asked.span[1], status.st_size)
        if start >= status.st_size:
            return web.Response(status=416, headers={"Content-Range": f"bytes */{status.st_size}"})
        with path.open("rb") as file:
            body = os.pread(file.fileno(), stop - start, start)
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{status.st_size}"
        return web.Response(status=206, body=body[:-1] if fault == "short" else body, headers=headers)

    async def started(self, port: int = 0) -> web.AppRunner:
        application = web.Application()
        application.router.add_get("/{path:.*}", self.answer)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", port)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        return runner


@contextmanager
def serving(folder: Path, latency: float = 0.0) -> Iterator[RemoteServer]:
    """Serve a folder from a thread of this process."""
    server = RemoteServer(folder, latency)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    runner = asyncio.run_coroutine_threadsafe(server.started(), loop).result()
    try:
        yield server
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--latency", type=float, default=0.0)
    arguments = parser.parse_args()
    server = RemoteServer(arguments.folder, arguments.latency)

    async def run() -> None:
        await server.started()
        print(server.url, flush=True)
        await asyncio.Event().wait()

    asyncio.run(run())


if __name__ == "__main__":
    main()
