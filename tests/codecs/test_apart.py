"""Decoders in processes of their own: what happens to these never happens to us, and answers are never mixed up."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from refmaker.codecs import apart
from refmaker.codecs.apart import decode_apart
from refmaker.errors import UnsupportedError

imagecodecs: Any = pytest.importorskip("imagecodecs")

PICTURES = [np.full((16, 16), n, np.uint8) for n in range(1, 9)]
ENCODED = [imagecodecs.png_encode(picture) for picture in PICTURES]


@pytest.fixture(autouse=True)
def _none_left() -> Iterator[None]:
    yield
    apart._end_all()


def processes() -> list[int]:
    return [decoder._process.pid for decoder in apart._idle]


def test_one_process_decodes_one_picture_after_another() -> None:
    for picture, data in zip(PICTURES, ENCODED, strict=True):
        np.testing.assert_array_equal(decode_apart("png_decode", data), picture)
        assert len(processes()) == 1
    assert processes()[0] != os.getpid()


def test_threads_get_their_own_answers() -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda n: decode_apart("png_decode", ENCODED[n % 8])[0, 0], range(80)))
    assert found == [n % 8 + 1 for n in range(80)]
    assert len(processes()) <= apart.MOST_IDLE


def test_pictures_larger_than_a_pipe_of_any_type_come_back() -> None:
    picture = np.random.default_rng(0).random((700, 500)).astype("f4")
    found = decode_apart("lerc_decode", imagecodecs.lerc_encode(picture))
    np.testing.assert_array_equal(found, picture)
    assert found.dtype == np.float32


def test_what_the_decoder_says_is_said_and_its_process_not_used_again() -> None:
    decode_apart("png_decode", ENCODED[0])
    before = processes()
    with pytest.raises(ValueError, match="PNG"):
        decode_apart("png_decode", b"no picture")
    assert processes() == []
    decode_apart("png_decode", ENCODED[0])
    assert processes() != before


def test_a_crash_is_an_error_of_that_picture() -> None:
    with pytest.raises(ChildProcessError, match=r"crashed \(exit code 1\)"):
        decode_apart("no_such_function", b"")
    np.testing.assert_array_equal(decode_apart("png_decode", ENCODED[3]), PICTURES[3])


def test_a_signal_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    decode_apart("png_decode", ENCODED[0])
    monkeypatch.setattr(apart._Decoder, "is_alive", True)
    os.kill(processes()[0], signal.SIGSEGV)
    with pytest.raises(ChildProcessError, match="SIGSEGV"):
        decode_apart("png_decode", ENCODED[0])


def test_a_process_that_was_ended_meanwhile_is_replaced() -> None:
    decode_apart("png_decode", ENCODED[0])
    before = apart._idle[0]
    os.kill(before._process.pid, signal.SIGKILL)
    while before.is_alive:
        time.sleep(0.01)
    np.testing.assert_array_equal(decode_apart("png_decode", ENCODED[1]), PICTURES[1])


def test_a_decoder_that_never_ends_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    decode_apart("png_decode", ENCODED[0])
    decoder = apart._idle[0]
    os.kill(decoder._process.pid, signal.SIGSTOP)
    monkeypatch.setattr(apart, "SECONDS", 0.05)
    with pytest.raises(TimeoutError, match=r"ended after 0\.05 seconds"):
        decode_apart("png_decode", ENCODED[0])
    assert not decoder.is_alive


def test_an_interrupted_call_leaves_no_answer_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    decode_apart("png_decode", ENCODED[0])

    def interrupted(*_: object) -> bytes:
        raise KeyboardInterrupt

    with monkeypatch.context() as inner:
        inner.setattr(apart._Decoder, "_hear", interrupted)
        with pytest.raises(KeyboardInterrupt):
            decode_apart("png_decode", ENCODED[1])
    np.testing.assert_array_equal(decode_apart("png_decode", ENCODED[2]), PICTURES[2])


def test_a_fork_starts_its_own() -> None:
    decode_apart("png_decode", ENCODED[0])
    child = os.fork()
    if child == 0:  # pragma: no cover
        code = 1
        try:
            code = 0 if not apart._idle and decode_apart("png_decode", ENCODED[1])[0, 0] == 2 else 1
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    assert apart._idle[0].is_alive
    np.testing.assert_array_equal(decode_apart("png_decode", ENCODED[4]), PICTURES[4])


@pytest.mark.parametrize("interpreter", ["/no/such/python", "/bin/false"])
def test_processes_that_do_not_start_are_no_fault_of_the_picture(
    interpreter: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", interpreter)
    with pytest.raises(UnsupportedError, match="does not start"):
        decode_apart("png_decode", ENCODED[0])
