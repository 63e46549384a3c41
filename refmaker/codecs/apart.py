"""Call a decoder of imagecodecs in a process of its own, for those that broken input makes crash.

Such a process is started when it is first needed, answers one call at a time, and is kept for the next. One that has
refused a picture, crashed, was too slow or was not heard to the end is never asked again: its memory may be spoilt.
"""

import atexit
import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from multiprocessing.connection import Connection, Pipe
from typing import Any

import numpy as np
import numpy.typing as npt

from refmaker.errors import UnsupportedError

__all__ = ["decode_apart", "serve"]

BOOT = """\
import json, sys
from multiprocessing.connection import Connection
connection = Connection(int(sys.argv[1]))
sys.path[:] = json.loads(connection.recv_bytes())
from refmaker.codecs.apart import serve
serve(connection)
"""
"""Not ``multiprocessing``'s own start: that imports the caller's main module, which may be a script without a guard."""
SECONDS = 60
"""A picture may take; good ones take milliseconds."""
STARTING_SECONDS = 120
"""Starting may take, on a machine that is busy or whose packages lie on a network."""
GRACE = 5
"""Seconds in which a process that no longer answers should have ended."""
MOST_IDLE = os.cpu_count() or 1


class _Decoder:
    """A process and our end of what connects us."""

    def __init__(self) -> None:
        self._connection, theirs = Pipe()
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603  this interpreter
                [sys.executable, "-P", "-c", BOOT, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        try:
            self._connection.send_bytes(json.dumps([path for path in sys.path if isinstance(path, str)]).encode())
            self._hear(STARTING_SECONDS)
        except BaseException:
            self.end()
            raise

    def _hear(self, seconds: float) -> bytes:
        if not self._connection.poll(seconds):
            raise TimeoutError(f"the decoder was ended after {seconds} seconds")
        return self._connection.recv_bytes()

    def decode(self, name: str, data: bytes) -> npt.NDArray[Any]:
        """Return what the function ``name`` makes of ``data``; raises what ``decode_apart`` does."""
        try:
            self._connection.send_bytes(name.encode())
            self._connection.send_bytes(data)
            told = json.loads(self._hear(SECONDS))
            if "error" in told:
                raise ValueError(told["error"])
            values = self._hear(SECONDS)
        except (EOFError, ConnectionError) as error:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(GRACE)
            code = self.end()
            how = signal.Signals(-code).name if -code in set(signal.Signals) else f"exit code {code}"
            raise ChildProcessError(f"the decoder crashed ({how})") from error
        picture: npt.NDArray[Any] = np.frombuffer(values, told["dtype"]).reshape(told["shape"])
        return picture

    @property
    def is_alive(self) -> bool:
        """Whether the process has not ended by itself, or been ended from outside."""
        return self._process.poll() is None

    def end(self) -> int:
        """End the process; return its exit code."""
        self._connection.close()
        self._process.kill()  # one that has crashed keeps its exit code
        return self._process.wait()

    def disown(self) -> None:
        """Leave the process to our parent, of which we are a fork."""
        self._connection.close()
        self._process.returncode = 0  # nothing to wait for


_idle: list[_Decoder] = []


def decode_apart(name: str, data: bytes) -> npt.NDArray[Any]:
    """Return the array that a function of imagecodecs makes of some bytes.

    Args:
        name: of the function, such as ``"jpegxr_decode"``.
        data: what it decodes.

    Raises:
        ValueError: the function's own error, as text.
        ChildProcessError: it crashed.
        TimeoutError: it took more than ``SECONDS``.
        UnsupportedError: no process can be started.
    """
    try:
        decoder = _ready()
    except (OSError, EOFError) as error:
        raise UnsupportedError(f"{name} needs a process of its own, which does not start: {error!r}") from error
    try:
        picture = decoder.decode(name, data)
    except BaseException:
        decoder.end()
        raise
    if len(_idle) < MOST_IDLE:
        _idle.append(decoder)
    else:
        decoder.end()
    return picture


def _ready() -> _Decoder:
    """Return a process that nobody else has: one that is still alive, or a new one."""
    while _idle:
        with suppress(IndexError):  # another thread was quicker
            decoder = _idle.pop()
            if decoder.is_alive:
                return decoder
            decoder.end()
    return _Decoder()


def serve(connection: Connection) -> None:
    """Answer calls until the other end is closed: a process's whole life."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # ctrl-C is for our parent
    import imagecodecs

    connection.send_bytes(b"ready")
    while True:
        try:
            decode = getattr(imagecodecs, connection.recv_bytes().decode())
            data = connection.recv_bytes()
        except (EOFError, ConnectionError):
            return
        try:
            picture = np.ascontiguousarray(decode(data))
        except Exception as error:  # noqa: BLE001  whatever it says
            connection.send_bytes(json.dumps({"error": str(error)}).encode())
            continue
        connection.send_bytes(json.dumps({"dtype": picture.dtype.str, "shape": picture.shape}).encode())
        connection.send_bytes(picture.reshape(-1).view(np.uint8).data)


def _end_all() -> None:
    while _idle:
        _idle.pop().end()


def _forget() -> None:
    while _idle:
        _idle.pop().disown()


atexit.register(_end_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
