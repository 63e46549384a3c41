"""An HDF5 or NetCDF-4 file as a ReferenceSet: walk the links, name the dimensions, express each dataset."""

from contextlib import suppress
from dataclasses import replace

import numpy as np

from refmaker.errors import BrokenFileError, OptionError, RefmakerError, SourceError, UnsupportedError
from refmaker.model.array import ArrayMetadata, Codec, VirtualArray, grid_of
from refmaker.model.attributes import JSON
from refmaker.model.chunks import ChunkManifest
from refmaker.model.group import VirtualGroup, walk_arrays
from refmaker.model.keys import child_path, usable_name
from refmaker.model.reference_set import DatasetReport, DatasetState, Note, ReferenceSet, ScanReport
from refmaker.scanners.cf_masking import wrong_mask
from refmaker.scanners.hdf5.attributes import ObjectAttributes
from refmaker.scanners.hdf5.decoded import decoded_chunk, native_values, raw_bytes
from refmaker.scanners.hdf5.dimensions import Dimensions, Extent, is_dimension_only, netcdf_name
from refmaker.scanners.hdf5.element_types import element_type
from refmaker.scanners.hdf5.file_table import AbsentFileError, FileTable
from refmaker.scanners.hdf5.fill_values import choose_fill_value, native_fill
from refmaker.scanners.hdf5.hdf5_file import H5PY_ERRORS
from refmaker.scanners.hdf5.links import Tree, failure_code, walk_links
from refmaker.scanners.hdf5.nodes import DatasetNode, GroupNode
from refmaker.scanners.hdf5.storage import Dataset, Stored, notes_of_library_read, stored, whole
from refmaker.scanners.registry import ScanOptions
from refmaker.source.collector import collector_paused
from refmaker.source.location import OpenedFile

__all__ = ["scan"]

MEND_BY_INLINING_BELOW = 64 << 10
"""Bytes below which values that would need one of our codecs are stored decoded: every reader reads those."""
INLINE_FILL_BELOW = 64 << 10
"""Bytes below which an array that was never written is stored as its fill value."""
WAY_OUT = "on_unsupported='skip' leaves it out"
MOST_REPEATED = 100_000
"""Nodes by which further links to groups met before may multiply a file; a hostile one could grow without end."""


def scan(opened: OpenedFile, options: ScanOptions) -> ReferenceSet:
    """Return the references of one HDF5 or NetCDF-4 file.

    Raises:
        BrokenFileError: HDF5 cannot open it.
        UnsupportedError: a dataset cannot be expressed (unless ``options.on_unsupported`` is ``"skip"``).
    """
    with collector_paused():
        files = FileTable(opened, options.storage_options)
        try:
            return _Scan(files, options).run()
        finally:
            files.close()


class _Scan:
    """The state of one scan: what is known of dimensions, and what is reported of each object."""

    def __init__(self, files: FileTable, options: ScanOptions) -> None:
        self.files = files
        self.options = options
        self.skipped: list[DatasetReport] = []
        self.states: dict[int, DatasetReport] = {}
        self.notes: list[Note] = []
        self.dimensions: dict[int, Dimensions] = {}
        self.attributes: dict[tuple[int, int], ObjectAttributes] = {}
        self.arrays: dict[tuple[int, int], VirtualArray] = {}
        self.repeated = 0

    def run(self) -> ReferenceSet:
        tree = walk_links(self.files, self.note, self.left_out)
        for node in tree.datasets:
            self.read_attributes(node)
        start = self.start(tree)
        root = self.group(start)
        shown = [
            report if (report := self.states[id(array)]).path == path else replace(report, path=path)
            for path, array in walk_arrays(root)
        ]
        reports = sorted((*self.skipped, *shown), key=lambda report: report.path)
        return ReferenceSet(root, tuple(self.files.sources), ScanReport(tuple(reports), tuple(self.notes)))

    def start(self, tree: Tree) -> GroupNode:
        """Return the group that becomes the root.

        Raises:
            OptionError: the file has no such group.
        """
        node = tree.root
        for name in filter(None, self.options.group.split("/")):
            if name not in node.groups:
                raise OptionError(f"there is no group {self.options.group!r}", location=self.files.main.opened.url)
            node = node.groups[name]
        return node

    # -- reporting -----------------------------------------------------------------------------------------------
    def note(self, path: str, code: str, sentence: str) -> None:
        self.notes.append(Note(path, code, sentence))

    def left_out(self, path: str, code: str, reason: str) -> None:
        """Record that an object is skipped, or raise, as the options say."""
        if self.options.on_unsupported == "raise":
            message, location = f"{reason}; {WAY_OUT}", self.files.main.opened.url
            if code == "broken":
                raise BrokenFileError(message, location=location, path=path)
            if code == "source":
                raise SourceError(message, location=location, path=path)
            raise UnsupportedError(message, code=code, location=location, path=path)
        self.skipped.append(DatasetReport(path, DatasetState.SKIPPED, code, reason))

    # -- attributes ----------------------------------------------------------------------------------------------
    def read_attributes(self, node: DatasetNode) -> None:
        """Read a dataset's attributes, and tell its file's dimensions of it."""
        key = node.file.location_id, node.address
        found = self.attributes[key] = node.attributes()
        if found.hidden:
            with suppress(RefmakerError, *H5PY_ERRORS):  # told when it is expressed
                self.dimensions_of(node).add(extent_of(node, node.header.shape or (), node.header.maxshape), found)

    def dimensions_of(self, node: DatasetNode) -> Dimensions:
        number = node.file.location_id
        if number not in self.dimensions:
            self.dimensions[number] = Dimensions(node.file.id)
        return self.dimensions[number]

    def shown(self, path: str, found: ObjectAttributes, more: dict[str, JSON]) -> dict[str, JSON]:
        """Return an object's attributes for the references; report those that were dropped."""
        for name, reason in found.dropped:
            self.note(path or "/", "attribute", f"attribute {name!r} dropped: {reason}")
        if "_ARRAY_DIMENSIONS" in found.shown:
            self.note(path or "/", "attribute", "attribute '_ARRAY_DIMENSIONS' dropped: Zarr keeps dimensions there")
        return {name: value for name, value in {**more, **found.shown}.items() if name != "_ARRAY_DIMENSIONS"}

    # -- the tree ------------------------------------------------------------------------------------------------
    def group(self, start: GroupNode) -> VirtualGroup:
        """Return a group with all that lies under it, built from the leaves up without recursion."""
        built: dict[int, tuple[VirtualGroup, int]] = {}
        pending = [("", start)]
        while pending:
            path, node = pending[-1]
            waiting = [(child_path(path, name), m) for name, m in node.groups.items() if id(m) not in built]
            if waiting:
                pending.extend(reversed(waiting))
                continue
            pending.pop()
            if id(node) not in built:
                built[id(node)] = self.finished(node, path, built)
        return built[id(start)][0]

    def finished(
        self, node: GroupNode, path: str, built: dict[int, tuple[VirtualGroup, int]]
    ) -> tuple[VirtualGroup, int]:
        """Return (group, nodes under it) once its subgroups are built."""
        groups, nodes = {}, 1
        for name, member in node.groups.items():
            group, count = built[id(member)]
            if not usable_name(name):
                self.left_out(child_path(path, name), "name", f"{name!r} cannot name a Zarr group")
                continue
            if member.path != child_path(node.path, name):
                if self.repeated + count > MOST_REPEATED:
                    sentence = (
                        f"another link to {member.path}, which is shown there only: repeated, the file is too large"
                    )
                    self.note(child_path(path, name), "hard-link", sentence)
                    continue
                self.repeated += count
            groups[name] = group
            nodes += count
        arrays: dict[str, VirtualArray] = {}
        for name, dataset in node.datasets.items():
            shown_as = self.array_name(name, node)
            array = self.array(child_path(path, name), dataset)
            if array is None:
                continue
            if not usable_name(shown_as):
                self.left_out(child_path(path, name), "name", f"{shown_as!r} cannot name a Zarr array")
                continue
            arrays[shown_as] = array
        arrays = self.with_one_length_each(path, arrays)
        found = node.attributes(is_file_root=not node.path)
        return VirtualGroup(arrays, groups, self.shown(path, found, {})), nodes + len(arrays)

    def with_one_length_each(self, path: str, arrays: dict[str, VirtualArray]) -> dict[str, VirtualArray]:
        """Return a group's arrays with one length for each dimension name, as readers demand of a group.

        Links bring arrays of other groups and files together, whose dimensions may share a name and nothing else.
        """
        lengths = {name: -1 for name, array in arrays.items() if not array.metadata.shape}  # a scalar names no axis
        checked = {}
        for name, array in arrays.items():
            metadata, names = array.metadata, []
            for axis, (dimension, n) in enumerate(zip(metadata.dimension_names, metadata.shape, strict=True)):
                apart = dimension
                while lengths.setdefault(apart, n) != n:
                    apart = f"{apart}_{n}"
                if apart != dimension:
                    sentence = f"axis {axis} is named {apart}: {dimension} is something else in this group"
                    self.note(child_path(path, name), "dimension", sentence)
                names.append(apart)
            if tuple(names) != metadata.dimension_names:
                renamed = VirtualArray(replace(metadata, dimension_names=tuple(names)), array.manifest)
                self.states[id(renamed)] = self.states[id(array)]
                array = renamed  # noqa: PLW2901  the same array, spelled for this group
            checked[name] = array
        return checked

    def array_name(self, name: str, group: GroupNode) -> str:
        """Return a dataset's netCDF name, where that is not taken by something that is shown."""
        better = netcdf_name(name)
        if better == name:
            return name
        rival = group.datasets.get(better)
        taken = better in group.groups or (rival is not None and not self.dimension_only(rival))
        if taken:
            return name
        self.note(child_path(group.path, name), "name", f"{name} is shown as {better}, its netCDF name")
        return better

    def dimension_only(self, node: DatasetNode) -> bool:
        found = self.attributes[node.file.location_id, node.address]
        return found.is_scale and is_dimension_only(found.hidden)

    def array(self, path: str, node: DatasetNode) -> VirtualArray | None:
        """Return the array at ``path``, or None if there is none to show; report what became of it."""
        if self.dimension_only(node) or not self.options.wants(path):
            return None
        key = node.file.location_id, node.address
        if key in self.arrays:
            return self.arrays[key]
        try:
            array, report = self.express(path, node)
        except (RefmakerError, *H5PY_ERRORS) as error:
            code = "missing-file" if isinstance(error, AbsentFileError) else failure_code(error)
            reason = error.message if isinstance(error, RefmakerError) else f"HDF5 cannot read it: {error}"
            self.left_out(path, code, reason)
            return None
        self.arrays[key] = array
        self.states[id(array)] = report
        return array

    # -- one dataset ---------------------------------------------------------------------------------------------
    def express(self, path: str, node: DatasetNode) -> tuple[VirtualArray, DatasetReport]:
        """Return a dataset as an array, and its report.

        Raises:
            UnsupportedError, BrokenFileError: it cannot be expressed.
        """
        header = node.header
        if header.shape is None:
            raise UnsupportedError("a null dataspace holds no value and has no shape", code="null-dataspace")
        element = element_type(header.datatype)
        found = self.attributes[node.file.location_id, node.address]
        dataset = Dataset(
            files=self.files,
            node=node,
            path=path,
            element=element,
            chunk_bytes=self.options.chunk_bytes,
        )
        extent = extent_of(node, dataset.shape, dataset.maxshape + element.inner_shape)
        names, dimension_notes = self.dimensions_of(node).names(extent, found)
        place, fixups = _decoded(dataset) if element.decode else _mended(dataset, _filled(dataset, stored(dataset)))
        fill_value, fill_notes = choose_fill_value(
            dataset, found, chunks_absent=place.manifest.present < len(place.manifest)
        )
        lost = [("region", element.lost)] if element.lost else []
        for code, sentence in (*dimension_notes, *place.notes, *fill_notes, *lost):
            self.note(path, code, sentence)
        metadata = ArrayMetadata(
            shape=dataset.shape,
            chunk_shape=place.chunk_shape,
            data_type=element.dtype,
            fill_value=fill_value,
            codecs=(*fixups, *place.codecs),
            dimension_names=names,
            attributes=self.shown(path, found, dict(element.attributes)),
        )
        if told := wrong_mask(metadata):
            self.note(path, "fill-value", told)
        state = place.state
        if state is DatasetState.REFERENCED and node.file is not self.files.main:
            state = DatasetState.LINKED
        special = tuple(sorted({codec.id for codec in metadata.codecs if not codec.stock}))
        return VirtualArray(metadata, place.manifest), DatasetReport(path, state, codecs=special)


def extent_of(node: DatasetNode, shape: tuple[int, ...], maxshape: tuple[int | None, ...]) -> Extent:
    """Return a dataset as far as dimensions go."""
    return Extent(node.address, node.name, node.group, shape, maxshape)


def _decoded(dataset: Dataset) -> tuple[Stored, tuple[Codec, ...]]:
    """Return a dataset read through h5py, in one inlined chunk.

    Raises:
        UnsupportedError, BrokenFileError, SourceError: libhdf5 would not read it, or fill where there are data.
    """
    notes = notes_of_library_read(dataset)
    chunk_shape = whole(dataset.shape)
    grid = grid_of(dataset.shape, chunk_shape)
    if 0 in grid:
        codec: Codec | None = Codec("vlen-utf8") if dataset.element.dtype.kind == "O" else None
        manifest = ChunkManifest.empty(grid)
    else:
        chunk, codec = decoded_chunk(dataset.node, dataset.element)
        manifest = ChunkManifest.inlined(grid, [chunk])
    return Stored(chunk_shape, manifest, (codec,) if codec else (), DatasetState.INLINED, notes), ()


def _filled(dataset: Dataset, place: Stored) -> Stored:
    """Return the storage with the fill value inlined where nothing was ever written and the array is small.

    Zarr v2's fill value would say the same to Zarr and more to xarray, which masks it.
    """
    if place.manifest.present or not 0 < dataset.stored_nbytes <= INLINE_FILL_BELOW or dataset.element.fixups:
        return place
    fill = native_fill(dataset)
    block = np.full(dataset.shape, fill, dataset.element.dtype).tobytes()
    if not any(block):
        return place
    chunk_shape = whole(dataset.shape)
    manifest = ChunkManifest.inlined(grid_of(dataset.shape, chunk_shape), [block])
    return Stored(chunk_shape, manifest, state=DatasetState.INLINED, notes=place.notes)


def _mended(dataset: Dataset, place: Stored) -> tuple[Stored, tuple[Codec, ...]]:
    """Return a dataset's storage and the codecs its elements need, none where its bytes turn out to be values.

    Small ones are read to see; those that need mending are inlined as values, so that no reader needs our codecs.
    """
    element = dataset.element
    if not element.fixups or not place.manifest.present:
        return place, ()
    if dataset.stored_nbytes > MEND_BY_INLINING_BELOW or (place.state is DatasetState.LINKED and dataset.is_remote):
        return place, element.fixups
    values = native_values(dataset.node.id, element).tobytes()
    if values == raw_bytes(dataset.node.id, dataset.stored_nbytes):
        return place, ()
    chunk_shape = whole(dataset.shape)
    manifest = ChunkManifest.inlined(grid_of(dataset.shape, chunk_shape), [values])
    return Stored(chunk_shape, manifest, state=DatasetState.INLINED, notes=place.notes), ()
