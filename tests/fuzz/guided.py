"""Fuzz by coverage: ``python -m tests.fuzz.guided --minutes 10 [--only TEXT] [--without TEXT] [--out DIR]``.

atheris (``pip install 'refmaker[fuzz]'``; it has wheels for Linux) counts which branches of refmaker an input takes,
keeps those that take new ones, and breaks these further, half of the time in the ways of ``mutation``. Each target of
``targets`` has a process of its own: libFuzzer ends it, and what is instrumented must not be loaded before. What ends
the process early (a signal, an alarm, too much memory) libFuzzer leaves in DIR, behind the three bytes of ``HEADER``.
"""

import argparse
import os
import pkgutil
import resource
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path
from random import Random
from typing import Any

HEADER = struct.Struct("<HB")
"""How an input begins: which sample it was, and which file of that; what is left is the file."""
LARGEST = 1 << 18
"""Bytes of an input."""


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0, help="of all targets together")
    parser.add_argument(
        "--only", action="append", default=[], help="targets whose name has this in it; may be repeated"
    )
    parser.add_argument("--without", action="append", default=[], help="no targets whose name has this in it")
    parser.add_argument("--out", type=Path, default=Path("fuzz-findings"), help="where inputs of findings go")
    parser.add_argument("--target", help="this one alone, in this process")
    options = parser.parse_args()
    if options.target:
        Guided(options.target, options.minutes * 60, options.out).run()
    from tests.fuzz.targets import chosen

    names = [target.name for target in chosen(options.only, options.without)]
    print(f"{'target':24}{'executions':>11}{'results':>10}{'refused':>10}{'findings':>10}{'most s':>8}", flush=True)
    failed = 0
    for name in names:
        share = ["--target", name, "--minutes", str(options.minutes / len(names)), "--out", str(options.out)]
        command = [sys.executable, "-m", "tests.fuzz.guided", *share]
        with tempfile.TemporaryDirectory() as scratch, tempfile.TemporaryFile() as said:
            code = subprocess.run(command, stderr=said, env={**os.environ, "TMPDIR": scratch}, check=False).returncode
            said.seek(0)
            failed += code != 0
            if code > 1:
                print(f"{name} ended with {code}: {said.read()[-2000:].decode(errors='replace')}", flush=True)
    return int(failed > 0)


class Guided:
    """A run of one target, in this process."""

    def __init__(self, name: str, seconds: float, out: Path) -> None:
        import atheris

        with atheris.instrument_imports(include=["refmaker"]):
            import refmaker

            for module in pkgutil.walk_packages(refmaker.__path__, "refmaker."):
                if not module.name.endswith("__main__"):
                    __import__(module.name)
            from tests.fuzz import mutation, running
            from tests.fuzz.targets import TARGETS
        self.atheris, self.refusal, self.mutated, self.running = (
            atheris,
            refmaker.RefmakerError,
            mutation.mutated,
            running,
        )
        self.target = TARGETS[name]
        self.samples = self.target.samples()
        self.folder = Path(tempfile.mkdtemp())
        self.seconds, self.out = seconds, out
        self.end = 0.0
        self.executions = self.refused = 0
        self.slowest = 0.0
        self.findings: dict[str, int] = {}

    def run(self) -> None:
        """Fuzz; ends the process, with 1 if there were findings."""
        running = self.running
        warnings.simplefilter("ignore")
        resource.setrlimit(resource.RLIMIT_AS, (running.ADDRESS_SPACE, running.ADDRESS_SPACE))
        seeds = Path(tempfile.mkdtemp())
        for number, (files, which) in enumerate(self.samples):
            for place, one in enumerate(sorted(files)):
                if one == which or not which:
                    (seeds / f"{number}-{place}").write_bytes(HEADER.pack(number, place) + files[one])
        self.out.mkdir(parents=True, exist_ok=True)
        limits = [f"-timeout={running.SECONDS}", f"-rss_limit_mb={2 * running.MEMORY >> 20}", f"-max_len={LARGEST}"]
        arguments: list[Any] = [
            sys.argv[0],
            *limits,
            f"-artifact_prefix={self.out}/guided-",
            "-verbosity=0",
            str(seeds),
        ]
        self.end = time.monotonic() + self.seconds
        self.atheris.Setup(arguments, self.execute, custom_mutator=self.broken)
        self.atheris.Fuzz()

    def files_of(self, data: bytes) -> dict[str, bytes]:
        """Return the files that an input stands for."""
        number, which = HEADER.unpack_from(data)
        files = dict(self.samples[number % len(self.samples)][0])
        return {**files, sorted(files)[which % len(files)]: data[HEADER.size :]}

    def broken(self, data: bytes, most: int, seed: int) -> bytes:
        """Return an input with something broken behind its header."""
        rng = Random(seed)
        head, rest = data[: HEADER.size], data[HEADER.size :]
        rest = self.mutated(rest, rng) if rng.random() < 0.5 else self.atheris.Mutate(rest, most - HEADER.size)
        return bytes(head + rest)[:most]

    def execute(self, data: bytes) -> None:
        """Run an input; what is wrong with it is told once for every place."""
        if time.monotonic() > self.end:  # libFuzzer would leave without a word
            found = sum(self.findings.values())
            counts = f"{self.executions:11}{self.executions - self.refused - found:10}{self.refused:10}{found:10}"
            print(f"{self.target.name:24}{counts}{self.slowest:8.2f}", flush=True)
            os._exit(bool(self.findings))
        if len(data) < HEADER.size:
            return
        self.executions += 1
        shutil.rmtree(self.folder, ignore_errors=True)
        self.running.put(self.files_of(data), self.folder)
        started = time.monotonic()
        try:
            self.target.run(self.folder)
        except self.refusal:
            self.refused += 1
        except Exception as error:  # noqa: BLE001  whatever it is
            self.found(data, error)
        self.slowest = max(self.slowest, time.monotonic() - started)

    def found(self, data: bytes, error: Exception) -> None:
        """Keep the first input of every place."""
        finding = self.running.Finding(
            self.target.name, self.executions, type(error).__name__, "".join(traceback.format_exception(error))
        )
        if finding.place not in self.findings:
            kept = self.out / f"guided-{self.target.name.replace(' ', '-')}-{self.executions}"
            self.running.put({**self.files_of(data), "FINDING.txt": finding.text.encode()}, kept)
            print(f"    {finding.place}: {kept}", flush=True)
        self.findings[finding.place] = self.findings.get(finding.place, 0) + 1


if __name__ == "__main__":
    sys.exit(main())
