"""``refmaker.verify``: references against their sources, from cheap checks to whole comparisons."""

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from refmaker.errors import OptionError, RefmakerError
from refmaker.model.array import VirtualArray
from refmaker.model.chunks import INLINE
from refmaker.model.group import VirtualGroup, walk
from refmaker.model.keys import chunk_position, parent_path
from refmaker.model.reference_set import DatasetState, ReferenceSet
from refmaker.serve.allowed import AllowedLocations
from refmaker.serve.array_reader import ArrayReader
from refmaker.serve.opened import OpenedReferences, open_given
from refmaker.serve.options import ServeOptions
from refmaker.serve.selection import outer
from refmaker.source.location import options_for
from refmaker.verify.arrangement import Arrangement, Part
from refmaker.verify.array_check import ArrayCheck
from refmaker.verify.combined import BY_NAME, attributes_of_several, inlined_values, metadata_of_several
from refmaker.verify.comparing import attribute_differences, metadata_differences, same_names
from refmaker.verify.findings import ArrayResult, Check, Findings, Verification
from refmaker.verify.native import NativeArray, NativeError, NativeFile
from refmaker.verify.one_file import IMAGES, is_of_one, joined, may_be_of_one, path_in_file
from refmaker.verify.origins import COMPUTED, Natives, file_path
from refmaker.verify.ranges import check_ranges
from refmaker.verify.rescans import RAW, Rescans
from refmaker.verify.sources import Sources
from refmaker.verify.windows import windows

__all__ = ["SAMPLE", "verify"]

BY_RANGE = "by range"
"""Stands for the library where each chunk was compared with its own file."""
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
    hold the values that h5py, netCDF4 or tifffile read, as do data types, fill values and attributes. Dimension names
    that these do not tell are those of a new scan. Files that were combined are scanned again, those that the sample
    touches: the chunks of each must lie where the others do, none may be missing, and each is compared with its
    place in its own file. ``not_compared`` of an array says why none of its values was compared with anything.

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
        skipped=tuple((one.path, one.reason) for one in opened.references.report.skipped),
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
        self.linked = {one.path for one in self.references.report.datasets if one.state is DatasetState.LINKED}
        self._is_one_file = may_be_of_one(self.references)
        self.rescans = Rescans(self.sources, self.unchecked)
        self.arrangement = Arrangement(self.arrays, self.rescans)
        self.results: list[ArrayResult] = []
        self.located = {path: array.manifest.location_ids().tolist() for path, array in self.arrays.items()}
        self.used: list[int] = sorted({one for ids in self.located.values() for one in ids})
        self.complete = False
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
            self._is_one_file = is_of_one(self.references, self.rescans.get(0), prefix, foreign=self._is_foreign)
        if whole is not None and self._is_one_file:
            self._check_groups(whole, prefix)
        if native and not self._is_one_file:
            self._check_arrangement(sample, self._others(sample))
        for part in (part for path, ids in self.located.items() if not ids for part in self.arrangement.parts[path]):
            self.natives.wanted.setdefault(part.source, []).append((part.path, part.array.metadata.shape))
        for path in sorted(self.arrays, key=lambda one: not self.located[one]):  # files are open, and read from, once
            self._check_array(path, self.arrays[path], whole if native else None, prefix, sample, native=native)
        order = {path: number for number, path in enumerate(self.arrays)}
        self.results.sort(key=lambda one: order[one.path])

    # -- what the references were made of ------------------------------------------------------------------------
    @property
    def main(self) -> int | None:
        """The source whose tree the references may have: the first."""
        return 0 if self.references.sources else None

    def _prefix(self, whole: NativeFile | None) -> str:
        if whole is None or not self.arrays or not self._is_one_file:
            return ""
        try:
            groups = whole.groups()
        except NativeError as error:
            self.unchecked.add(Check.NATIVE, "", error.message)
            groups = []
        return file_path(whole, self.arrays, groups)

    # -- references of several files -----------------------------------------------------------------------------
    def _check_arrangement(self, sample: int | None, others: Iterable[int]) -> None:
        """Hold what the references say of the sources that the sample touches, or of all, against these."""
        chosen = set(self.used)
        if sample is not None:
            chosen = {one for path, array in self.arrays.items() for one in self._touched(path, array, sample)}
            if len(chosen) < len(self.used):
                told = (
                    f"{len(self.used) - len(chosen)} of {len(self.used)} files were not scanned again, as no chunk of "
                )
                self.unchecked.add(Check.ARRANGEMENT, "", f"{told}the sample lies in them")
        self.arrangement.find(sorted({*chosen, *others}))
        self.complete = self.rescans.complete(self._listed())
        urls = {number: source.url for number, source in enumerate(self.references.sources)}
        groups: dict[str, dict[tuple[int, str], Mapping[str, Any]]] = {}
        for path in self.arrays:
            self.arrangement.check(path, urls, self.mismatches, self.unchecked, complete=self.complete)
            for part in self._telling(path):
                found = self.rescans.get(part.source)
                group = parent_path(part.path)
                if found is not None and group in found.groups:
                    groups.setdefault(parent_path(path), {})[part.source, group] = found.groups[group]
        for path, every in groups.items():
            node = self.nodes[path]
            attributes_of_several(
                path,
                node.attributes if isinstance(node, VirtualGroup) else {},
                list(every.values()),
                foreign=self._is_foreign,
                complete=self.complete,
                mismatches=self._doubtful(number for number, _ in every),
            )

    def _listed(self) -> list[int]:
        """Return the sources that the references list as scanned, beside those that chunks lie in."""
        table = enumerate(self.references.sources)
        return sorted({*self.used, *(n for n, one in table if one.scanner not in {None, RAW})})

    def _others(self, sample: int | None) -> list[int]:
        """Return sources in which no chunk lies (their values are in the references) and that are as they were."""
        others = []
        for number in [one for one in self._listed() if one not in self.used][:sample]:
            found = Findings()
            self.sources.check(number, found)
            if found.kept:
                self.sources.sizes.pop(number, None)
            else:
                others.append(number)
        return others

    def _telling(self, path: str) -> list[Part]:
        """Return an array's parts whose names and attributes it has: not those of files that its own link to."""
        parts = self.arrangement.parts[path]
        return [part for part in parts if part.linked] if path in self.linked else parts

    def _doubtful(self, numbers: Iterable[int]) -> Findings:
        """Return where names and attributes that differ from these sources' go: options decide those of images."""
        scanned = map(self.rescans.get, numbers)
        return self.unchecked if any(one and one.scanner == IMAGES for one in scanned) else self.mismatches

    def _touched(self, path: str, array: VirtualArray, sample: int) -> set[int]:
        """Return the sources that a sample of an array lies in, and the first that it has."""
        grid = array.manifest.grid_shape
        found = set(self.located[path][:1])
        for window in windows(path, array, sample):
            chunk = array.manifest.lookup(chunk_position(window.first, grid))
            if chunk is not None and chunk.location_id < INLINE:
                found.add(chunk.location_id)
        return found

    def _check_several(self, path: str, array: VirtualArray, reader: ArrayReader) -> str:
        """Hold an array of several sources against these; return why none of its values was compared, or ""."""
        parts = sorted(self._telling(path), key=lambda part: part.source)
        why = ""
        if array.manifest.present and not self.located[path]:
            try:
                values = reader.read(outer((slice(None),) * len(array.metadata.shape), *_shapes(array)))
            except (RefmakerError, MemoryError, OverflowError):
                return "its values do not decode"  # said when its chunks were read
            why = inlined_values(
                path,
                self.arrays,
                values,
                self.arrangement,
                self.natives,
                self.mismatches,
                self.unchecked,
                foreign=self._is_foreign,
            )
        if why != BY_NAME:
            scanned = {part.source for part in parts}
            metadata_of_several(
                path,
                array,
                parts,
                foreign=self._is_foreign,
                complete=scanned >= set(self.located[path]) and self.complete,
                mismatches=self.mismatches,
                doubtful=self._doubtful(part.source for part in parts),
                natives=self.natives,
            )
        return why

    @property
    def _is_foreign(self) -> bool:
        """Whether nobody recorded what the references were scanned from: their dimensions may be named otherwise."""
        return not any(source.scanner for source in self.references.sources)

    def _check_names(self, path: str, array: VirtualArray, native_path: str) -> None:
        """Hold an array's dimension names, which its library does not tell, against those that a scan finds."""
        scanned = self.rescans.get(self.main) if self.main is not None else None
        theirs = scanned.arrays.get(native_path) if scanned is not None else None
        if theirs is None or len(theirs.metadata.shape) != len(array.metadata.shape):
            self.unchecked.add(Check.DIMENSIONS, path, "a scan of its file does not find it, so names are not compared")
            return
        ours, names = array.metadata.dimension_names, theirs.metadata.dimension_names
        if not same_names(ours, names, foreign=self._is_foreign):
            self._doubtful([0]).add(Check.DIMENSIONS, path, f"are {ours}, and {names} in the file")

    # -- groups and arrays ---------------------------------------------------------------------------------------
    def _check_groups(self, whole: NativeFile, prefix: str) -> None:
        for path, node in self.nodes.items():
            if isinstance(node, VirtualGroup):
                try:
                    theirs = whole.group_attributes(joined(prefix, path))
                except NativeError as error:
                    self.unchecked.add(Check.ATTRIBUTES, path, error.message)
                    continue
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
        scanned = self.rescans.get(0) if whole is not None and self._is_one_file else None
        native_path = path_in_file(scanned, prefix, path, array)
        found = self._found(path, array, whole, native_path) if whole is not None else None
        by_range = native and found is None and not self._is_one_file
        check = ArrayCheck(
            path=path,
            array=array,
            reader=reader,
            answering=frozenset(self.sources.sizes),
            natives=self.natives if by_range else None,
            arrangement=self.arrangement,
            native=whole if found is not None else None,
            native_path=native_path,
            mismatches=self.mismatches,
            unchecked=self.unchecked,
        )
        check.run(sample)
        why = self._check_several(path, array, reader) if by_range else ""
        if by_range and not self.located[path] and not why:
            check.compared = check.read
        library = whole.library if whole is not None and check.compared and found is not None else ""
        if not check.compared and check.read:
            wrong = "it does not fit, as is said of it" if self.mismatches.count(path) else ""
            why = why or wrong or self._why_not(array, whole, native_path, native=native)
        self.results.append(
            ArrayResult(
                path=path,
                chunks=len(array.manifest),
                present=array.manifest.present,
                read=check.read,
                compared=check.compared,
                native=library or (BY_RANGE if check.compared else ""),
                mismatches=self.mismatches.count(path),
                not_compared=why if not check.compared else "",
            )
        )

    def _why_not(self, array: VirtualArray, whole: NativeFile | None, native_path: str, *, native: bool) -> str:
        if not native:
            return "no comparison was asked for"
        if whole is not None and self._is_one_file and whole.is_computed(native_path):
            return COMPUTED
        if not array.manifest.present:
            return "it has no chunks"
        return "its files could not be read for it, as is said of them"

    def _found(self, path: str, array: VirtualArray, whole: NativeFile, native_path: str) -> NativeArray | None:
        """Return the array that the file has at a path, if it is comparable; say what its metadata differs in."""
        strict = self._is_one_file
        others = [one for one in self.located[path] if one != self.main]
        if not strict and (others or not self.located[path]):
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
            if found.dimensions is None:
                self._check_names(path, array, native_path)
            if found.attributes is not None:
                self._attributes(path, metadata.attributes, found.attributes, found.more_attributes)
        return found


def _shapes(array: VirtualArray) -> tuple[tuple[int, ...], tuple[int, ...]]:
    return array.metadata.shape, array.metadata.chunk_shape
