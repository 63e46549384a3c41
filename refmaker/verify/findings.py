"""What verification finds, as values: mismatches, what could not be checked, and what was checked."""

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum

__all__ = ["ArrayResult", "Check", "Finding", "Findings", "Verification"]

MOST_OF_A_KIND = 10
"""Findings of one check in one place that are told; the rest are counted."""


class Check(StrEnum):
    """What was checked; the word that programs test."""

    SOURCE = "source"
    """A source is there and answers."""
    STALE = "stale"
    """A source is the file that was scanned: size, entity tag, modification time."""
    RANGE = "range"
    """A chunk's range lies inside its source."""
    OVERLAP = "overlap"
    """Chunks share bytes only where they can."""
    DECODE = "decode"
    """A chunk reads in full and decodes to the declared shape."""
    ARRANGEMENT = "arrangement"
    """In references of several sources, a source's chunks lie where its other chunks say, and none is missing."""
    NATIVE = "native"
    """The native library opens the source and finds the array in it."""
    SHAPE = "shape"
    DTYPE = "dtype"
    DIMENSIONS = "dimensions"
    FILL = "fill"
    ATTRIBUTES = "attributes"
    VALUES = "values"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing found, or one thing that could not be checked.

    Attributes:
        check: what was (to be) checked.
        where: a path in the references, a chunk's key, or a source's URL.
        sentence: what was expected and what was found, or why it could not be checked.
    """

    check: Check
    where: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.where or '/'}: {self.check}: {self.sentence}"


@dataclass(slots=True)
class Findings:
    """Collects; of many alike (same check, same array or source) the first are kept and the others counted."""

    kept: list[Finding] = field(default_factory=list)
    counts: Counter[tuple[str, Check]] = field(default_factory=Counter)

    def add(self, check: Check, where: str, sentence: str, *, of: str | None = None) -> None:
        """Note something; ``of`` is the array or source it is about, where ``where`` is only a part of that."""
        key = (where if of is None else of), check
        self.counts[key] += 1
        if self.counts[key] <= MOST_OF_A_KIND:
            self.kept.append(Finding(check, where, sentence))

    def count(self, of: str) -> int:
        """Return how many findings there are about one array or source."""
        return sum(count for (about, _), count in self.counts.items() if about == of)

    def listed(self) -> tuple[Finding, ...]:
        """Return what was found, with a line for what was only counted."""
        more = [
            Finding(check, about, f"{count - MOST_OF_A_KIND} more like this")
            for (about, check), count in self.counts.items()
            if count > MOST_OF_A_KIND
        ]
        return (*self.kept, *more)


@dataclass(frozen=True, slots=True)
class ArrayResult:
    """How far one array was checked.

    Attributes:
        path: of the array.
        chunks: positions in its grid.
        present: chunks that the references have.
        read: positions that were read through the references.
        compared: those of them whose values were compared with the native library's.
        native: the library, or "" if there was no comparison.
        mismatches: findings about it.
        not_compared: why none of its values was compared with its files, or "".
    """

    path: str
    chunks: int
    present: int
    read: int
    compared: int
    native: str
    mismatches: int
    not_compared: str = ""


@dataclass(frozen=True, slots=True)
class Verification:
    """What came of verifying references.

    Attributes:
        arrays: how far each array was checked.
        sources: source files that references point into.
        mismatches: what is wrong; empty: nothing that was looked at.
        unchecked: what could not be checked, and why.
        seconds: what it took.
        skipped: what the document's own report says was left out: (path, why).
    """

    arrays: tuple[ArrayResult, ...]
    sources: int
    mismatches: tuple[Finding, ...]
    unchecked: tuple[Finding, ...]
    seconds: float
    skipped: tuple[tuple[str, str], ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing was found wrong."""
        return not self.mismatches
