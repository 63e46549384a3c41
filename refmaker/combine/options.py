"""What a combination may be asked."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from refmaker.combine.placement import FromValues, Placement
from refmaker.errors import OptionError

__all__ = ["Attrs", "CombineOptions", "Join", "OnDiffering", "OnGap", "OnMissingVariable", "OnOverlap"]

Attrs = Literal["first", "identical", "drop-conflicts"]
Join = Literal["exact", "outer"]
OnMissingVariable = Literal["raise", "fill"]
OnOverlap = Literal["raise", "first", "last"]
OnGap = Literal["note", "raise"]
OnDiffering = Literal["raise", "first", "drop", "stack"]

LOAD_BELOW = 1 << 20
"""Bytes of values that references may hold inline without becoming a burden."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CombineOptions:
    """What a combination may be asked; ``refmaker.combine`` says what each means."""

    concat: tuple[str, ...] = ()
    place: Mapping[str, Placement] = field(default_factory=dict)
    on_missing_variable: OnMissingVariable = "raise"
    attrs: Attrs = "first"
    join: Join = "exact"
    on_overlap: OnOverlap = "raise"
    on_gap: OnGap = "note"
    on_differing: OnDiffering = "raise"
    same: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    load_below: int = LOAD_BELOW
    storage_options: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        for name in ("concat", "same", "include", "exclude"):
            if isinstance(getattr(self, name), str):
                raise OptionError(f"{name} is one string; give a tuple of them")
        if len(set(self.concat)) != len(self.concat):
            raise OptionError(f"concat names a dimension twice: {', '.join(self.concat)}")
        if stray := [name for name in self.place if name not in self.concat]:
            raise OptionError(
                f"a place along {stray[0]!r} is given, but it is not one of the dimensions to concatenate"
            )
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in get_args(choices):
                raise OptionError(f"{name} is {getattr(self, name)!r}, not one of {', '.join(get_args(choices))}")
        if self.load_below < 0:
            raise OptionError(f"load_below is {self.load_below}, not a number of bytes")

    @property
    def placements(self) -> dict[str, Placement]:
        """The placements that each input answers on its own."""
        return {name: placement for name, placement in self.place.items() if not isinstance(placement, FromValues)}


_CHOICES: dict[str, Any] = {
    "on_missing_variable": OnMissingVariable,
    "attrs": Attrs,
    "join": Join,
    "on_overlap": OnOverlap,
    "on_gap": OnGap,
    "on_differing": OnDiffering,
}
