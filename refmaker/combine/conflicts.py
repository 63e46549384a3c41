"""Everything that keeps inputs apart, collected and told at once."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from refmaker.errors import ConflictError

__all__ = ["Conflicts", "listed"]

NAMES_SHOWN = 3
VALUES_SHOWN = 4


def listed(names: Sequence[str], most: int = NAMES_SHOWN) -> str:
    """Return names as a list for people: the first few, and how many more."""
    more = len(names) - most
    return ", ".join([*names[:most], *([f"and {more} more"] if more > 0 else [])])


@dataclass(frozen=True, slots=True)
class _Conflict:
    """One conflict: what it is about, what the inputs say, and what the user can do; arrays may share it."""

    what: str
    parts: tuple[str, ...]
    way_out: str


@dataclass(slots=True)
class Conflicts:
    """Collects conflicts.

    Attributes:
        labels: the inputs' names.
        found: each conflict with the paths that have it, in the order of finding.
    """

    labels: Sequence[str]
    found: dict[_Conflict, list[str]] = field(default_factory=dict)
    _names: list[str] = field(default_factory=list)

    def add(self, path: str, what: str, sentence: str, way_out: str = "") -> None:
        """Add a conflict; ``way_out`` says what the user can do."""
        self._add(path, _Conflict(what, (sentence,), way_out))

    def differing(self, path: str, what: str, holders: Mapping[str, Sequence[int]], way_out: str = "") -> None:
        """Add the conflict that inputs have different values of something."""
        parts = [f"{value} in {self.inputs(numbers)}" for value, numbers in holders.items()]
        more = len(parts) - VALUES_SHOWN
        told = parts[:VALUES_SHOWN] + ([f"and {more} other values"] if more > 0 else [])
        self._add(path, _Conflict(what, tuple(told), way_out))

    def _add(self, path: str, conflict: _Conflict) -> None:
        paths = self.found.setdefault(conflict, [])
        if path not in paths:
            paths.append(path)

    def inputs(self, numbers: Iterable[int]) -> str:
        """Return inputs for people: how many, and the names of some."""
        ascending = sorted(set(numbers))
        names = listed([self.name(number) for number in ascending])
        return names if len(ascending) == 1 else f"{len(ascending)} inputs ({names})"

    def name(self, number: int) -> str:
        """Return an input's name: the last part of its path, or as much of it as tells it from all others."""
        if not self._names:
            last = [label.rstrip("/").rpartition("/")[2] for label in self.labels]
            count = Counter(last)
            whole = (label.removeprefix(self.folder) for label in self.labels)
            self._names = [short if count[short] == 1 else full for short, full in zip(last, whole, strict=True)]
        return self._names[number]

    @property
    def folder(self) -> str:
        """The folder all inputs are in, with its slash; empty if there is none."""
        first, *others = (label.split("/")[:-1] for label in self.labels)
        same = len(first)
        for other in others:
            pairs = enumerate(zip(first[:same], other, strict=False))
            same = next((k for k, (a, b) in pairs if a != b), min(same, len(other)))
        return "".join(f"{name}/" for name in first[:same])

    def check(self) -> None:
        """Raise what was found.

        Raises:
            ConflictError: something was.
        """
        if not self.found:
            return
        count = "1 conflict" if len(self.found) == 1 else f"{len(self.found)} conflicts"
        where = f" of {self.folder}" if self.folder.strip("/") else ""
        head = f"{len(self.labels)} inputs{where} cannot be combined: {count}"
        sentences = (
            f"{listed([path or '/' for path in paths])}: {c.what}: {'; '.join(c.parts)}"
            for c, paths in self.found.items()
        )
        raise ConflictError("\n".join([head, *self._lines()]), conflicts=tuple(sentences))

    def _lines(self) -> Iterator[str]:
        for conflict, paths in self.found.items():
            head = f"  {listed([path or '/' for path in paths], 6)}: {conflict.what}"
            if len(conflict.parts) == 1:
                yield f"{head}: {conflict.parts[0]}"
            else:
                yield head
                yield from (f"      {part}" for part in conflict.parts)
            if conflict.way_out:
                yield f"    → {conflict.way_out}"
