"""What absent chunks read as, without telling CF readers to mask what the file does not mask.

In Zarr v2 ``fill_value`` is both: what absent chunks hold, and what xarray masks. HDF5 keeps these apart (creation
property, ``_FillValue``), so a fill value is written only where both readings are true.
"""

from typing import Any

import numpy as np

from refmaker.errors import BrokenFileError, UnsupportedError
from refmaker.scanners.hdf5.attributes import ObjectAttributes
from refmaker.scanners.hdf5.hdf5_file import H5PY_ERRORS
from refmaker.scanners.hdf5.storage import Dataset

__all__ = ["choose_fill_value", "native_fill"]


def native_fill(dataset: Dataset) -> Any:
    """Return the fill value that the dataset was made with as a scalar; zero where none is defined.

    Raises:
        UnsupportedError: one is defined that no scalar of the array's type expresses.
    """
    element, header = dataset.element, dataset.header
    value = np.zeros((), element.dtype)
    if not header.has_fill:
        return value[()]
    as_it_lies = element.decode is None and not element.fixups and not element.inner_shape
    if header.fill is not None and len(header.fill) != header.datatype.get_size():
        raise BrokenFileError(f"a fill value of {len(header.fill)} bytes for elements of {header.datatype.get_size()}")
    if header.fill is not None and as_it_lies:
        return np.frombuffer(header.fill, element.dtype, 1)[0]
    try:  # h5py refuses array datatypes, whose fill value is a block
        dataset.node.properties.get_fill_value(value)
    except H5PY_ERRORS as error:
        raise UnsupportedError(
            f"the fill value of chunks never written cannot be read: {error}", code="fill-value"
        ) from error
    return value[()]


def _same(one: Any, other: Any, dtype: np.dtype[Any]) -> bool:
    if dtype.kind in "fc" and one != one and other != other:  # noqa: PLR0124  NaN equals NaN here
        return True
    return bool(np.asarray(one, dtype).tobytes() == np.asarray(other, dtype).tobytes() or one == other)


def _usable_attribute(value: Any, dtype: np.dtype[Any]) -> Any:
    """Return ``_FillValue`` as a scalar if it has the array's type and one element, else None."""
    if not isinstance(value, np.ndarray) or value.size != 1:
        return None
    scalar = value.reshape(-1)[0]
    if dtype.kind == "S":
        text = scalar.encode() if isinstance(scalar, str) else scalar
        return np.bytes_(text) if isinstance(text, bytes) and len(text) <= dtype.itemsize else None
    if value.dtype.newbyteorder("=") != dtype.newbyteorder("="):
        return None
    return scalar


def choose_fill_value(
    dataset: Dataset, attributes: ObjectAttributes, *, chunks_absent: bool
) -> tuple[Any, list[tuple[str, str]]]:
    """Return (fill value or None, notes as (code, sentence)).

    Raises:
        UnsupportedError: absent chunks read one value, ``_FillValue`` masks another, and Zarr v2 can say only one.
    """
    notes: list[tuple[str, str]] = []
    dtype = dataset.element.dtype
    if dtype.kind == "O":
        return None, notes
    native = native_fill(dataset) if chunks_absent else None
    zero = np.zeros((), dtype)[()]
    native_matters = native is not None and not _same(native, zero, dtype)
    marked = None
    if attributes.raw_fill_value is not None:
        marked = _usable_attribute(attributes.raw_fill_value, dtype)
        if marked is None:
            notes.append(("fill-value", f"_FillValue is not one {dtype} value: kept as attribute, not used as fill"))
    if marked is not None:
        if native is None or _same(native, marked, dtype):
            return marked, notes
        if native_matters:
            raise UnsupportedError(
                f"chunks never written read {native} but _FillValue is {marked}; Zarr v2 has one place for both",
                code="fill-value",
            )
        return None, notes
    if native_matters:
        notes.append(("fill-value", f"chunks never written read {native}: CF readers will mask that value everywhere"))
        return native, notes
    if chunks_absent and (dtype.names is not None or dtype.kind in "mM"):
        return zero, notes  # readers take null for zero, but for these: they make b"0" of strings, and NaT
    return None, notes
