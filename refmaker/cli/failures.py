"""What goes wrong, as values: exit codes, and the one place where any exception becomes a line for the user."""

import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any, TypeVar

import click

from refmaker.cli.text import shown
from refmaker.errors import OptionError, RefmakerError, UnsupportedError

__all__ = ["ExitCode", "Failure", "Settings", "attempt", "debug_option", "failure_of", "reported"]

T = TypeVar("T")


class ExitCode(IntEnum):
    """How a run ended."""

    DONE = 0
    NOTHING_DONE = 1
    USAGE = 2
    DONE_IN_PART = 3
    MISMATCH = 4

    @property
    def meaning(self) -> str:
        """The sentence in ``--help`` and in the README."""
        return _MEANING[self]


_MEANING = {
    ExitCode.DONE: "done",
    ExitCode.NOTHING_DONE: "nothing done: the message on stderr says why",
    ExitCode.USAGE: "the command line makes no sense",
    ExitCode.DONE_IN_PART: "done, but datasets were skipped, some of several files failed, or the report could not be "
    "written; each is named",
    ExitCode.MISMATCH: "verify: references and files do not fit; each mismatch is named",
}


@dataclass(slots=True)
class Settings:
    """What options before any verb set; ``debug``: show tracebacks."""

    debug: bool = False


def _set_debug(context: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        context.ensure_object(Settings).debug = True


debug_option = click.option(
    "--debug",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_set_debug,
    help="Show where an error came from, as a traceback.",
)
"""``--debug``, before the verb or behind it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Something that was tried and did not work.

    Attributes:
        kind: the error class's name, or ``"usage"``, ``"system"``, ``"internal"``.
        message: one line for the user.
        code: what an UnsupportedError says for programs, or None.
        path: the object inside the file, or None.
        offset: byte position in the file, or None.
        exit_code: how the program ends if this is all that came of it.
    """

    kind: str
    message: str
    code: str | None = None
    path: str | None = None
    offset: int | None = None
    exit_code: ExitCode = ExitCode.NOTHING_DONE

    def show(self) -> None:
        """Print the message to stderr."""
        click.echo(f"error: {shown(self.message)}", err=True)


def attempt(action: Callable[[], T], settings: Settings) -> T | Failure:
    """Return ``action()``, or the failure it raised; what click itself handles passes through.

    A command line's last resort: an exception nobody foresaw is a bug of ours, and users get a line to report.
    """
    try:
        return action()
    except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
        raise
    except Exception as error:  # noqa: BLE001  the last resort
        if settings.debug:
            traceback.print_exc(file=sys.stderr)
        return failure_of(error)


def reported(write: Callable[[], None], code: ExitCode, settings: Settings) -> ExitCode:
    """Write a run's report and return how the run ends: done in part if only the report could not be written."""
    written = attempt(write, settings)
    if not isinstance(written, Failure):
        return code
    replace(written, message=f"all else is done, but there is no report: {written.message}").show()
    return ExitCode.DONE_IN_PART if code is ExitCode.DONE else code


def failure_of(error: Exception) -> Failure:
    """Return an exception as a value."""
    if isinstance(error, RefmakerError):
        return Failure(
            kind=type(error).__name__,
            message=str(error),
            code=error.code if isinstance(error, UnsupportedError) else None,
            path=error.path,
            offset=error.offset,
            exit_code=ExitCode.USAGE if isinstance(error, OptionError) else ExitCode.NOTHING_DONE,
        )
    if isinstance(error, OSError) and error.strerror:
        names: list[Any] = [name for name in (error.filename, error.filename2) if name is not None]
        return Failure(kind="system", message=": ".join([*map(str, names), error.strerror]))
    if isinstance(error, MemoryError):
        return Failure(kind="system", message="out of memory")
    said = f"{type(error).__name__}: {error}"
    return Failure(
        kind="internal",
        message=f"internal error: {said}; please report this bug in refmaker (--debug shows where it is)",
    )
