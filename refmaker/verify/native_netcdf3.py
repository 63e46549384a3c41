"""Classic files as netCDF4 reads them."""

import warnings
from collections.abc import Mapping
from typing import Any

import netCDF4
import numpy as np
import numpy.typing as npt

from refmaker.model.array import VirtualArray
from refmaker.model.attributes import JSON, attribute_json, text_of
from refmaker.source.location import OpenedFile
from refmaker.verify.native import NativeArray, NativeError

__all__ = ["NetCDF3"]

NETCDF_ERRORS = (OSError, RuntimeError, ValueError, KeyError, IndexError, AttributeError, UnicodeError)
MOST_IN_MEMORY = 1 << 30
"""Bytes of a remote file, which netCDF-C is given as a whole."""


class NetCDF3:
    """A file open in netCDF4."""

    def __init__(self, opened: OpenedFile) -> None:
        self.library = f"netCDF4 {netCDF4.__version__}"
        source = opened.source
        head = source.read(0, min(12, source.size))
        if head[4 : 12 if head[3:4] == b"\5" else 8].strip(b"\xff") == b"":
            raise NativeError("netCDF-C does not know the streaming record count of this file")
        try:
            if opened.path is not None:
                self._file = netCDF4.Dataset(opened.path)
            elif source.size > MOST_IN_MEMORY:
                raise NativeError(f"netCDF-C would need all of its {source.size} bytes in memory")
            else:
                self._file = netCDF4.Dataset("remote.nc", memory=source.read(0, source.size))
        except NETCDF_ERRORS as error:
            raise NativeError(f"netCDF4 cannot open it: {error}") from error
        self._file.set_auto_maskandscale(False)
        self._file.set_auto_chartostring(False)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def find(self, path: str, array: VirtualArray) -> NativeArray | None:  # noqa: ARG002  the protocol's signature
        """Return a variable."""
        variable = self._file.variables.get(path)
        if variable is None:
            return None
        try:
            attributes = _attributes(variable)
            dtype = np.dtype(variable.dtype)
            marked = np.asarray(variable.getncattr("_FillValue")) if "_FillValue" in variable.ncattrs() else None
        except NETCDF_ERRORS as error:
            raise NativeError(f"netCDF4 cannot read it: {error}") from error
        fills: tuple[Any, ...] = ()
        if marked is not None and marked.size == 1:
            one = marked.reshape(-1)[0]
            fills = (one.encode("latin-1") if isinstance(one, str) else one,)
        same = marked is not None and marked.size == 1 and marked.dtype.newbyteorder("=") == dtype.newbyteorder("=")
        return NativeArray(
            shape=variable.shape,
            dtype=dtype,
            dimensions=variable.dimensions,
            attributes=attributes,
            fill_values=fills,
            must_fill=same,
        )

    def read(self, path: str, window: tuple[slice, ...]) -> npt.NDArray[Any]:
        """Return values."""
        variable = self._file.variables[path]
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return np.asarray(variable[window or ...])
        except (*NETCDF_ERRORS, MemoryError) as error:
            raise NativeError(f"netCDF4 cannot read it: {error}") from error

    def groups(self) -> list[str]:
        """No others."""
        return []

    def group_attributes(self, path: str) -> Mapping[str, JSON] | None:
        """Return the file's attributes."""
        return None if path else _attributes(self._file)

    def is_computed(self, path: str) -> bool:  # noqa: ARG002
        """Nothing is."""
        return False


def _attributes(owner: Any) -> dict[str, JSON]:
    """Return attributes; text that is not UTF-8 is Latin-1, and ends at no NUL."""
    found: dict[str, JSON] = {}
    for name in owner.ncattrs():
        value = owner.getncattr(name)
        if isinstance(value, str) and "\ufffd" in value:
            value = owner.getncattr(name, encoding="latin-1")
        found[name] = text_of(value.replace(b"\0", b"")) if isinstance(value, bytes) else attribute_json(value)
    return found
