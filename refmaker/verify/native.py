"""What a native library says that a file holds, in one shape for all of them."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from typing import Any, ParamSpec, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from refmaker.errors import RefmakerError
from refmaker.model.array import VirtualArray
from refmaker.model.attributes import JSON
from refmaker.source.location import OpenedFile

P = ParamSpec("P")
T = TypeVar("T")

__all__ = ["NativeArray", "NativeError", "NativeFile", "native_library", "open_native"]


class NativeError(RefmakerError):
    """A native library does not read something; not raised to callers of refmaker."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NativeArray:
    """An array as its library tells of it.

    Attributes:
        shape: elements along each axis.
        dtype: of its elements, in any byte order; ``object`` for text of variable length.
        dimensions: a name an axis, or None where the library tells none.
        attributes: as JSON; None where references hold computed ones.
        fill_values: what the references' fill value may be, if they have one; None: not told.
        must_fill: whether they must have one.
        more_attributes: names of attributes that references have beside those of the file.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    dimensions: tuple[str, ...] | None = None
    attributes: Mapping[str, JSON] | None = None
    fill_values: tuple[Any, ...] | None = None
    must_fill: bool = False
    more_attributes: frozenset[str] = frozenset()


class NativeFile(Protocol):
    """A file open in its library. Every method raises NativeError where the library does not read something."""

    library: str
    """Name and version."""

    def find(self, path: str, array: VirtualArray) -> NativeArray | None:
        """Return what is at a path, or None; ``array`` is what the references have there."""

    def read(self, path: str, window: tuple[slice, ...]) -> npt.NDArray[Any]:
        """Return a part of an array's values."""

    def groups(self) -> list[str]:
        """Return the groups that references may have as their root, besides the file's own."""

    def group_attributes(self, path: str) -> Mapping[str, JSON] | None:
        """Return a group's attributes, or None where references hold computed ones."""

    def is_computed(self, path: str) -> bool:
        """Whether the file has no such array because refmaker computes it (coordinates of images)."""

    def close(self) -> None:
        """Close it; the source belongs to whoever opened it."""


LIBRARIES = {
    "hdf5": "refmaker.verify.native_hdf5:HDF5",
    "netcdf3": "refmaker.verify.native_netcdf3:NetCDF3",
    "tiff": "refmaker.verify.native_tiff:Tiff",
}
"""Scanner's name -> ``module:class`` that opens such a file natively."""


def native_library(scanner: str) -> bool:
    """Whether there is a native library for files that this scanner reads."""
    return scanner in LIBRARIES


def open_native(opened: OpenedFile, scanner: str) -> NativeFile:
    """Open a file in the native library for its format.

    Raises:
        NativeError: the library does not open it.
    """
    module, _, name = LIBRARIES[scanner].partition(":")
    try:
        return _Guarded(getattr(import_module(module), name)(opened))
    except RefmakerError:
        raise
    except Exception as error:
        raise NativeError(f"its library cannot open it: {type(error).__name__}: {error}") from error


class _Guarded:
    """A file whose library raises nothing but NativeError: broken files make libraries raise anything."""

    def __init__(self, native: NativeFile) -> None:
        self._native = native
        self.library = native.library

    def find(self, path: str, array: VirtualArray) -> NativeArray | None:
        return self._asked(self._native.find, path, array)

    def read(self, path: str, window: tuple[slice, ...]) -> npt.NDArray[Any]:
        return self._asked(self._native.read, path, window)

    def group_attributes(self, path: str) -> Mapping[str, JSON] | None:
        return self._asked(self._native.group_attributes, path)

    def groups(self) -> list[str]:
        return self._asked(self._native.groups)

    def is_computed(self, path: str) -> bool:
        return self._native.is_computed(path)

    def close(self) -> None:
        with suppress(NativeError):
            self._asked(self._native.close)

    def _asked(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return call(*args, **kwargs)
        except NativeError:
            raise
        except Exception as error:
            raise NativeError(f"{self.library} cannot read it: {type(error).__name__}: {error}") from error
