"""Fuzz for a while: ``python -m tests.fuzz --minutes 10 [--only TEXT] [--without TEXT] [--seed N] [--out DIR]``.

Prints of every target how many inputs ran, gave a result, and were refused with a typed error; the most seconds and
memory one of them took; and the findings, whose inputs it saves. Ends with 1 if there are any.
"""

import argparse
import sys
import time
from collections import Counter
from pathlib import Path

from tests.fuzz.running import MEMORY, SECONDS, Outcome, fuzz, save
from tests.fuzz.targets import TARGETS, chosen


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument(
        "--only", action="append", default=[], help="targets whose name has this in it; may be repeated"
    )
    parser.add_argument("--without", action="append", default=[], help="no targets whose name has this in it")
    parser.add_argument("--seed", type=int, default=None, help="default: another one every time")
    parser.add_argument("--out", type=Path, default=Path("fuzz-findings"), help="where inputs of findings go")
    options = parser.parse_args()
    seed = int(time.time()) if options.seed is None else options.seed
    targets = chosen(options.only, options.without)
    print(f"seed {seed}; an input may take {SECONDS} s and {MEMORY >> 20} MB")
    print(f"{'target':24}{'executions':>11}{'results':>10}{'refused':>10}{'findings':>10}{'most s':>8}{'most MB':>9}")
    total = Outcome()
    for target in targets:
        outcome = fuzz(target, seed=seed, seconds=options.minutes * 60 / len(targets))
        print(row(target.name, outcome), flush=True)
        causes = Counter(finding.place for finding in outcome.findings)
        shown: set[str] = set()
        for finding, place in save(outcome.findings, TARGETS, seed, options.out):
            if finding.place not in shown:
                shown.add(finding.place)
                print(f"    {causes[finding.place]} x {finding.place}: {place}", flush=True)
        total.add(outcome.errors, outcome.slowest, outcome.memory)
        total.executions += outcome.executions
        total.findings += outcome.findings
    print(row("all", total))
    return 1 if total.findings else 0


def row(name: str, outcome: Outcome) -> str:
    """Return a line of the table."""
    found = len(outcome.findings)
    counts = f"{outcome.executions:11}{outcome.executions - outcome.errors - found:10}{outcome.errors:10}{found:10}"
    return f"{name:24}{counts}{outcome.slowest:8.2f}{outcome.memory / (1 << 20):9.0f}"


if __name__ == "__main__":
    sys.exit(main())
