"""What references say, read without any of the code that will serve them; and what the native library says."""

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np

from refmaker.errors import RefmakerError
from refmaker.model.array import VirtualArray
from refmaker.model.reference_set import ReferenceSet
from refmaker.scanners.netcdf3 import scan
from refmaker.scanners.registry import ScanOptions
from refmaker.source.base import MemorySource
from refmaker.source.location import OpenedFile, open_file

Array = np.ndarray[Any, Any]


def scanned(data: bytes, **options: Any) -> ReferenceSet:
    return scan(OpenedFile("memory://it.nc", MemorySource(data, "memory://it.nc")), ScanOptions(**options))


def scanned_file(path: Path, **options: Any) -> ReferenceSet:
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


def values_of(array: VirtualArray, data: bytes) -> Array:
    """Return the array's values by cutting chunks out of the file's bytes, as a Zarr reader would."""
    metadata, manifest = array.metadata, array.manifest
    full = np.zeros([g * c for g, c in zip(metadata.grid_shape, metadata.chunk_shape, strict=True)], metadata.data_type)
    pads = [codec.configuration["nbytes"] for codec in metadata.codecs]
    whole = math.prod(metadata.chunk_shape) * metadata.data_type.itemsize
    assert pads in ([], [whole])
    seen = 0
    for block in manifest.blocks():
        for position, offset, length in zip(
            block.position.tolist(), block.offset.tolist(), block.length.tolist(), strict=True
        ):
            piece = data[offset : offset + length]
            assert len(piece) == length, "a chunk reaches past the end of the file"
            assert length == whole or pads, "a short chunk without a pad codec"
            chunk = np.frombuffer(piece.ljust(whole, b"\0"), metadata.data_type).reshape(metadata.chunk_shape)
            index = np.unravel_index(position, manifest.grid_shape) if manifest.grid_shape else ()
            full[tuple(slice(i * c, i * c + c) for i, c in zip(index, metadata.chunk_shape, strict=True))] = chunk
            seen += 1
    assert seen == len(manifest), "a chunk is absent"
    return full[tuple(slice(n) for n in metadata.shape)]


def native_attributes(owner: Any) -> dict[str, Any]:
    """Return netCDF4-python's attributes as plain values; text that is not UTF-8 is Latin-1."""
    found = {name: owner.getncattr(name) for name in owner.ncattrs()}
    for name, value in found.items():
        if isinstance(value, str) and "\ufffd" in value:
            found[name] = owner.getncattr(name, encoding="latin-1")
    plain = {}
    for name, value in found.items():
        if isinstance(value, np.ndarray):
            plain[name] = value.tolist()
        elif isinstance(value, bytes):  # only a _FillValue of NC_CHAR is
            plain[name] = value.decode("latin-1").rstrip("\0")
        else:
            plain[name] = value.item() if isinstance(value, np.generic) else value
    return plain


def assert_same_attributes(ours: Any, theirs: dict[str, Any]) -> None:
    assert list(ours) == list(theirs)
    for name, value in theirs.items():
        assert type(ours[name]) is type(value), name
        np.testing.assert_array_equal(ours[name], value, err_msg=name)


def assert_reads_as_netcdf4_does(path: Path, **options: Any) -> ReferenceSet:
    """Compare every variable and attribute of a file: shape, type, dimensions, values, attributes."""
    result = scanned_file(path, **options)
    data = path.read_bytes()
    with netCDF4.Dataset(path) as native:
        native.set_auto_maskandscale(False)
        native.set_auto_chartostring(False)
        assert_same_attributes(result.root.attributes, native_attributes(native))
        assert list(result.root.arrays) == list(native.variables)
        assert [d.path for d in result.report.datasets] == list(native.variables)
        assert {str(d.state) for d in result.report.datasets} <= {"referenced"}
        for name, variable in native.variables.items():
            array = result.root.arrays[name]
            assert array.metadata.shape == variable.shape, name
            assert array.metadata.dimension_names == variable.dimensions, name
            assert array.metadata.data_type == variable.dtype.newbyteorder(">"), name
            assert_same_attributes(array.metadata.attributes, native_attributes(variable))
            ours, theirs = values_of(array, data), np.asarray(variable[...])
            assert ours.shape == theirs.shape, name
            assert ours.astype(theirs.dtype).tobytes() == theirs.tobytes(), name
    return result
