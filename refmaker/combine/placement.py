"""Where an input belongs along a dimension, when its own coordinate values are not asked.

A placement is one of the classes here, or any callable that takes an input's label and references and returns the
input's value along the dimension.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol, TypeAlias, runtime_checkable

from refmaker.errors import OptionError
from refmaker.model.reference_set import ReferenceSet

__all__ = [
    "FromAttribute",
    "FromCallable",
    "FromName",
    "FromPosition",
    "FromValues",
    "Key",
    "Placement",
    "PlacementLike",
    "placement_of",
]

Key: TypeAlias = int | float | str | datetime | None
"""A value along a dimension; None: the input does not say."""

PlacementLike: TypeAlias = "Placement | Callable[[str, ReferenceSet], Key]"


@runtime_checkable
class Placement(Protocol):
    """Tells an input's value along a dimension."""

    def key_of(self, label: str, references: ReferenceSet, dimension: str) -> Key:
        """Return the value, or None if the input does not say."""

    def described(self) -> str:
        """Return where the value comes from, for messages: ``"its file name"``."""


@dataclass(frozen=True, slots=True)
class FromValues:
    """By the values of the dimension's coordinate variable: the default.

    >>> from refmaker import FromValues
    >>> FromValues().described()
    'its coordinate values'
    """

    def key_of(self, label: str, references: ReferenceSet, dimension: str) -> Key:  # noqa: ARG002  see Placement
        """Return None: values are read later, of all inputs at once."""
        return None

    def described(self) -> str:
        """Return where the value comes from."""
        return "its coordinate values"


@dataclass(frozen=True, slots=True)
class FromPosition:
    """By the order in which the inputs are given.

    >>> from refmaker import FromPosition, combine
    >>> runs = ["sample_data/run_r2.nc", "sample_data/run_r1.nc"]
    >>> combine(runs, concat="run", place={"run": FromPosition()}).root.arrays["temp"].metadata.shape
    (2, 2, 6, 8)
    """

    def key_of(self, label: str, references: ReferenceSet, dimension: str) -> Key:  # noqa: ARG002  see Placement
        """Return None: positions are counted later, when it is known which inputs differ in other dimensions."""
        return None

    def described(self) -> str:
        """Return where the value comes from."""
        return "its place in the order given"


@dataclass(frozen=True, slots=True)
class FromName:
    r"""By the input's path or URL, or that of its first source file.

    Attributes:
        pattern: a regular expression to be found in it; the group named like the dimension is the value, else its
            first group, else all of it. Digits are a number.
        date_format: how ``strptime`` reads the value as a date (``"%Y%m%d"``), or None.

    >>> from refmaker import FromName, ReferenceSet, VirtualGroup
    >>> empty = ReferenceSet(VirtualGroup())
    >>> FromName(r"_r(\d+)").key_of("run_r12.nc", empty, "member")
    12
    >>> str(FromName(r"_(\d{8})", date_format="%Y%m%d").key_of("sst_20010203.nc", empty, "time"))
    '2001-02-03 00:00:00+00:00'
    """

    pattern: str
    date_format: str | None = None

    def __post_init__(self) -> None:
        try:
            re.compile(self.pattern)
        except re.error as error:
            raise OptionError(f"{self.pattern!r} is no regular expression: {error}") from error

    def key_of(self, label: str, references: ReferenceSet, dimension: str) -> Key:
        """Return the value, or None if neither name matches."""
        for name in (label, *(source.url for source in references.sources[:1])):
            if match := re.search(self.pattern, name):
                group = dimension if dimension in match.re.groupindex else 1 if match.re.groups else 0
                if (text := match[group]) is not None:
                    return _value(text, self.date_format)
        return None

    def described(self) -> str:
        """Return where the value comes from."""
        return f"its name, by {self.pattern!r}"


@dataclass(frozen=True, slots=True)
class FromAttribute:
    """By an attribute of the root group.

    Attributes:
        name: the attribute's.
        date_format: how ``strptime`` reads the value as a date, or None.

    >>> from refmaker import FromAttribute, ReferenceSet, VirtualGroup
    >>> references = ReferenceSet(VirtualGroup(attributes={"realization": 3}))
    >>> FromAttribute("realization").key_of("run.nc", references, "member")
    3
    """

    name: str
    date_format: str | None = None

    def key_of(self, label: str, references: ReferenceSet, dimension: str) -> Key:  # noqa: ARG002  see Placement
        """Return the value, or None if there is no such attribute, or it is a list."""
        value = references.root.attributes.get(self.name)
        if isinstance(value, str) and self.date_format is not None:
            return _value(value, self.date_format)
        return value if isinstance(value, str | int | float) else None

    def described(self) -> str:
        """Return where the value comes from."""
        return f"its attribute {self.name!r}"


@dataclass(frozen=True, slots=True)
class FromCallable:
    """By a function of label and references."""

    function: Callable[[str, ReferenceSet], Key]

    def key_of(self, label: str, references: ReferenceSet, dimension: str) -> Key:  # noqa: ARG002  see Placement
        """Return what the function returns; numpy scalars become Python's."""
        value = self.function(label, references)
        item = getattr(value, "item", None)
        return item() if item is not None else value

    def described(self) -> str:
        """Return where the value comes from."""
        return f"what {getattr(self.function, '__name__', 'the callable')} returns for it"


def placement_of(value: PlacementLike) -> Placement:
    """Return a placement, made from a callable if it is one."""
    if isinstance(value, Placement):
        return value
    if not callable(value):
        raise OptionError(f"{value!r} tells no place: give FromName(...), FromAttribute(...) ... or a callable")
    return FromCallable(value)


def _value(text: str, date_format: str | None) -> Key:
    """Return a date if a format is given, else a number if it is one, else the text."""
    if date_format is not None:
        try:
            return datetime.strptime(text, date_format).replace(tzinfo=UTC)
        except ValueError as error:
            raise OptionError(f"{text!r} is not a date as {date_format!r} spells it") from error
    if re.fullmatch(r"[+-]?\d+", text, re.ASCII):
        return int(text)
    return float(text) if re.fullmatch(r"[+-]?\d*\.\d+", text, re.ASCII) else text
