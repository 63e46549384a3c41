"""HDF5 and NetCDF-4 as h5py reads them.

h5py, not netCDF4, is asked for NetCDF-4 too: netCDF-C lengthens variables that lag behind an unlimited dimension with
fill values, and references hold what is stored.
"""

import importlib.util
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from refmaker.errors import UnsupportedError
from refmaker.model.array import VirtualArray
from refmaker.model.attributes import JSON, attribute_json, text_of
from refmaker.model.keys import child_path, parent_path
from refmaker.scanners.hdf5 import attributes
from refmaker.source.blocks import BlockFile
from refmaker.source.collector import collector_paused
from refmaker.source.location import OpenedFile
from refmaker.verify.native import NativeArray, NativeError

__all__ = ["HDF5"]

H5PY_ERRORS = (*attributes.H5PY_ERRORS, NotImplementedError)
"""What a scan meets, and what h5py raises for datatypes that numpy has none for, which a scan never asks it for."""
NON_COORDINATE = "_nc4_non_coord_"
MOST_GROUPS = 200
"""Groups that are tried as the references' root."""
DIMENSION_ONLY = b"This is a netCDF dimension but not a netCDF variable"
ADDED = frozenset({"flag_values", "flag_meanings", "hdf5_opaque_tag", "_Encoding"})
"""Attributes that say what the datatype said: names of an enumeration's values, tag, character set."""


class HDF5:
    """A file open in h5py."""

    def __init__(self, opened: OpenedFile) -> None:
        if importlib.util.find_spec("hdf5plugin"):
            importlib.import_module("hdf5plugin")  # registers filters with HDF5
        self.library = f"h5py {h5py.__version__}"
        self._is_local = opened.path is not None
        with ExitStack() as stack:
            if opened.path is None:  # else HDF5 waits for no other thread, and h5py's garbage slows every close
                stack.enter_context(collector_paused())
            try:
                self._file = self._opened(opened)
            except H5PY_ERRORS as error:
                raise NativeError(f"h5py cannot open it: {error}") from error
            self._closing = stack.pop_all()

    @staticmethod
    def _opened(opened: OpenedFile) -> h5py.File:
        if opened.path is None:
            return h5py.File(BlockFile(opened.source), "r")
        try:
            return h5py.File(opened.path, "r", locking=False)
        except OSError as error:
            if "file locking flag" not in str(error):
                raise
            return h5py.File(opened.path, "r")  # open in this process already, with locks

    def close(self) -> None:
        """Close the file."""
        with self._closing:
            self._file.close()

    def groups(self) -> list[str]:
        """Return the paths of the groups at the top, and of the groups in those."""
        found: list[str] = []
        for name in self._file:
            with suppress(*H5PY_ERRORS):
                if isinstance(self._file.get(name), h5py.Group):
                    found += [name, *(f"{name}/{inner}" for inner in self._file[name])]
        return found[:MOST_GROUPS]

    # -- finding -------------------------------------------------------------------------------------------------
    def _node(self, path: str) -> Any:
        if not path:
            return self._file["/"]
        for name in (path, path.encode("utf-8", "surrogateescape"), path.encode("latin-1", "replace")):
            with suppress(*H5PY_ERRORS):
                if name in self._file:
                    return self._file[name]
        return None

    def _dataset(self, path: str) -> Any:
        """Return the dataset of a netCDF name: behind a prefix, where the name itself is only a dimension's."""
        parent, name = parent_path(path), path.rpartition("/")[2]
        prefixed = self._node(child_path(parent, NON_COORDINATE + name))
        found = self._node(path)
        if isinstance(prefixed, h5py.Dataset) and (found is None or _is_dimension_only(found)):
            return prefixed
        return found if isinstance(found, h5py.Dataset) else None

    def find(self, path: str, array: VirtualArray) -> NativeArray | None:  # noqa: ARG002  the protocol's signature
        """Return a dataset."""
        dataset = self._dataset(path)
        if dataset is None:
            return None
        try:
            if not self._is_local and (dataset.external or dataset.is_virtual):
                raise NativeError("h5py does not follow a remote file's links to other files")
            if dataset.shape is None:
                return None
            base, inner = dataset.dtype.subdtype or (dataset.dtype, ())
            while base.subdtype is not None:
                base, more = base.subdtype
                inner += more
            attributes = self._attributes(dataset)
            fills, must = _fill_values(dataset, base)
        except H5PY_ERRORS as error:
            raise NativeError(f"h5py cannot read it: {error}") from error
        return NativeArray(
            shape=(*dataset.shape, *inner),
            dtype=np.dtype(object) if base.kind == "O" else base,
            attributes=attributes,
            fill_values=fills,
            must_fill=must,
            more_attributes=ADDED,
        )

    def read(self, path: str, window: tuple[slice, ...]) -> npt.NDArray[Any]:
        """Return values: text as bytes, references as paths, in bytes too."""
        dataset = self._dataset(path)
        if dataset is None:
            raise NativeError(f"h5py finds no {path!r} in the file")
        outer = window[: len(dataset.shape)]
        try:
            got = dataset[outer] if outer else dataset[()]
            values = _scalar(got, dataset.dtype) if isinstance(got, bytes | str) else np.asarray(got)
            inner: Any = (..., *window[len(outer) :])
            values = values[inner] if len(outer) < len(window) else values
            if h5py.check_ref_dtype(dataset.dtype):
                return _objects([self._path_of(one) for one in values.ravel().tolist()], values.shape)
        except (*H5PY_ERRORS, MemoryError) as error:
            raise NativeError(f"h5py cannot read it: {error}") from error
        return values

    def _path_of(self, reference: Any) -> bytes:
        return (h5py.h5r.get_name(reference, self._file.id) or b"") if reference else b""

    def is_computed(self, path: str) -> bool:  # noqa: ARG002
        """Nothing is."""
        return False

    # -- attributes ----------------------------------------------------------------------------------------------
    def group_attributes(self, path: str) -> Mapping[str, JSON] | None:
        """Return a group's attributes."""
        node = self._node(path)
        return self._attributes(node, is_root=not path) if isinstance(node, h5py.Group) else None

    def _attributes(self, node: Any, *, is_root: bool = False) -> dict[str, JSON]:
        """Return the attributes that JSON can have, without the bookkeeping of HDF5 and netCDF-4."""
        found: dict[str, JSON] = {}
        is_scale = False
        for name in list(node.attrs):
            try:
                value = node.attrs[name]
                if _is_bookkeeping(node, name, value, is_root=is_root):
                    is_scale |= name == "CLASS"
                    continue
                found[text_of(name)] = self._json(value)
            except (UnsupportedError, *H5PY_ERRORS):
                continue  # the scan's report says that it was dropped
        if is_scale:
            found.pop("NAME", None)
        found.pop("_ARRAY_DIMENSIONS", None)
        return found

    def _json(self, value: Any) -> JSON:
        if isinstance(value, h5py.Empty):
            return "" if value.dtype.kind in "SUO" else []
        if isinstance(value, h5py.Reference | h5py.RegionReference):
            return text_of(self._path_of(value))
        if isinstance(value, np.ndarray) and value.dtype.hasobject:
            if value.size == 1:
                return self._json(value.reshape(-1)[0])
            return [
                [row] if isinstance(one, np.ndarray) and one.size == 1 else row
                for one, row in ((one, self._json(one)) for one in value)
            ]
        if isinstance(value, np.void) and value.dtype.names and value.dtype.hasobject:
            return {name: self._json(value[name]) for name in value.dtype.names}
        return attribute_json(value)


def _is_dimension_only(node: Any) -> bool:
    return isinstance(node, h5py.Dataset) and bytes(node.attrs.get("NAME", b"")[:52]) == DIMENSION_ONLY


def _is_bookkeeping(node: Any, name: str, value: Any, *, is_root: bool) -> bool:
    """Whether an attribute is netCDF's or HDF5's own, and not a user's of the same name."""
    integer = getattr(value, "dtype", np.dtype("V1")).kind in "iu"
    match name:
        case "CLASS":
            return isinstance(value, bytes | str) and text_of(value) == "DIMENSION_SCALE"
        case "DIMENSION_LIST" | "REFERENCE_LIST":
            kind = node.attrs.get_id(name).dtype
            return bool(kind.names) if name == "REFERENCE_LIST" else h5py.check_vlen_dtype(kind) is not None
        case "_Netcdf4Dimid" | "_Netcdf4Coordinates" | "_nc3_strict":
            return integer
        case "_NCProperties":
            return is_root and isinstance(value, bytes | str)
    return False


def _fill_values(dataset: Any, base: np.dtype[Any]) -> tuple[tuple[Any, ...] | None, bool]:
    """Return the values that mask (``_FillValue``) or stand where nothing was written, and whether one must be told.

    It must where ``_FillValue`` is one value of the dataset's type, and nothing else is read where chunks are absent.
    """
    if base.kind == "O":
        return None, False
    fills: list[Any] = []
    must = False
    if "_FillValue" in dataset.attrs:
        marked = np.asarray(dataset.attrs["_FillValue"])
        if marked.size == 1 and marked.dtype.newbyteorder("=") == base.newbyteorder("="):
            fills.append(marked.reshape(-1)[0])
            must = dataset.chunks is None and dataset.id.get_storage_size() > 0
        elif marked.size == 1 and base.kind == "S":
            one = marked.reshape(-1)[0]
            fills.append(one.encode() if isinstance(one, str) else one)
    with suppress(*H5PY_ERRORS):
        fills.append(dataset.fillvalue)
    return tuple(fills), must


def _scalar(text: bytes | str, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Return a scalar dataset's text with the dataset's type, which h5py takes from it."""
    return _objects([text], ()) if dtype.kind == "O" else np.array(text, np.dtype(dtype.str))


def _objects(items: list[Any], shape: tuple[int, ...]) -> npt.NDArray[Any]:
    found = np.empty(len(items), object)
    found[:] = items
    return found.reshape(shape)
