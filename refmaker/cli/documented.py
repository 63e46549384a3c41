"""Commands whose ``--help`` is their manual: options under headings, worked examples, exit codes, where to read on."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import click

from refmaker.cli.failures import ExitCode

__all__ = ["Manual", "Verb", "options_under"]

Command = TypeVar("Command", bound=Callable[..., Any])
Examples = Sequence[tuple[str, str]]
"""What an example does, and its command line."""


class Manual(click.Command):
    """A command with a manual; arguments are explained in its text.

    Attributes:
        examples: what each does, and the command line.
        codes: what exit codes mean here; those that are not given cannot come.
        see_also: sentences about other commands.
    """

    def __init__(
        self,
        *arguments: Any,
        examples: Examples = (),
        codes: Mapping[ExitCode, str] | None = None,
        see_also: Sequence[str] = (),
        **settings: Any,
    ) -> None:
        super().__init__(*arguments, **settings)
        self.examples = examples
        self.codes = {code: code.meaning for code in USUAL} | dict(codes or {})
        self.see_also = see_also

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write what stands below the options."""
        super().format_epilog(ctx, formatter)
        with formatter.section("Examples"):
            for number, (sentence, line) in enumerate(self.examples):
                if number:
                    formatter.write_paragraph()
                formatter.write_text(sentence)
                formatter.write(f"{'':{formatter.current_indent + 2}}{line}\n")  # whole, to be copied
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(int(code)), self.codes[code]) for code in sorted(self.codes)])
        if self.see_also:
            with formatter.section("See also"):
                for sentence in self.see_also:
                    formatter.write_text(sentence)


class Verb(Manual):
    """What ``refmaker`` is told to do."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, each under its heading."""
        rows: dict[str, list[tuple[str, str]]] = {"Options": []}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None and isinstance(parameter, click.Option):
                name, sentence = record
                row = (name, OPEN_RANGE.sub("", sentence))
                rows.setdefault(getattr(parameter, "heading", "Options"), []).append(row)
        for heading, records in rows.items():
            with formatter.section(heading):
                formatter.write_dl(records, col_max=28)


OPEN_RANGE = re.compile(r"  \[x>=[01]\]$")
"""What click adds to options that take no negative numbers, which goes without saying."""
USUAL = (ExitCode.DONE, ExitCode.NOTHING_DONE, ExitCode.USAGE)
"""Exit codes of every verb."""


def options_under(heading: str, *options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Return a decorator that gives a command these options, in this order, under a heading of its help."""

    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
            parameter: Any = command.__click_params__[-1]  # type: ignore[attr-defined]  # where click keeps them
            parameter.heading = heading
        return command

    return decorate
