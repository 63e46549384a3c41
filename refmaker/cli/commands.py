"""The root command: finds verbs by table, and is the one place where the program ends."""

import os
import sys
from collections.abc import Sequence
from importlib import import_module

import click

from refmaker import __version__
from refmaker.cli import INTERRUPTED
from refmaker.cli.documented import Manual
from refmaker.cli.failures import ExitCode, Failure, Settings, attempt, debug_option, failure_of

__all__ = ["root", "run_verb"]

VERBS = {
    "scan": "refmaker.cli.scan:scan_command",
    "combine": "refmaker.cli.combine:combine_command",
    "index": "refmaker.cli.index:index_command",
    "status": "refmaker.cli.status:status_command",
    "convert": "refmaker.cli.convert:convert_command",
    "info": "refmaker.cli.info:info_command",
    "verify": "refmaker.cli.verify:verify_command",
}
"""Verb -> ``module:command``, imported when the verb or the help is asked for."""


class Verbs(Manual, click.Group):
    """A group whose commands are the table ``VERBS``."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's signature
        """Return the verbs in the order of the work."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  click's signature
        """Import and return a verb, or None if there is none of that name."""
        if cmd_name not in VERBS:
            return None
        module, _, name = VERBS[cmd_name].partition(":")
        command: click.Command = getattr(import_module(module), name)
        return command


@click.group(
    cls=Verbs,
    invoke_without_command=True,
    context_settings={"max_content_width": 120},
    subcommand_metavar="COMMAND ...",
    examples=(
        ("Find the chunks of a file:", "refmaker scan ocean.nc -o ocean.json"),
        ("See what was found:", "refmaker info ocean.json"),
        ("Hold it against the file:", "refmaker verify ocean.json"),
        ("Make one data set of a few files:", "refmaker combine ocean_1.nc ocean_2.nc --concat time -o ocean.parq"),
        (
            "Make one of a whole archive, as a job that can be resumed and extended:",
            "refmaker index 'archive/**/*.nc' --concat time -o archive.parq",
        ),
    ),
    codes={code: code.meaning for code in ExitCode},
)
@click.version_option(__version__, message="refmaker %(version)s")
@debug_option
@click.pass_context
def root(context: click.Context) -> None:
    """Open archives of HDF5, NetCDF and TIFF files as Zarr, without copying a byte.

    refmaker finds where the chunks of files lie and writes that down as references: documents that xarray, zarr and
    dask open in place of the files, as in xarray.open_dataset("ocean.json", engine="refmaker").

    'refmaker COMMAND --help' explains a command, with examples.
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help(), err=True)
        context.exit(ExitCode.USAGE)


def run_verb(arguments: Sequence[str]) -> int:
    """Run the command line and return its exit code; whatever goes wrong is one line on stderr."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a name that the terminal cannot show is no failure
    settings = Settings()
    try:
        code = attempt(lambda: _run(arguments, settings), settings)
        sys.stdout.flush()
    except click.ClickException as error:
        if isinstance(error, click.UsageError) and error.ctx is not None:
            click.echo(error.ctx.get_usage(), err=True)
        code = Failure(kind="usage", message=error.format_message(), exit_code=ExitCode(error.exit_code))
    except click.Abort as error:
        if not isinstance(error.__cause__, EOFError):  # which click takes for a user who ends a dialogue
            click.echo("interrupted", err=True)
            return INTERRUPTED
        code = failure_of(error.__cause__)
    except BrokenPipeError:  # the reader of our output, such as ``head``, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter flushes it once more
        return ExitCode.NOTHING_DONE
    if isinstance(code, Failure):
        code.show()
        return code.exit_code
    return code


def _run(arguments: Sequence[str], settings: Settings) -> int:
    code: int = root.main(list(arguments), prog_name="refmaker", standalone_mode=False, obj=settings)
    return code
