"""What came of each file: as lines for people and as JSON (``schemas/report-v1.schema.json``) for programs."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from refmaker import __version__
from refmaker.cli.failures import ExitCode, Failure
from refmaker.cli.options import Job, options_of
from refmaker.cli.text import aligned, bytes_text, counted, shown
from refmaker.model.reference_set import DatasetReport, DatasetState, ScanReport
from refmaker.source.location import without_credentials

__all__ = ["Outcome", "exit_code", "report_json", "summary", "write_report"]

REPORT_VERSION = 1


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one file: the scan's report once its references are written, or what prevented that."""

    job: Job
    result: ScanReport | Failure


def exit_code(outcomes: Sequence[Outcome]) -> ExitCode:
    """Return how a run with these outcomes ends."""
    failures = [outcome.result for outcome in outcomes if isinstance(outcome.result, Failure)]
    if len(failures) == len(outcomes):
        return min((failure.exit_code for failure in failures), default=ExitCode.NOTHING_DONE)
    skipped = any(isinstance(outcome.result, ScanReport) and outcome.result.skipped for outcome in outcomes)
    return ExitCode.DONE_IN_PART if failures or skipped else ExitCode.DONE


def summary(outcomes: Sequence[Outcome], *, verbose: bool) -> Iterator[str]:
    """Yield the lines that account for every dataset of every file that was written.

    A skipped dataset is a line ``path: code: reason`` under its file's heading.
    """
    done = [(outcome.job, outcome.result) for outcome in outcomes if isinstance(outcome.result, ScanReport)]
    if done:
        yield from _table(done)
    for job, report in done:
        if report.skipped:
            yield f"{_named(job)}: skipped {counted(len(report.skipped), 'dataset')}"
            yield from (f"  {shown(f'{d.path}: {d.code}: {d.reason}')}" for d in report.skipped)
        if own := [dataset for dataset in report.datasets if dataset.codecs]:
            ids = ", ".join(sorted({codec for dataset in own for codec in dataset.codecs}))
            yield f"{_named(job)}: {counted(len(own), 'dataset')} can only be read with refmaker installed ({ids})"
            if verbose:
                yield from (f"  {shown(f'{d.path}: codecs: ' + ', '.join(d.codecs))}" for d in own)
        if report.notes:
            codes = Counter(note.code for note in report.notes)
            told = ", ".join(f"{count} {code}" for code, count in sorted(codes.items()))
            hint = "" if verbose else "; -v lists them"
            yield f"{_named(job)}: {counted(len(report.notes), 'note')} ({told}){hint}"
            if verbose:
                yield from (f"  {shown(f'{note.path}: {note.code}: {note.sentence}')}" for note in report.notes)


def _named(job: Job) -> str:
    """Return a file's name fit to be shown."""
    return shown(without_credentials(job.file))


def _table(done: Sequence[tuple[Job, ScanReport]]) -> Iterator[str]:
    states = list(DatasetState)
    remote = any(report.misses is not None for _, report in done)
    costs = ["requests", "bytes", "rounds", "misses"] if remote else []
    rows = [["file", "datasets", *states, "notes", *costs, "seconds", "references"]]
    counts = [[len(report.datasets), *map(report.count, states), len(report.notes)] for _, report in done]
    for (job, report), row in zip(done, counts, strict=True):
        seconds = "" if report.seconds is None else f"{report.seconds:.2f}"
        cost = _cost(report) if remote else []
        rows.append([_named(job), *map(str, row), *cost, seconds, shown(job.output)])
    if len(done) > 1:
        totals = [sum(column) for column in zip(*counts, strict=True)]
        rows.append([counted(len(done), "file"), *map(str, totals), *[""] * len(costs), "", ""])
    yield from aligned(rows, "<" + ">" * (len(states) + len(costs) + 3) + "<")


def _cost(report: ScanReport) -> list[str]:
    """Return the cells that say what reading a remote file took; empty ones for a local file."""
    if report.misses is None:
        return [""] * 4
    size = "" if report.bytes_read is None else bytes_text(report.bytes_read)
    return [str(report.requests), size, str(report.rounds), str(report.misses)]


def report_json(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return the machine-readable report of a run."""
    return {
        "report_version": REPORT_VERSION,
        "refmaker_version": __version__,
        "exit_code": int(exit_code(outcomes)),
        "files": [_file_json(outcome) for outcome in outcomes],
    }


def write_report(outcomes: Sequence[Outcome], url: str, storage_options: Mapping[str, Any] | None) -> None:
    """Write the machine-readable report, whole or not at all."""
    from refmaker.references.publish import publish

    with publish(url, options_of(url, storage_options)) as file:
        file.write(json.dumps(report_json(outcomes), indent=1).encode() + b"\n")


def _file_json(outcome: Outcome) -> dict[str, Any]:
    job, result = outcome.job, outcome.result
    if isinstance(result, Failure):
        error = asdict(result)
        del error["exit_code"]
        return {"file": without_credentials(job.file), "references": None, "error": error}
    return {
        "file": without_credentials(job.file),
        "references": job.output,
        "error": None,
        "counts": {state.value: result.count(state) for state in DatasetState},
        "datasets": [_dataset_json(dataset) for dataset in result.datasets],
        "notes": [{"path": note.path, "code": note.code, "sentence": note.sentence} for note in result.notes],
        "requests": result.requests,
        "bytes_read": result.bytes_read,
        "rounds": result.rounds,
        "misses": result.misses,
        "seconds": result.seconds,
    }


def _dataset_json(dataset: DatasetReport) -> dict[str, Any]:
    return {name: value for name, value in asdict(dataset).items() if value}
