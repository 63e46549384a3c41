"""What a terminal shows while work takes long: on stderr, gone afterwards; nothing where there is no terminal."""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from refmaker.cli.text import shown

__all__ = ["Tell", "following"]

SHOWN_AFTER = 1.0
"""Seconds of work before anything is shown."""
Tell = Callable[[str, int], None]
"""Takes what is being done now, and how many are done."""


@contextmanager
def following(total: int) -> Iterator[Tell]:
    """Give what is to be told how the work goes: ``total`` things, or one that takes its time."""
    if not sys.stderr.isatty():
        yield lambda _text, _done: None
        return
    bar = _Bar(total)
    timer = threading.Timer(SHOWN_AFTER, bar.start)
    timer.daemon = True
    timer.start()
    try:
        yield bar.tell
    finally:
        timer.cancel()
        bar.stop()


class _Bar:
    def __init__(self, total: int) -> None:
        self._total = total
        self._now: dict[str, Any] = {"description": "", "completed": 0}
        self._bar: Any = None
        self._is_over = False
        self._lock = threading.Lock()

    def start(self) -> None:
        """Show it, unless the work is over."""
        from rich import progress
        from rich.console import Console

        several = (progress.BarColumn(), progress.MofNCompleteColumn(), progress.TimeRemainingColumn())
        columns = (
            progress.SpinnerColumn(),
            progress.TimeElapsedColumn(),
            *(several if self._total > 1 else ()),
            progress.TextColumn("{task.description}", markup=False),
        )
        with self._lock:
            if not self._is_over:
                self._bar = progress.Progress(*columns, console=Console(stderr=True), transient=True)
                self._bar.add_task(**self._now, total=self._total)
                self._bar.start()

    def tell(self, text: str, done: int) -> None:
        with self._lock:
            self._now = {"description": shown(text), "completed": done}
            if self._bar is not None:
                self._bar.update(self._bar.task_ids[0], **self._now)

    def stop(self) -> None:
        with self._lock:
            self._is_over = True
            if self._bar is not None:
                self._bar.stop()
