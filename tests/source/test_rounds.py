"""The scheduler's law: a parser waits for nobody but its own bytes, and nothing is fetched twice."""

from collections.abc import Callable

import numpy as np

from refmaker.errors import BrokenFileError
from refmaker.source.base import Bytes, MemorySource, Parser, Wish, drive
from refmaker.source.blocks import BlockStore
from refmaker.source.policy import BLOCK, GAP, LONGEST_REQUEST, WHOLE_PART
from refmaker.source.ranges import Ranges
from refmaker.source.rounds import FileAhead, worth_keeping
from refmaker.source.together import together

SIZE = 64 << 20
DATA = np.arange(SIZE // 8, dtype="<u8").tobytes()
Spans = list[tuple[int, int]]


def at(*offsets: int, length: int = 8) -> list[Wish]:
    return [Wish.one(offset, length) for offset in offsets]


def run(start: Callable[[FileAhead], Parser[None]], *, is_small: bool = False) -> list[Spans]:
    """Run parsers to the end and return the ranges of each round, none of which lies in an earlier one."""
    ahead, store = FileAhead(SIZE, "it", is_small=is_small), BlockStore(MemorySource(DATA))
    ahead.start(start(ahead))
    rounds: list[Spans] = []
    while (step := ahead.advance(store))[0]:
        spans, wanted = step
        rounds.append(spans)
        store.put([piece for a, b in spans for piece in worth_keeping(a, DATA[a:b], wanted)])
    assert store.misses == 0
    return rounds


def test_a_short_chain_does_not_wait_for_a_long_one() -> None:
    """Two rounds, though in step with each other the two parsers would take three."""

    def beside(file: FileAhead) -> Parser[None]:
        file.start(chain(0, 8, 16, 40 << 20))
        yield from chain(0, 20 << 20)

    def chain(*offsets: int) -> Parser[None]:
        for offset in offsets:
            yield at(offset)

    assert run(beside) == [[(0, BLOCK)], [(20 << 20, (20 << 20) + BLOCK), (40 << 20, (40 << 20) + BLOCK)]]


def test_what_a_parser_receives_is_what_it_wished_for() -> None:
    received: list[list[Bytes]] = []

    def parser(_: FileAhead) -> Parser[None]:
        received.append((yield [Wish(np.array([80, 8], np.uint64), 8), Wish.one(1 << 20, 16)]))

    run(parser)
    assert [block.view("<u8").tolist() for block in received[0]] == [[[10], [1]], [[1 << 17, (1 << 17) + 1]]]


def test_index_nodes_are_fetched_exactly_and_merged_over_gaps() -> None:
    def parser(_: FileAhead) -> Parser[None]:
        yield [Wish(np.array([1000, 5000, 5000 + 100 + GAP, 5000 + 300 + 2 * GAP], np.uint64), 100)]

    far = 5300 + 2 * GAP
    assert run(parser) == [[(1000, 5200 + GAP), (far, far + 100)]]


def test_long_ranges_are_shared_by_streams_and_small_files_fetched_whole() -> None:
    def long(_: FileAhead) -> Parser[None]:
        yield at(0, length=3 * LONGEST_REQUEST)

    def whole(file: FileAhead) -> Parser[None]:
        file.take_whole()
        yield from ()

    assert [stop - start for start, stop in run(long)[0]] == [LONGEST_REQUEST] * 3
    assert [stop - start for start, stop in run(whole, is_small=True)[0]] == [WHOLE_PART] * 16
    assert run(whole) == []


def test_a_parser_that_fails_or_leaves_the_file_ends_alone() -> None:
    ended = []

    def parser(file: FileAhead) -> Parser[None]:
        file.start(broken())
        file.start(beyond())
        yield at(0)
        yield at(30 << 20)
        ended.append("well")

    def broken() -> Parser[None]:
        yield at(0)
        raise BrokenFileError("nonsense")

    def beyond() -> Parser[None]:
        try:
            yield at(SIZE - 4)
        finally:
            ended.append("closed")

    assert len(run(parser)) == 2
    assert ended == ["closed", "well"]


def test_gaps_are_fetched_but_not_kept() -> None:
    wanted = Ranges.of([(10, 20), (90, 110)])
    assert worth_keeping(10, DATA[10:100], wanted) == [(10, DATA[10:20]), (90, DATA[90:100])]
    assert worth_keeping(10, DATA[10:30], wanted) == [(10, DATA[10:30])]


def test_two_parsers_together_wish_together() -> None:
    def counting(*offsets: int) -> Parser[int]:
        total = 0
        for offset in offsets:
            [block] = yield at(offset)
            total += int(block.view("<u8")[0, 0])
        return total

    source = MemorySource(DATA)
    assert drive(together(counting(8, 16, 24), counting(80)), source) == (6, 10)
    assert drive(together(counting(), counting(8)), source) == (0, 1)
