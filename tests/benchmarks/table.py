"""What the benchmarks print, read into the rows of one table."""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

__all__ = ["HEAD", "Reader", "Row", "lines", "markdown", "read_chunk_index", "read_plain", "read_serving", "read_table"]


class Row(NamedTuple):
    """One measurement.

    Attributes:
        work: what was done.
        tool: by what.
        time: how long that took, with its unit.
        ratio: how many times refmaker's time that is; "" for refmaker itself.
        more: what else was measured.
    """

    work: str
    tool: str
    time: str
    ratio: str = ""
    more: str = ""


HEAD = ("benchmark", "work", "tool", "time", "times refmaker's", "more")
Reader = Callable[[Sequence[str]], Iterator[Row]]
"""Lines that a benchmark printed -> its measurements."""

OURS = ("refmaker", "ours")
SECONDS = re.compile(r"(\d+(?:\.\d+)?) ms")


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def read_table(printed: Sequence[str]) -> Iterator[Row]:
    """Read Markdown tables: columns ``tool`` and ``seconds`` are what they say, other ones are told by name.

    The ratio is to the last row of refmaker before, of the same work.
    """
    head: list[str] = []
    base = 0.0
    for line in printed:
        if not line.startswith("|"):
            continue
        cells = _cells(line)
        if "tool" in cells:
            head = cells
            continue
        if not head or set(line) <= set("|-: "):
            continue
        named = dict(zip(head, cells + [""] * (len(head) - len(cells)), strict=False))
        tool, seconds = named.pop("tool"), named.pop("seconds")
        work = named.pop(head[0], "") if head[0] != "tool" else ""
        ours = tool.startswith(OURS)
        base = float(seconds) if ours else base
        ratio = "" if ours or not base else f"{float(seconds) / base:.1f}"
        told = [
            f"{name} {value}" for name, value in named.items() if value and "faster" not in name and "times" not in name
        ]
        yield Row(work, tool, f"{seconds} s", ratio, ", ".join(told))


def read_plain(printed: Sequence[str]) -> Iterator[Row]:
    """Read lines ``work  12.3 ms  more``; a line without a time is the heading of those behind it.

    Works called ``scan ...`` are refmaker's; what is compared with is the last of those.
    """
    heading, base = "", 0.0
    for line in printed:
        found = re.match(r"(\S.*?)\s{2,}(\d+\.\d+) ms\s*(.*)", line)
        if found is None:
            heading = line.strip() if re.match(r"\d+ ", line) else heading
            continue
        name, milliseconds, more = found[1], float(found[2]), found[3]
        ours = name.startswith("scan")
        base = milliseconds if ours else base
        ratio = "" if ours or not base else f"{milliseconds / base:.1f}"
        work = f"{name}: {heading}" if ours else f"to JSON: {heading}"
        yield Row(work, "refmaker" if ours else name.removesuffix(" to JSON"), f"{milliseconds:.2f} ms", ratio, more)


def read_chunk_index(printed: Sequence[str]) -> Iterator[Row]:
    """Read lines of an index, refmaker's and h5py's nanoseconds a chunk, and their ratio."""
    for line in printed:
        found = re.match(r"(\S.*?)\s{2,}(\d+\.\d+)\s+(\d+)\s+(\d+)x$", line.rstrip())
        if found:
            yield Row(found[1], "refmaker", f"{found[2]} ns a chunk")
            yield Row(found[1], "h5py chunk_iter", f"{found[3]} ns a chunk", f"{float(found[3]) / float(found[2]):.1f}")


def read_serving(printed: Sequence[str]) -> Iterator[Row]:
    """Read lines of a layout with every reader's milliseconds; ratios are to ``engine="refmaker"``."""
    for line in printed:
        found = re.findall(r"(\S+(?: \S+)*?) (\d+) ms(?: \(([^)]*)\))?", line[10:])
        if not found or line.startswith(" "):
            continue
        base = next((float(ms) for name, ms, _ in found if name.startswith(("engine", "refmaker"))), 0.0)
        for name, milliseconds, _ in found:
            ours = name.startswith(("engine", "refmaker", "RefStore"))
            ratio = f"{float(milliseconds) / base:.1f}" if base and not ours else ""
            tool = f"refmaker, {name}" if ours else name
            yield Row(f"read {line[:10].strip()}", tool, f"{milliseconds} ms", ratio)


def markdown(cells: Sequence[str]) -> str:
    """Return a row of a Markdown table."""
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def lines(name: str, printed: Sequence[str], read: Reader) -> Iterator[str]:
    """Yield the lines of the table for what one benchmark printed."""
    for row in read(printed):
        yield markdown((name, *row))
