"""What references say, read without any of the code that will serve them; and what tifffile says."""

import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from refmaker.codecs import get_codec
from refmaker.errors import RefmakerError
from refmaker.model.array import VirtualArray
from refmaker.model.group import VirtualGroup, walk_arrays
from refmaker.model.reference_set import ReferenceSet
from refmaker.scanners.registry import ScanOptions
from refmaker.scanners.tiff import scan
from refmaker.source.location import local_path, open_file

Array = np.ndarray[Any, Any]


def scanned(path: Path, **options: Any) -> ReferenceSet:
    file = open_file(os.fspath(path))
    try:
        return scan(file, ScanOptions(**options))
    finally:
        file.source.close()


def outcome(scan_it: Callable[[], ReferenceSet]) -> ReferenceSet | RefmakerError:
    """Return what the scan returns, or the one error it may raise."""
    try:
        return scan_it()
    except RefmakerError as error:
        return error


def array_at(result: ReferenceSet, path: str) -> VirtualArray:
    return dict(walk_arrays(result.root))[path]


def group_at(result: ReferenceSet, path: str) -> VirtualGroup:
    group = result.root
    for name in filter(None, path.split("/")):
        group = group.groups[name]
    return group


def values_of(array: VirtualArray, result: ReferenceSet) -> Array:
    """Return an array's values by cutting chunks out of the files and decoding them, as a Zarr reader would."""
    metadata, manifest = array.metadata, array.manifest
    codecs = [get_codec({"id": codec.id, **codec.configuration}) for codec in metadata.codecs]
    files = [Path(local_path(source.url) or "").read_bytes() for source in result.sources]
    fill = 0 if metadata.fill_value is None else metadata.fill_value
    whole = [g * c for g, c in zip(metadata.grid_shape, metadata.chunk_shape, strict=True)]
    full = np.full(whole, fill, metadata.data_type)
    for position in range(len(manifest)):
        chunk = manifest.lookup(position)
        if chunk is None:
            continue
        data: Any = chunk.data
        if data is None:
            data = files[chunk.location_id][chunk.offset : chunk.offset + chunk.length]
            assert len(data) == chunk.length, "a chunk reaches past the end of the file"
        for codec in reversed(codecs):
            data = codec.decode(data)
        values = np.frombuffer(data, metadata.data_type).reshape(metadata.chunk_shape)
        index = np.unravel_index(position, manifest.grid_shape) if manifest.grid_shape else ()
        full[tuple(slice(i * c, i * c + c) for i, c in zip(index, metadata.chunk_shape, strict=True))] = values
    return full[tuple(slice(n) for n in metadata.shape)]


def native_levels(path: Path) -> Iterator[tuple[str, Array]]:
    """Yield (axes, values) of every level of every series, as tifffile reads them."""
    with tifffile.TiffFile(path) as file:
        for series in file.series:
            for level in series.levels:
                yield level.axes, np.asarray(level.asarray())


def assert_same(got: Array, want: Array, what: str = "") -> None:
    """Shape, type and values are the same; byte order, being how values are stored, may differ."""
    assert got.shape == want.shape, what
    assert got.dtype.newbyteorder("=") == want.dtype.newbyteorder("="), what
    np.testing.assert_array_equal(got, want, err_msg=what)


def assert_reads_as_tifffile_does(path: Path, **options: Any) -> ReferenceSet:
    """Compare every level of every series of a file: state, axes, type, values."""
    result = scanned(path, **options)
    levels = list(native_levels(path))
    states = result.report.datasets
    assert len(states) == len(levels)
    for state, (axes, want) in zip(states, levels, strict=True):
        assert state.state != "skipped", state
        array = array_at(result, state.path)
        names = [name.partition("_")[0].replace("band", "s") for name in array.metadata.dimension_names]
        assert "".join(names).upper() == axes, state.path
        assert math.prod(array.manifest.grid_shape) == len(array.manifest)
        assert_same(values_of(array, result), want, state.path)
    return result
