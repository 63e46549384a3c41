"""A TIFF as a ReferenceSet: its series as groups, levels as subgroups, coordinates beside them."""

from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace

from refmaker.errors import OptionError, TruncatedFileError, UnsupportedError
from refmaker.model.array import ArrayMetadata, VirtualArray
from refmaker.model.attributes import JSON
from refmaker.model.group import VirtualGroup
from refmaker.model.keys import child_path
from refmaker.model.reference_set import DatasetReport, DatasetState, Note, ReferenceSet, ScanReport
from refmaker.scanners.registry import ScanOptions, source_file
from refmaker.scanners.tiff.companions import Companions, open_companions
from refmaker.scanners.tiff.coordinates import Coordinates, coordinates_of
from refmaker.scanners.tiff.georeference import Georeference, georeference_of
from refmaker.scanners.tiff.metadata import group_attributes, image_attributes, nodata_of
from refmaker.scanners.tiff.multiscales import multiscales
from refmaker.scanners.tiff.placement import Placement, place
from refmaker.scanners.tiff.series import Level, Series, read_series
from refmaker.scanners.tiff.stacks import check_alike, note_differences
from refmaker.scanners.tiff.tiff_file import TiffFile, listening
from refmaker.scanners.tiff.tree import group_names, level_name, variable_name
from refmaker.source.location import OpenedFile

__all__ = ["scan"]

ELSEWHERE = -1
"""The length of no dimension."""


def scan(file: OpenedFile, options: ScanOptions) -> ReferenceSet:
    """Find where the strips and tiles of a TIFF lie.

    Raises:
        TruncatedFileError: the file ends before its directories, or before the data of an image that is wanted.
        BrokenFileError: its structures loop, overlap or make no sense.
        UnsupportedError: an image cannot be expressed (only with ``on_unsupported="raise"``).
        OptionError: ``options`` name a group, series or level that is not there.
    """
    with TiffFile(file) as main, closing(open_companions(main)) as files:
        work = _Scan(files, options)
        with listening(main.complaints):
            root = work.root()
        for complaint in dict.fromkeys(main.complaints):
            work.notes.append(Note("", "tifffile", complaint))
        for name in filter(None, options.group.split("/")):
            if name not in root.groups:
                raise OptionError(f"there is no group {options.group!r}", location=file.url)
            root = root.groups[name]
        sources = tuple(source_file(one.opened, "tiff") for one in files.files.values())
        counts = main.source
        report = ScanReport(
            tuple(work.states),
            tuple(work.notes),
            requests=counts.requests,
            bytes_read=counts.bytes,
            rounds=counts.rounds,
        )
    return ReferenceSet(root, sources, report)


class _Scan:
    """One run: the files, the options, and what is to be reported."""

    def __init__(self, files: Companions, options: ScanOptions) -> None:
        self.files = files
        self.options = options
        self.states: list[DatasetReport] = []
        self.notes: list[Note] = []
        self.georeferences: dict[str, Georeference | None] = {}

    def root(self) -> VirtualGroup:
        """Return the tree of all series that are wanted."""
        every = read_series(self.files.main)
        series = self._wanted(every)
        named = dict(zip(group_names(series), series, strict=True))
        if self.options.geo == "auto":
            whole = {one.title: one for one in every}
            for name, one in named.items():
                self.georeferences[one.title] = georeference_of(whole[one.title], every, self.notes, name)
        groups = {name: self._series(one, name, self._around(one, named.get(""))) for name, one in named.items()}
        top = groups.pop("", VirtualGroup())
        return VirtualGroup(top.arrays, {**top.groups, **groups}, top.attributes)

    def _wanted(self, series: tuple[Series, ...]) -> list[Series]:
        """Return the series that the options ask for, each with the levels they ask for."""
        listed = [one for one in series if one.title.startswith("series ")]
        for number in self.options.series:
            if not 0 <= number < len(listed):
                raise OptionError(f"there is no series {number}, only {len(listed)}", location=self._url)
        chosen = [listed[number] for number in self.options.series] if self.options.series else list(series)
        if not self.options.levels:
            return chosen
        found = []
        for one in chosen:
            levels = tuple(one.levels[number] for number in self.options.levels if 0 <= number < len(one.levels))
            if levels:
                found.append(replace(one, levels=levels))
        if not found:
            raise OptionError(f"no series has a level of {self.options.levels}", location=self._url)
        return found

    @property
    def _url(self) -> str:
        return self.files.main.opened.url

    def _around(self, series: Series, top: Series | None) -> dict[str, int]:
        """Return the lengths of the dimensions that a series' group inherits from the image in the root.

        A group inherits the root's map coordinates too, so where it lies elsewhere no length is the same.
        """
        if top is None or series is top:
            return {}
        lengths = self._lengths(top)
        if self.georeferences.get(series.title) == self.georeferences.get(top.title):
            return lengths
        return {name: ELSEWHERE if name in {"x", "y"} else length for name, length in lengths.items()}

    def _lengths(self, series: Series) -> dict[str, int]:
        """Return the lengths of the dimensions of a series' first level."""
        first = series.levels[0]
        names = self._coordinates(series, [], "").dimensions(first, {}, "")
        return dict(zip(names, first.shape, strict=True))

    def _coordinates(self, series: Series, notes: list[Note], group: str) -> Coordinates:
        return coordinates_of(series, self.georeferences.get(series.title), notes, group)

    def _series(self, series: Series, group: str, outer: Mapping[str, int]) -> VirtualGroup:
        """Return the group of one series, inside groups whose dimensions have the lengths ``outer``."""
        name = variable_name(series)
        placed: list[tuple[str, Level, Placement]] = []
        for level in series.levels:
            inside = "" if level is series.levels[0] else level_name(level.number)
            path = child_path(_joined(group, inside), name)
            if self.options.wants(path) and (placement := self._placed(series, level, path)):
                placed.append((inside, level, placement))
        attributes = dict(group_attributes(series, self.notes, group))
        coordinates = self._coordinates(series, self.notes, group)
        groups: dict[str, VirtualGroup] = {}
        arrays: dict[str, VirtualArray] = {}
        first = coordinates.dimensions(series.levels[0], outer, group)
        for inside, level, placement in placed:
            names = first
            if inside:
                around = {**outer, **dict(zip(first, series.levels[0].shape, strict=True))}
                names = coordinates.dimensions(level, around, str(level.number))
            if len(self.files.files) == 1:
                note_differences(level, self.files.main, self.notes, child_path(_joined(group, inside), name))
            metadata = self._metadata(series, level, placement, coordinates, names, _joined(group, inside))
            image = {name: VirtualArray(metadata, placement.manifest)}
            members = {**image, **dict(coordinates.arrays(level, names))}
            if inside:
                groups[inside] = VirtualGroup(members)
            else:
                arrays = members
        if len(placed) > 1:
            listed = [(_joined(inside, name), level) for inside, level, _ in placed]
            plain = coordinates.dimensions(placed[0][1], {}, "")
            title = series.name or name
            attributes["multiscales"] = multiscales(title, listed, plain, coordinates.units, coordinates.sizes)
        return VirtualGroup(arrays, groups, attributes)

    def _placed(self, series: Series, level: Level, path: str) -> Placement | None:
        """Return where a level's chunks are, or None, reported, where they cannot be expressed."""
        what = f"{series.title}, level {level.number}" if level.number else series.title
        try:
            self._check(series, level)
            placement = place(level, self.files, self.options.chunk_bytes)
        except UnsupportedError as error:
            if self.options.on_unsupported == "raise":
                raise UnsupportedError(
                    f"{what}: {error.message}", code=error.code, location=self._url, path=path
                ) from error
            self.states.append(DatasetReport(path, DatasetState.SKIPPED, error.code, f"{what}: {error.message}"))
            return None
        except TruncatedFileError as error:
            raise TruncatedFileError(
                f"{what}: {error.message}", location=error.location, path=path, offset=error.offset
            ) from error
        for complaint in placement.complaints:
            self.notes.append(Note(path, "sparse", complaint))
        linked = bool((placement.manifest.location_ids() > 0).any())
        state = DatasetState.LINKED if linked else DatasetState.REFERENCED
        needed = tuple(codec.id for codec in placement.codecs if not codec.stock)
        self.states.append(DatasetReport(path, state, codecs=needed))
        return placement

    def _check(self, series: Series, level: Level) -> None:
        if series.is_transformed:
            raise UnsupportedError("its values are computed from what is stored (MD GEL)", code="transform")
        if self.files.missing and None in level.pages:
            missing = ", ".join(sorted(self.files.missing)[:3])
            raise UnsupportedError(
                f"{len(self.files.missing)} files that belong to it are not there or not local: {missing}",
                code="companion",
            )
        check_alike(level, self.files)

    def _metadata(
        self,
        series: Series,
        level: Level,
        placement: Placement,
        coordinates: Coordinates,
        names: tuple[str, ...],
        path: str,
    ) -> ArrayMetadata:
        """Return the metadata of the image of one level; ``path`` is its group's."""
        kind = placement.data_type
        attributes: dict[str, JSON] = dict(image_attributes(series, level, self.notes, path))
        attributes.update(coordinates.attributes)
        fill_value = nodata_of(series, kind, self.notes, path)
        if fill_value is not None and kind.kind not in "bc":
            attributes["_FillValue"] = fill_value.item()
        return ArrayMetadata(
            shape=level.shape,
            chunk_shape=placement.chunk_shape,
            data_type=kind,
            fill_value=fill_value,
            codecs=placement.codecs,
            dimension_names=names,
            attributes=attributes,
        )


def _joined(group: str, inside: str) -> str:
    """Return the path of a group inside another; ``""`` is the group itself."""
    return child_path(group, inside) if inside else group
