"""What a job is asked: on the command line, in the API or in a job file, under the same names.

A job file is TOML or JSON: ``inputs``, ``output``, ``separate`` and ``job`` at the top, everything else in the sections
of ``SECTIONS``; ``schemas/job.schema.json`` describes it. A key that is not known is refused: a misspelt option that
is ignored would be a wrong archive.
"""

import difflib
import hashlib
import json
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, TypedDict

from refmaker.batch.outcome import ScanSettings
from refmaker.batch.targets import check_targets
from refmaker.combine.options import (
    LOAD_BELOW,
    Attrs,
    CombineOptions,
    Join,
    OnDiffering,
    OnGap,
    OnMissingVariable,
    OnOverlap,
)
from refmaker.combine.placement import FromAttribute, FromName, FromPosition, FromValues, PlacementLike, placement_of
from refmaker.errors import OptionError
from refmaker.references.options import RECORD_SIZE
from refmaker.scanners.registry import ScanOptions
from refmaker.source.location import check_credentials, local_path
from refmaker.source.policy import CONCURRENCY, RETRIES, Transfer

__all__ = ["SECTIONS", "Job", "JobKeywords", "OnError", "WriteSettings", "job_of", "read_job_file"]

OnError = Literal["raise", "skip", "quarantine"]

TOP = ("inputs", "output", "separate", "job")
SECTIONS: Mapping[str, tuple[str, ...]] = {
    "scan": ("format", "on_unsupported", "group", "include", "exclude", "chunk_bytes", "series", "levels", "geo"),
    "combine": ("concat", "place", "on_missing_variable", "attrs", "join", "on_overlap", "on_gap", "on_differing",
                "same", "load_below"),
    "write": ("relative", "inline_below", "zarr_format", "templates", "record_size", "separate_suffix",
              "keep_suffix"),
    "run": ("on_error", "max_failures", "retries", "workers", "timeout", "memory", "concurrency", "dask"),
}  # fmt: skip
"""The keys of each section of a job file; ``storage_options`` is a section whose keys are free."""


class JobKeywords(TypedDict, total=False):
    """The options of ``refmaker.index`` besides inputs and outputs; see there."""

    format: str | None
    on_unsupported: Literal["raise", "skip"]
    group: str
    include: Iterable[str]
    exclude: Iterable[str]
    chunk_bytes: int | None
    series: Iterable[int]
    levels: Iterable[int]
    geo: Literal["auto", "off"]
    concat: str | Iterable[str]
    place: Mapping[str, PlacementLike]
    on_missing_variable: OnMissingVariable
    attrs: Attrs
    join: Join
    on_overlap: OnOverlap
    on_gap: OnGap
    on_differing: OnDiffering
    same: Iterable[str]
    load_below: int
    relative: bool
    inline_below: int
    zarr_format: int
    templates: bool
    record_size: int
    separate_suffix: str
    keep_suffix: bool
    on_error: OnError
    max_failures: int | None
    retries: int
    workers: int | None
    timeout: float | None
    memory: int | None
    concurrency: int
    dask: str | None
    storage_options: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteSettings:
    """How results are written.

    Attributes:
        relative: locations are written relative to the document's directory.
        inline_below: chunks shorter than that are stored in the document.
        zarr_format: how metadata is spelled.
        templates: directories that URLs share are written once (JSON only).
        record_size: chunks in a partition (Parquet only).
        separate_suffix: of the documents of single files.
        keep_suffix: whether it follows the whole name of a file (``a.nc.json``), not the name without its suffix.
    """

    relative: bool = False
    inline_below: int = 0
    zarr_format: int = 2
    templates: bool = False
    record_size: int = RECORD_SIZE
    separate_suffix: str = ".json"
    keep_suffix: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job, checked.

    Attributes:
        inputs: what names the files; see ``inputs``.
        output: the document of all files together, or None.
        separate: the directory of one document a file, or None.
        directory: where ledger and results are.
        scan: how files are scanned.
        combine: how they are put together.
        write: how documents are written.
        on_error: ``"raise"``: a file that fails prevents the outputs; ``"skip"``: it is left out, and tried again by
            the next run; ``"quarantine"``: it is left out until it changes.
        max_failures: one more failure stops the scanning; None: any number.
        retries: how often a file is tried again whose failure may pass.
        workers: processes, or None: one for each CPU.
        dask: a scheduler's address, ``"local"``, or None.
    """

    inputs: tuple[str, ...]
    output: str | None = None
    separate: str | None = None
    directory: Path
    scan: ScanSettings = field(default_factory=ScanSettings)
    combine: CombineOptions = field(default_factory=CombineOptions)
    write: WriteSettings = field(default_factory=WriteSettings)
    on_error: OnError = "raise"
    max_failures: int | None = None
    retries: int = 2
    workers: int | None = None
    dask: str | None = None

    def __post_init__(self) -> None:
        if self.on_error not in {"raise", "skip", "quarantine"}:
            raise OptionError(f"on_error is {self.on_error!r}, not one of raise, skip, quarantine")
        if self.output is None and self.separate is None:
            raise OptionError("neither an output nor a directory for separate documents is given")
        for name, least in (("max_failures", 0), ("retries", 0), ("workers", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise OptionError(f"{name} is {value}; it is at least {least}")
        for name in ("timeout", "memory"):
            value = getattr(self.scan, name)
            if value is not None and value <= 0:
                raise OptionError(f"{name} is {value}; it is more than 0")
        self._check_outputs()

    def _check_outputs(self) -> None:
        """Refuse what the outputs cannot have, or would not heed."""
        write = self.write
        separate = None if self.separate is None else f"{self.separate.rstrip('/')}/...{write.separate_suffix}"
        check_targets(
            [target for target in (self.output, separate) if target is not None],
            zarr_format=write.zarr_format,
            templates=write.templates,
            record_size=write.record_size,
        )
        for name in ("separate_suffix", "keep_suffix"):
            if separate is None and getattr(write, name) != getattr(WriteSettings(), name):
                raise OptionError(f"{name} is given, but no directory for separate documents (separate)")
        useless = [name for name in SECTIONS["combine"] if getattr(self.combine, name) != getattr(NO_COMBINATION, name)]
        if self.output is None and useless:
            raise OptionError(f"{useless[0]} is about the document of all files together, and no output is given")
        if self.workers is not None and self.dask not in {None, "local"}:
            raise OptionError(f"workers are processes of this machine; the cluster at {self.dask} has its own")

    @property
    def scan_digest(self) -> str:
        """What decides the results of scans: other options need other results. No credentials are in it."""
        options = self.scan.options
        names = sorted(set(options.__slots__) - {"storage_options"})
        return _digest([self.scan.format, [(name, getattr(options, name)) for name in names]])

    @property
    def inputs_digest(self) -> str:
        """What names the files."""
        return _digest(self.inputs)

    @property
    def output_digest(self) -> str:
        """What decides the outputs, besides the results."""
        combine = {name: repr(getattr(self.combine, name)) for name in sorted(COMBINE)}
        return _digest([self.output, self.separate, asdict(self.write), combine])


COMBINE = frozenset(SECTIONS["combine"])
NO_COMBINATION = CombineOptions()


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=repr).encode()).hexdigest()


def job_of(
    inputs: str | Iterable[str],
    output: str | None = None,
    *,
    separate: str | None = None,
    job: str | None = None,
    options: Mapping[str, Any],
) -> Job:
    """Return the job that these options describe; ``options`` are ``JobKeywords``.

    Raises:
        OptionError: an option is not known or makes no sense.
    """
    known = {name for names in SECTIONS.values() for name in names} | {"storage_options"}
    _check_known(options, known, "an option of a job")
    storage = options.get("storage_options")
    concat = options.get("concat", ())
    timeout = options.get("timeout", DEFAULT_TIMEOUT)
    on_error: OnError = options.get("on_error", "raise")
    return Job(
        inputs=(inputs,) if isinstance(inputs, str) else tuple(map(str, inputs)),
        output=output,
        separate=separate,
        directory=_directory(job, output, separate),
        scan=ScanSettings(
            options=ScanOptions(
                on_unsupported=options.get("on_unsupported", "raise"),
                group=str(options.get("group", "")).strip("/"),
                include=_tuple(options, "include"),
                exclude=_tuple(options, "exclude"),
                chunk_bytes=options.get("chunk_bytes"),
                storage_options=storage,
                series=_tuple(options, "series"),
                levels=_tuple(options, "levels"),
                geo=options.get("geo", "auto"),
            ),
            format=options.get("format"),
            transfer=Transfer(concurrency=options.get("concurrency", CONCURRENCY), retries=RETRIES),
            timeout=timeout,
            memory=options.get("memory"),
        ),
        combine=CombineOptions(
            concat=(concat,) if isinstance(concat, str) else tuple(concat),
            place={name: _placement(name, value) for name, value in options.get("place", {}).items()},
            same=_tuple(options, "same"),
            load_below=options.get("load_below", LOAD_BELOW),
            storage_options=storage,
            **{name: options[name] for name in POLICIES if name in options},
        ),
        write=WriteSettings(**{name: options[name] for name in SECTIONS["write"] if name in options}),
        on_error=on_error,
        max_failures=options.get("max_failures", 0 if on_error == "raise" else None),
        retries=options.get("retries", 2),
        workers=options.get("workers"),
        dask=options.get("dask"),
    )


DEFAULT_TIMEOUT = 600.0
"""Seconds that one file may take: far more than any scan does, so that a hang ends some day."""
POLICIES = ("on_missing_variable", "attrs", "join", "on_overlap", "on_gap", "on_differing")


def _tuple(options: Mapping[str, Any], name: str) -> tuple[Any, ...]:
    value = options.get(name, ())
    if isinstance(value, str):
        raise OptionError(f"{name} is one string; give a list of them")
    return tuple(value)


def _directory(job: str | None, output: str | None, separate: str | None) -> Path:
    """Return the job's directory: as given, else beside what is written."""
    if job is not None:
        if local_path(job) is None:
            raise OptionError("the job's directory must be on a local filesystem", location=job)
        return Path(str(local_path(job))).expanduser().absolute()
    target = output or separate or ""
    check_credentials(target)
    path = local_path(target)
    if path is None:
        raise OptionError("the output is remote: say in which local directory to keep the job (--job DIR)")
    return Path(f"{path.rstrip('/')}.job").expanduser().absolute()


# -- job files --------------------------------------------------------------------------------------------------------
PLACEMENTS = {"values": FromValues, "position": FromPosition}


def _placement(name: str, value: Any) -> Any:
    """Return a placement, also as job files spell it."""
    if isinstance(value, str) and value in PLACEMENTS:
        return PLACEMENTS[value]()
    if isinstance(value, Mapping):
        _check_known(value, {"name", "attribute", "date_format"}, f"a way to place inputs along {name!r}")
        date_format = value.get("date_format")
        if "name" in value:
            return FromName(value["name"], date_format)
        if "attribute" in value:
            return FromAttribute(value["attribute"], date_format)
    return placement_of(value)


def read_job_file(path: str) -> dict[str, Any]:
    """Return what a job file says, as keywords of ``refmaker.index``.

    Raises:
        OptionError: it cannot be read, or says what is not known.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
        found = json.loads(text) if path.endswith(".json") else tomllib.loads(text)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OptionError(f"the job file cannot be read: {reason}", location=path) from error
    try:
        return _flat(found)
    except OptionError as error:
        raise OptionError(error.message, location=path) from error


def _flat(found: Any) -> dict[str, Any]:
    if not isinstance(found, dict):
        raise OptionError("a job is an object")
    _check_known(found, {*TOP, *SECTIONS, "storage_options"}, "a key of a job")
    flat = {name: found[name] for name in (*TOP, "storage_options") if name in found}
    for section, names in SECTIONS.items():
        inner = found.get(section, {})
        if not isinstance(inner, dict):
            raise OptionError(f"{section!r} is a section, not a value")
        _check_known(inner, set(names), f"a key of [{section}]")
        flat.update(inner)
    for name, value in flat.items():
        if not isinstance(value, KINDS.get(name, (str,))) or (isinstance(value, bool) and name not in FLAGS):
            raise OptionError(f"{name!r} is {value!r}, which is of the wrong kind")
    return flat


FLAGS = frozenset({"keep_suffix", "relative", "templates"})
KINDS: Mapping[str, tuple[type, ...]] = {
    **dict.fromkeys(FLAGS, (bool,)),
    **dict.fromkeys(("inputs", "concat"), (list, str)),
    **dict.fromkeys(("include", "exclude", "same", "series", "levels"), (list,)),
    **dict.fromkeys(("chunk_bytes", "load_below", "inline_below", "zarr_format", "record_size"), (int,)),
    **dict.fromkeys(("max_failures", "retries", "workers", "memory", "concurrency"), (int,)),
    **dict.fromkeys(("place", "storage_options"), (dict,)),
    "timeout": (int, float),
}
"""Key -> what a job file may give there; text where nothing is said."""


def _check_known(found: Iterable[str], known: Iterable[str], what: str) -> None:
    names = sorted(known)
    for name in found:
        if name not in names:
            near = difflib.get_close_matches(name, names, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(names)}"
            raise OptionError(f"{name!r} is not {what}; {hint}")
