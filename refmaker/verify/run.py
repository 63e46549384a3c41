"""``refmaker.verify``: references against their sources, from cheap checks to whole comparisons."""

import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

from refmaker.errors import OptionError
from refmaker.model.array import VirtualArray
from refmaker.model.group import VirtualGroup, walk
from refmaker.model.reference_set import ReferenceSet
from refmaker.serve.allowed import AllowedLocations
from refmaker.serve.opened import OpenedReferences, open_given
from refmaker.serve.options import ServeOptions
from refmaker.source.location import options_for
from refmaker.verify.array_check import ArrayCheck
from refmaker.verify.comparing import attribute_differences, metadata_differences
from refmaker.verify.findings import ArrayResult, Check, Findings, Verification
from refmaker.verify.native import NativeArray, NativeError, NativeFile
from refmaker.verify.origins import Natives, file_path
from refmaker.verify.ranges import check_ranges
from refmaker.verify.sources import Sources

__all__ = ["SAMPLE", "verify"]

NO_PROTOCOL = "none"
"""Options by protocol have none for it; options for every filesystem do."""
SAMPLE = 8
"""Chunks of each array that are read, unless asked for otherwise."""


def verify(
    references: str | os.PathLike[str] | Mapping[str, Any] | ReferenceSet,
    *,
    sample: int | None = SAMPLE,
    native: bool = True,
    storage_options: Mapping[str, Any] | None = None,
    allow: Sequence[str] = (),
) -> Verification:
    """Hold references against the files that they point into.

    Checked are: every source is there and unchanged; every range lies inside its source, and overlaps no other where
    that cannot be; the chunks looked at read in full and decode to the declared shape; and, with ``native``, they
    hold the values that h5py, netCDF4 or tifffile read, as do data types, fill values and attributes. Arrays that
    several files were combined into are compared chunk by chunk, each with its place in its own file.

    Args:
        references: a path or URL, a kerchunk dictionary, or a ReferenceSet.
        sample: chunks of each array that are read; None: all.
        native: whether values are compared with the native library's.
        storage_options: for the filesystems of references and sources, or by protocol.
        allow: URL prefixes that sources may lie under beside those that are allowed anyway; ``["*"]``: all.

    Returns:
        What was checked and what was found; ``ok`` says whether that was nothing.

    Raises:
        SourceError: the references cannot be read.
        BrokenReferencesError: they are malformed.
        UnsupportedError: they use what we do not read, or a codec that may run code.
        OptionError: ``sample`` is less than one.

    >>> import refmaker
    >>> found = refmaker.verify(refmaker.scan("sample_data/ocean.nc"), sample=None)
    >>> found.ok, len(found.arrays) > 0
    (True, True)
    """
    if sample is not None and sample < 1:
        raise OptionError(f"a sample of {sample} chunks: at least one is needed")
    started = time.perf_counter()
    given = dict(storage_options or {})
    by_protocol = options_for(f"{NO_PROTOCOL}://", given) != given
    source_options = given if by_protocol else {"": given}
    target = options_for(os.fspath(references), given) if isinstance(references, str | os.PathLike) else None
    options = ServeOptions(on_stale="ignore", allow=tuple(allow), source_options=source_options)
    opened = open_given(references, target_options=target, options=options)
    work = _Verification(opened, storage_options, allow)
    try:
        work.run(sample, native=native)
    finally:
        work.natives.close()
    return Verification(
        arrays=tuple(work.results),
        sources=len(work.used),
        mismatches=work.mismatches.listed(),
        unchecked=work.unchecked.listed(),
        seconds=time.perf_counter() - started,
    )


class _Verification:
    """The state of one run."""

    def __init__(
        self, opened: OpenedReferences, storage_options: Mapping[str, Any] | None, allow: Sequence[str]
    ) -> None:
        self.opened = opened
        self.references = opened.references
        self.nodes = dict(walk(self.references.root))
        self.arrays = {path: node for path, node in self.nodes.items() if isinstance(node, VirtualArray)}
        url = opened.origin.url if opened.origin else None
        self.sources = Sources(
            self.references.sources, AllowedLocations(url, self.references.sources, allow), storage_options
        )
        self.mismatches, self.unchecked = Findings(), Findings()
        self.natives = Natives(self.sources, self.mismatches, self.unchecked)
        self.results: list[ArrayResult] = []
        self.located = {path: array.manifest.location_ids().tolist() for path, array in self.arrays.items()}
        self.used: list[int] = sorted({one for ids in self.located.values() for one in ids})
        self.told: dict[str, str] = {}
        for note in self.references.report.notes:
            key = note.path.strip("/")
            self.told[key] = f"{self.told.get(key, '')} {note.sentence}"

    def run(self, sample: int | None, *, native: bool) -> None:
        """Check everything."""
        known = [one for one in self.used if one < len(self.references.sources)]
        if native and self.main is not None and self.main not in known:
            known.append(self.main)
        for number in known:
            self.sources.check(number, self.mismatches)
        check_ranges(self.arrays, self.references.sources, self.sources.sizes, self.mismatches)
        whole = self.natives.get(self.main) if native and self.main is not None else None
        prefix = self._prefix(whole)
        if whole is not None and self._is_one_file:
            self._check_groups(whole, prefix)
        for path, array in self.arrays.items():
            self._check_array(path, array, whole if native else None, prefix, sample, native=native)

    # -- what the references were made of ------------------------------------------------------------------------
    @property
    def main(self) -> int | None:
        """The source whose tree the references may have: the first."""
        return 0 if self.references.sources else None

    @property
    def _is_one_file(self) -> bool:
        """Whether the references are those of one file (and of raw files and others that it links to)."""
        scanned = [one for one in self.references.sources if one.scanner != "raw"]
        linked = any(dataset.state == "linked" for dataset in self.references.report.datasets)
        return len(scanned) == 1 or linked

    def _prefix(self, whole: NativeFile | None) -> str:
        if whole is None or not self.arrays or not self._is_one_file:
            return ""
        groups: list[str] = getattr(whole, "groups", list)()
        return file_path(whole, self.arrays, groups)

    # -- groups and arrays ---------------------------------------------------------------------------------------
    def _check_groups(self, whole: NativeFile, prefix: str) -> None:
        for path, node in self.nodes.items():
            if isinstance(node, VirtualGroup):
                theirs = whole.group_attributes(_joined(prefix, path))
                if theirs is not None:
                    self._attributes(path, node.attributes, theirs, frozenset())

    def _attributes(self, path: str, ours: Mapping[str, Any], theirs: Mapping[str, Any], more: frozenset[str]) -> None:
        dropped = self.told.get(path, "")
        for check, sentence in attribute_differences(ours, theirs, more=more, dropped=dropped):
            self.mismatches.add(check, path, sentence)

    def _check_array(
        self,
        path: str,
        array: VirtualArray,
        whole: NativeFile | None,
        prefix: str,
        sample: int | None,
        *,
        native: bool,
    ) -> None:
        reader = self.opened.array(path)
        if reader is None:
            raise OptionError(f"{path} is no array")
        native_path = _joined(prefix, path)
        found = self._found(path, array, whole, native_path) if whole is not None else None
        by_range = native and found is None and not self._is_one_file
        check = ArrayCheck(
            path=path,
            array=array,
            reader=reader,
            answering=frozenset(self.sources.sizes),
            natives=self.natives if by_range else None,
            native=whole if found is not None else None,
            native_path=native_path,
            mismatches=self.mismatches,
            unchecked=self.unchecked,
        )
        check.run(sample)
        library = whole.library if whole is not None and check.compared and found is not None else ""
        self.results.append(
            ArrayResult(
                path=path,
                chunks=len(array.manifest),
                present=array.manifest.present,
                read=check.read,
                compared=check.compared,
                native=library or ("by range" if check.compared else ""),
                mismatches=self.mismatches.count(path),
            )
        )

    def _found(self, path: str, array: VirtualArray, whole: NativeFile, native_path: str) -> NativeArray | None:
        """Return the array that the file has at a path, if it is comparable; say what its metadata differs in."""
        strict = self._is_one_file
        others = [one for one in self.located[path] if one != self.main]
        if not strict and others:
            return None
        try:
            found = whole.find(native_path, array)
        except NativeError as error:
            self.unchecked.add(Check.NATIVE, path, error.message)
            return None
        metadata = array.metadata
        if found is None:
            if strict and not whole.is_computed(path):
                self.mismatches.add(Check.NATIVE, path, f"{whole.library} finds no such array in the file")
            return None
        if found.shape != metadata.shape:
            if strict:
                self.mismatches.add(Check.SHAPE, path, f"is {metadata.shape}, and {found.shape} in the file")
            return None
        if strict:
            for check, sentence in metadata_differences(metadata, found):
                self.mismatches.add(check, path, sentence)
            if found.attributes is not None:
                self._attributes(path, metadata.attributes, found.attributes, found.more_attributes)
        return found


def _joined(prefix: str, path: str) -> str:
    return f"{prefix}/{path}".strip("/") if prefix else path
