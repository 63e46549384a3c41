"""Options that several verbs have: how files are scanned, put together, written.

None has a default value here: what is not given is left to the library, whose defaults the help repeats.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import click

from refmaker.cli.documented import options_under
from refmaker.cli.options import BYTE_SIZE

if TYPE_CHECKING:
    from refmaker.combine.placement import Placement

__all__ = ["combining", "given", "inline_option", "pairs_option", "placements", "relative_option", "scanning",
           "zarr_format_option"]  # fmt: skip

Command = TypeVar("Command", bound=Callable[..., Any])


def given(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that were given."""
    return {name: value for name, value in options.items() if value is not None and value != ()}


def choice(name: str, *choices: str, help: str) -> Callable[[Command], Command]:  # noqa: A002  click's word
    """Return an option with these values, the first of them the library's default."""
    return click.option(name, type=click.Choice(choices), help=f"{help}  [default: {choices[0]}]")


# -- scanning ---------------------------------------------------------------------------------------------------------
def _known_format(_: click.Context, __: click.Parameter, name: str | None) -> str | None:
    from refmaker.scanners.registry import table

    known = [scanner.name for scanner in table()] if name is not None else []
    if name is not None and name not in known:
        raise click.BadParameter(f"{name!r} is not one of {', '.join(known)}")
    return name


scanning = options_under(
    "What is scanned",
    choice(
        "--on-unsupported",
        "raise",
        "skip",
        help="A dataset that references cannot express. raise: its file fails; skip: it is left out, and named with "
        "the reason.",
    ),
    click.option("--group", metavar="PATH", help="HDF5, NetCDF-4: only this group; it becomes the root."),
    click.option(
        "--include",
        multiple=True,
        metavar="GLOB",
        help="Only datasets whose path from the root matches, such as 'ocean/*' (* matches / too). Repeatable.",
    ),
    click.option(
        "--exclude",
        multiple=True,
        metavar="GLOB",
        help="No datasets whose path matches; wins over --include. Repeatable.",
    ),
    click.option(
        "--series",
        type=click.IntRange(0),
        multiple=True,
        metavar="N",
        help="TIFF: only this series, counted from 0. Repeatable.  [default: all]",
    ),
    click.option(
        "--level",
        "levels",
        type=click.IntRange(0),
        multiple=True,
        metavar="N",
        help="TIFF: only this resolution of a pyramid, 0 the largest. Repeatable.  [default: all]",
    ),
    choice("--geo", "auto", "off", help="TIFF: auto makes map coordinates of GeoTIFF tags; off leaves them alone."),
    click.option(
        "--chunk-bytes",
        type=BYTE_SIZE,
        metavar="SIZE",
        help="Cut contiguous, uncompressed data into chunks of about this many bytes.  [default: HDF5: one "
        "chunk; NetCDF-3: 8MiB]",
    ),
    click.option(
        "--format",
        callback=_known_format,
        metavar="NAME",
        help="Take every file to be of this format: hdf5 (NetCDF-4 too), netcdf3 or tiff.  [default: its first "
        "bytes tell]",
    ),
)


# -- combining --------------------------------------------------------------------------------------------------------
def pairs_option(_: click.Context, __: click.Parameter, texts: tuple[str, ...]) -> dict[str, str]:
    """Return ``DIM=TEXT`` options as a mapping."""
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise click.BadParameter(f"{text!r} is not DIM=...")
        if name in found:
            raise click.BadParameter(f"{name} is given twice")
        found[name] = value
    return found


combining = options_under(
    "How files are put together",
    click.option(
        "--concat",
        multiple=True,
        metavar="DIM",
        help="Concatenate along this dimension; one that no file has becomes new. Repeatable.  [default: only merge "
        "variables]",
    ),
    click.option(
        "--from",
        "places",
        multiple=True,
        callback=pairs_option,
        metavar="DIM=WHERE",
        help="What tells a file's place along DIM. WHERE is 'values' (of the coordinate variable; the default), "
        "'name:REGEX' (the group called DIM of a match in the path, else the first group), 'attribute:NAME' (of the "
        "root), or 'position' (in the order given).",
    ),
    click.option(
        "--dates",
        multiple=True,
        callback=pairs_option,
        metavar="DIM=FORMAT",
        help="Read what 'name:' or 'attribute:' found as a date, in strptime's FORMAT such as %Y%m%d.",
    ),
    choice(
        "--on-missing-variable", "raise", "fill",
        help="A variable that some files lack. raise: a conflict; fill: reads as fill values there.",
    ),
    choice(
        "--attrs", "first", "identical", "drop-conflicts",
        help="Attributes that differ and change no values. first: the first file's count; identical: a conflict; "
        "drop-conflicts: left out.",
    ),
    choice(
        "--join", "exact", "outer",
        help="Several DIMs: places of the grid that no file fills. exact: a conflict; outer: read as fill values.",
    ),
    choice(
        "--on-overlap", "raise", "first", "last",
        help="Steps of two files with the same coordinate value. raise: a conflict; else whose are kept.",
    ),
    choice(
        "--on-gap", "note", "raise",
        help="Steps that seem to be missing along a dimension. note: told; raise: a conflict.",
    ),
    choice(
        "--on-differing", "raise", "first", "drop", "stack",
        help="A variable without DIM whose values differ. raise: a conflict; first: the first file's counts; drop: "
        "left out; stack: it is given the dimension.",
    ),
    click.option(
        "--same", multiple=True, metavar="GLOB",
        help="Take variables that match from the first file, without comparing. Repeatable.",
    ),
    click.option(
        "--load-below", type=BYTE_SIZE, metavar="SIZE",
        help="Coordinates, and variables whose chunks do not line up, may be read and stored in the document up to "
        "SIZE bytes each.  [default: 1MiB]",
    ),
)  # fmt: skip


def placements(places: dict[str, str], dates: dict[str, str]) -> "dict[str, Placement]":
    """Return what ``--from`` and ``--dates`` say.

    Raises:
        click.UsageError: it makes no sense.
    """
    from refmaker.combine.placement import FromAttribute, FromName, FromPosition, FromValues

    found: dict[str, Placement] = {}
    for name, text in places.items():
        kind, _, rest = text.partition(":")
        date_format = dates.get(name)
        if text == "values":
            found[name] = FromValues()
        elif text == "position":
            found[name] = FromPosition()
        elif kind == "name" and rest:
            found[name] = FromName(rest, date_format)
        elif kind == "attribute" and rest:
            found[name] = FromAttribute(rest, date_format)
        else:
            raise click.UsageError(f"--from {name}={text}: not values, position, name:REGEX or attribute:NAME")
    for name in dates:
        if not isinstance(found.get(name), FromName | FromAttribute):
            raise click.UsageError(f"--dates {name}=... needs --from {name}=name:REGEX or {name}=attribute:NAME")
    return found


# -- writing ----------------------------------------------------------------------------------------------------------
relative_option = click.option(
    "--relative",
    is_flag=True,
    default=None,
    help="Write where files are relative to the document, so that both can move together; the files must lie in the "
    "document's directory or below.",
)
inline_option = click.option(
    "--inline-below",
    type=BYTE_SIZE,
    metavar="SIZE",
    help="Read chunks smaller than SIZE bytes (such as 500, 64kB or 16MiB) and store them in the document.  "
    "[default: none]",
)
zarr_format_option = click.option(
    "--zarr-format",
    type=click.Choice(["2", "3"]),
    callback=lambda _, __, text: None if text is None else int(text),
    help="Zarr version of the metadata: 2 opens everywhere; 3 in JSON only.  [default: 2]",
)
"""``--zarr-format 3``: an int."""
