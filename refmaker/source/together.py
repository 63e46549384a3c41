"""Two parsers as one: their wishes are one list, so that neither waits for the other."""

from typing import Generic, TypeVar

from refmaker.source.base import Bytes, Parser, Wish

__all__ = ["together"]

A = TypeVar("A")
B = TypeVar("B")


class _Running(Generic[A]):
    """A parser with what it wishes for now, until it has a result."""

    def __init__(self, parser: Parser[A]) -> None:
        self._parser = parser
        self.wishes: list[Wish] = []
        self.result: list[A] = []
        self.resume(None)

    def resume(self, data: list[Bytes] | None) -> None:
        """Go on with the bytes wished for; nothing happens once there is a result."""
        if self.result:
            return
        try:
            self.wishes = next(self._parser) if data is None else self._parser.send(data)
        except StopIteration as stop:
            self.wishes = []
            self.result.append(stop.value)


def together(first: Parser[A], second: Parser[B]) -> Parser[tuple[A, B]]:
    """Return the parser that runs two in step and returns both results; what either raises, it raises."""
    left, right = _Running(first), _Running(second)
    while not (left.result and right.result):
        count = len(left.wishes)
        data = yield left.wishes + right.wishes
        left.resume(data[:count])
        right.resume(data[count:])
    return left.result[0], right.result[0]
