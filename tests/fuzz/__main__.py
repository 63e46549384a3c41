"""Fuzz for a while: ``python -m tests.fuzz --minutes 10 [--only NAME] [--seed N] [--out DIR]``.

Prints executions and findings of every target; saves the input of each finding, and ends with 1 if there are any.
"""

import argparse
import sys
import time
from collections import Counter
from pathlib import Path

from tests.fuzz.running import fuzz, save
from tests.fuzz.targets import TARGETS


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--only", default="", help="targets whose name has this in it")
    parser.add_argument("--seed", type=int, default=None, help="default: another one every time")
    parser.add_argument("--out", type=Path, default=Path("fuzz-findings"), help="where inputs of findings go")
    options = parser.parse_args()
    seed = int(time.time()) if options.seed is None else options.seed
    chosen = [target for name, target in TARGETS.items() if options.only in name]
    if not chosen:
        parser.error(f"no target has {options.only!r} in its name; there are {', '.join(TARGETS)}")
    print(f"seed {seed}", flush=True)
    executions = count = 0
    for target in chosen:
        outcome = fuzz(target, seed=seed, seconds=options.minutes * 60 / len(chosen))
        executions += outcome.executions
        count += len(outcome.findings)
        told = f"{outcome.executions:8} executions {outcome.errors:8} refused {len(outcome.findings):5} findings"
        print(f"{target.name:20} {told}", flush=True)
        causes = Counter(finding.place for finding in outcome.findings)
        shown: set[str] = set()
        for finding, place in save(outcome.findings, TARGETS, seed, options.out):
            if finding.place not in shown:
                shown.add(finding.place)
                print(f"    {causes[finding.place]} x {finding.place}: {place}", flush=True)
    print(f"{executions} executions, {count} findings")
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main())
