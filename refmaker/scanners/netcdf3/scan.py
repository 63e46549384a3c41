"""A classic file as a ReferenceSet: the header says it all, so a scan is one small read."""

from collections.abc import Iterable

from refmaker.errors import OptionError, UnsupportedError
from refmaker.model.array import ArrayMetadata, VirtualArray
from refmaker.model.attributes import JSON, attribute_json, text_of
from refmaker.model.contiguous import Cut, cut
from refmaker.model.group import VirtualGroup
from refmaker.model.keys import usable_name
from refmaker.model.reference_set import DatasetReport, DatasetState, Note, ReferenceSet, ScanReport
from refmaker.scanners.cf_masking import wrong_mask
from refmaker.scanners.netcdf3.header import Attribute, Header, Variable, read_header
from refmaker.scanners.netcdf3.layout import Extent, check_place, extents
from refmaker.scanners.registry import ScanOptions, source_file
from refmaker.source.base import drive
from refmaker.source.location import OpenedFile
from refmaker.source.traced import Traced

__all__ = ["scan"]

MOST_AXES = 32
"""What numpy before 2.0 takes; netCDF-C itself reads no more than 1,024."""
FILL_VALUE = "_FillValue"


def scan(file: OpenedFile, options: ScanOptions) -> ReferenceSet:
    """Find where the variables of a NetCDF classic file (CDF-1, CDF-2, CDF-5) lie.

    Record variables become one chunk a record (records lie interleaved), cut along inner axes where one is long;
    fixed-size variables and a lone record variable are contiguous and become chunks of about ``options.chunk_bytes``.

    Raises:
        TruncatedFileError: the file ends before its header, or before the data of a variable that is wanted.
        BrokenFileError: the header breaks the specification.
        UnsupportedError: a variable cannot be expressed (only with ``on_unsupported="raise"``).
        OptionError: ``options.group`` names a group: classic files have none.
    """
    if options.group:
        raise OptionError("a NetCDF classic file has no groups", location=file.url, path=options.group)
    source = Traced(file.source)
    header = drive(read_header(source.size, file.url), source)
    notes: list[Note] = []
    arrays: dict[str, VirtualArray] = {}
    states: list[DatasetReport] = []
    for extent in extents(header, source.size, file.url):
        name = extent.variable.name
        if not options.wants(name):
            continue
        check_place(extent, header, source.size, file.url)
        if problem := _problem(extent.variable, file.url):
            if options.on_unsupported == "raise":
                raise problem
            states.append(DatasetReport(name, DatasetState.SKIPPED, problem.code, problem.message))
            continue
        arrays[name] = _array(extent, header, options.chunk_bytes, notes)
        needed = tuple(codec.id for codec in arrays[name].metadata.codecs if not codec.stock)
        states.append(DatasetReport(name, DatasetState.REFERENCED, codecs=needed))
    root = VirtualGroup(arrays, attributes=_attributes_json(header.attributes, "", notes))
    report = ScanReport(
        tuple(states), tuple(notes), requests=source.requests, bytes_read=source.bytes, rounds=source.rounds
    )
    return ReferenceSet(root, (source_file(file, "netcdf3"),), report)


def _problem(variable: Variable, location: str) -> UnsupportedError | None:
    """Return why a variable cannot be a Zarr array, or None."""
    name = variable.name
    if not usable_name(name):
        return UnsupportedError(f"{name!r} cannot name a Zarr array", code="name", location=location, path=name)
    if len(variable.dimension_ids) > MOST_AXES:
        return UnsupportedError(
            f"{len(variable.dimension_ids)} dimensions, more than the {MOST_AXES} that numpy takes",
            code="rank",
            location=location,
            path=name,
        )
    return None


def _array(extent: Extent, header: Header, chunk_bytes: int | None, notes: list[Note]) -> VirtualArray:
    """Return the array of one variable."""
    variable = extent.variable
    pieces = _cut(extent, chunk_bytes)
    metadata = ArrayMetadata(
        shape=extent.shape,
        chunk_shape=pieces.chunk_shape,
        data_type=variable.type.dtype,
        fill_value=_fill_value(variable, notes),
        codecs=pieces.codecs,
        dimension_names=tuple(header.dimensions[n].name for n in variable.dimension_ids),
        attributes=_attributes_json(variable.attributes, variable.name, notes),
    )
    if sentence := wrong_mask(metadata):
        notes.append(Note(variable.name, "fill-value", sentence))
    return VirtualArray(metadata, pieces.manifest(extent.shape, location_id=0, start=variable.begin))


def _cut(extent: Extent, chunk_bytes: int | None) -> Cut:
    """Return how the variable is cut: at will where it is contiguous, else at every record and then at will."""
    itemsize = extent.variable.type.dtype.itemsize
    if extent.contiguous:
        return cut(extent.shape, itemsize, chunk_bytes)
    return cut(extent.shape[1:], itemsize, chunk_bytes).after(extent.stride)


def _fill_value(variable: Variable, notes: list[Note]) -> object:
    """Return the variable's ``_FillValue``, or None where it has none of its own type and of one element.

    All chunks are there, so nothing reads as fill; but readers take it from here for masking. The default fill
    values of netCDF (``NC_FILL_FLOAT``...) are not masked by xarray, so they are none of ours.
    """
    for attribute in variable.attributes:
        if attribute.name == FILL_VALUE:
            if attribute.type == variable.type and attribute.values.size == 1:
                return attribute.data if attribute.type.name == "NC_CHAR" else attribute.values[0]
            sentence = (
                f"{FILL_VALUE} is {attribute.values.size} of {attribute.type.name}, not one {variable.type.name}: "
                "kept as an attribute, not used as fill value"
            )
            notes.append(Note(variable.name, "fill-value", sentence))
            break
    return None


def _attributes_json(attributes: Iterable[Attribute], path: str, notes: list[Note]) -> dict[str, JSON]:
    """Return attributes as netCDF4-python reports them: NULs dropped from text, one number as that number."""
    found: dict[str, JSON] = {}
    for attribute in attributes:
        if attribute.name in found:
            sentence = f"a second attribute {attribute.name!r} is dropped; readers only find the first"
            notes.append(Note(path, "attribute", sentence))
        elif attribute.type.name == "NC_CHAR":
            found[attribute.name] = text_of(attribute.data.replace(b"\0", b""))
        else:
            found[attribute.name] = attribute_json(attribute.values)
    return found
