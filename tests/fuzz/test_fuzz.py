"""A short run of every target, always the same inputs; ``python -m tests.fuzz`` is the long one."""

import os
import signal
import time
from pathlib import Path
from random import Random

import pytest

from refmaker import BrokenFileError
from tests.fuzz import running, targets
from tests.fuzz.running import Finding, fuzz, input_of, save
from tests.fuzz.targets import TARGETS, Target

SEED = 1
EXECUTIONS = 40


@pytest.mark.parametrize("name", TARGETS)
def test_broken_inputs_give_a_result_or_a_refmaker_error(name: str) -> None:
    outcome = fuzz(TARGETS[name], seed=SEED, count=EXECUTIONS)
    assert [(finding.number, finding.kind, finding.text) for finding in outcome.findings] == []
    assert outcome.executions == EXECUTIONS


def harmful(folder: Path) -> None:
    kind = (folder / "a").read_bytes()
    if kind == b"crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if kind == b"leave":
        os._exit(3)
    if kind == b"raise":
        raise ValueError("not ours")
    if kind == b"refuse":
        raise BrokenFileError("ours")


KINDS = (b"good", b"crash", b"raise", b"refuse", b"leave", b"good")


def test_a_crash_is_a_finding_and_not_the_end(tmp_path: Path) -> None:
    kinds = iter(KINDS)
    given: dict[float, bytes] = {}

    class InOrder(Target):
        def input(self, rng: Random) -> dict[str, bytes]:
            return {"a": given.setdefault(rng.random(), b"")}

    target = InOrder("harmful", list, harmful)
    for number in range(len(KINDS)):
        given[Random(f"{SEED}:harmful:{number}").random()] = next(kinds)
    outcome = fuzz(target, seed=SEED, count=len(KINDS))
    found = [(finding.number, finding.kind) for finding in outcome.findings]
    assert sorted(found) == [(1, "SIGSEGV"), (2, "ValueError"), (4, "exit 3")]
    assert outcome.executions == len(KINDS)
    ((finding, place), *_) = save(outcome.findings[:1], {"harmful": target}, SEED, tmp_path)
    assert isinstance(finding, Finding)
    assert (place / "a").read_bytes() == KINDS[finding.number]


def costly(folder: Path) -> None:
    kind = (folder / "a").read_bytes()
    if kind == b"large":
        bytearray(200 << 20)
    if kind == b"slow":
        time.sleep(30)


@pytest.mark.parametrize(("kind", "finding"), [(b"good", None), (b"large", "memory"), (b"slow", "timeout")])
def test_every_input_has_a_bound_of_time_and_memory(
    kind: bytes, finding: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "SECONDS", 1)
    monkeypatch.setattr(running, "MEMORY", 100 << 20)
    target = Target("costly", lambda: [({"a": kind}, "a")], costly)
    monkeypatch.setattr(targets, "mutated", lambda data, _: data)
    outcome = fuzz(target, seed=SEED, count=1)
    assert [found.kind for found in outcome.findings] == ([finding] if finding else [])
    assert (outcome.memory > 100 << 20) == (kind == b"large")
    assert outcome.executions == 1


def test_an_input_is_made_again_from_its_number() -> None:
    target = TARGETS["scan netcdf3"]
    assert input_of(target, SEED, 7) == input_of(target, SEED, 7) != input_of(target, SEED, 8)
