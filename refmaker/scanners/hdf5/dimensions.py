"""Dimension names by the rules of netCDF-4.

HDF5 Dimension Scale Specification and the netCDF-4 file format: an axis is called like the dimension scale attached to
it; a one-dimensional scale names its own axis; ``_Netcdf4Coordinates`` names the axes of a scale of more dimensions.
An axis with nothing attached takes, as netCDF-C does, a dimension of its group with the same length that the array
does not use yet, or gets ``phony_dim_N``, numbered on from the file's dimension ids.

An axis along an unlimited dimension may lag behind it: netCDF-C shows fill values there, Zarr can only show what is
stored, so such an axis is not given the dimension's name (readers refuse two lengths of one dimension).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from h5py import h5f, h5r

from refmaker.scanners.hdf5.attributes import ObjectAttributes, object_address

__all__ = ["DIMENSION_WITHOUT_VARIABLE", "Dimensions", "Extent", "is_dimension_only", "netcdf_name"]

DIMENSION_WITHOUT_VARIABLE = "This is a netCDF dimension but not a netCDF variable"
"""How the ``NAME`` of a scale that stands for a dimension only begins (netCDF-4 file format)."""
_NON_COORDINATE_PREFIX = "_nc4_non_coord_"
"""What netCDF-4 puts before a variable that has a dimension's name but is not its coordinate."""


def netcdf_name(name: str) -> str:
    """Return the netCDF name of a dataset."""
    return name.removeprefix(_NON_COORDINATE_PREFIX) or name


@dataclass(frozen=True, slots=True)
class Extent:
    """A dataset as far as dimensions go; ``maxshape`` is None where unlimited."""

    address: int
    name: str
    group: str
    shape: tuple[int, ...]
    maxshape: tuple[int | None, ...]


@dataclass(slots=True)
class _Dimension:
    """A dimension of a group: a scale's, or a made-up one."""

    name: str
    length: int
    unlimited: bool


class Dimensions:
    """The dimensions of one file: tell it of every dataset first (``add``), then ask for names."""

    def __init__(self, file_id: h5f.FileID) -> None:
        self._file_id = file_id
        self._scales: dict[int, _Dimension] = {}
        self._by_dimid: dict[int, _Dimension] = {}
        self._in_group: dict[str, list[_Dimension]] = {}
        self._lists: dict[int, tuple[Extent, Any]] = {}
        self._attached: dict[int, list[list[_Dimension]]] | None = None
        self._lengths: dict[tuple[str, str], int] = {}
        self._next = 0

    def add(self, extent: Extent, attributes: ObjectAttributes) -> None:
        """Note a dataset: a scale defines a dimension, and any dataset may use some."""
        listed = attributes.hidden.get("DIMENSION_LIST")
        if isinstance(listed, np.ndarray):
            self._lists[extent.address] = extent, listed
        if not attributes.is_scale:
            return
        length = extent.shape[0] if extent.shape else 1
        unlimited = bool(extent.maxshape) and extent.maxshape[0] is None
        dimension = _Dimension(netcdf_name(extent.name), length, unlimited)
        self._scales[extent.address] = dimension
        self._in_group.setdefault(extent.group, []).append(dimension)
        dimid = attributes.hidden.get("_Netcdf4Dimid")
        if isinstance(dimid, np.ndarray) and dimid.size == 1:
            number = int(dimid.reshape(-1)[0])
            self._by_dimid.setdefault(number, dimension)
            self._next = max(self._next, number + 1)
        else:
            self._next += 1

    def names(self, extent: Extent, attributes: ObjectAttributes) -> tuple[tuple[str, ...], list[tuple[str, str]]]:
        """Return the names of a dataset's axes, and notes as (code, sentence).

        Axes beyond those of ``add`` (of an array datatype) are axes with nothing attached.
        """
        if self._attached is None:
            self._attached = self._resolve()
        notes: list[tuple[str, str]] = []
        wanted: list[_Dimension | None] = [None] * len(extent.shape)
        for axis, scales in enumerate(self._attached.get(extent.address, ())):
            if len(scales) > 1:
                listed = ", ".join(scale.name for scale in scales)
                notes.append(("dimension", f"axis {axis} has several scales ({listed}): the first names it"))
            wanted[axis] = scales[0] if scales else None
        own = self._scales.get(extent.address)
        if own is not None and wanted and wanted[0] is None:
            listed_axes = self._coordinates(attributes.hidden.get("_Netcdf4Coordinates"), len(wanted))
            wanted = [a or b for a, b in zip(wanted, listed_axes, strict=True)]
            wanted[0] = wanted[0] or own
        for axis, dimension in enumerate(wanted):
            if dimension is None:
                continue
            n = extent.shape[axis]
            length = self._lengths.setdefault((extent.group, dimension.name), dimension.length)
            if n != dimension.length or n != length:
                sentence = f"axis {axis} has {n} steps, dimension {dimension.name!r} has {length}: it is named apart"
                notes.append(("dimension", sentence))
                wanted[axis] = None
        return self._with_made_up(extent, wanted), notes

    def _resolve(self) -> dict[int, list[list[_Dimension]]]:
        """Return the scales attached to each axis of each dataset, unlimited ones grown to their longest user."""
        attached = {}
        for address, (extent, listed) in self._lists.items():
            rows = list(listed.reshape(-1))[: len(extent.shape)]
            scales = [[s for ref in np.asarray(row, object).reshape(-1) if (s := self._scale_of(ref))] for row in rows]
            attached[address] = scales
            for n, most, row in zip(extent.shape, extent.maxshape, scales, strict=False):
                if row and row[0].unlimited and most is None:
                    row[0].length = max(row[0].length, n)
        return attached

    def _scale_of(self, reference: Any) -> _Dimension | None:
        if isinstance(reference, int):  # an address, where the list was read by us
            return self._scales.get(reference)
        if not reference:
            return None
        try:
            return self._scales.get(object_address(h5r.dereference(reference, self._file_id)))
        except (ValueError, RuntimeError, OSError, KeyError):
            return None  # a dangling reference names nothing

    def _coordinates(self, dimids: Any, ndim: int) -> list[_Dimension | None]:
        numbers = dimids.reshape(-1).tolist() if isinstance(dimids, np.ndarray) else []
        found = [self._by_dimid.get(number) for number in numbers]
        return found if len(found) == ndim else [None] * ndim

    def _with_made_up(self, extent: Extent, wanted: list[_Dimension | None]) -> tuple[str, ...]:
        """Fill the gaps with dimensions of the group that the array does not use yet, or made-up ones."""
        there = self._in_group.setdefault(extent.group, [])
        used = {dimension.name for dimension in wanted if dimension}
        result = []
        for axis, dimension in enumerate(wanted):
            if dimension is None:
                unlimited = axis < len(extent.maxshape) and extent.maxshape[axis] is None
                made_up = self._made_up(there, extent.shape[axis], unlimited, used)
            else:
                made_up = dimension.name
            used.add(made_up)
            result.append(made_up)
        return tuple(result)

    def _made_up(self, there: list[_Dimension], length: int, unlimited: bool, used: set[str]) -> str:
        for dimension in there:
            same = dimension.length == length and dimension.unlimited == unlimited
            if same and dimension.name not in used:
                return dimension.name
        dimension = _Dimension(f"phony_dim_{self._next}", length, unlimited or not length)  # as netCDF-C: 0 = unlimited
        self._next += 1
        there.append(dimension)
        return dimension.name


def is_dimension_only(hidden: Mapping[str, Any]) -> bool:
    """Whether a scale's bookkeeping says that it is a netCDF dimension without a variable."""
    name = hidden.get("NAME")
    return isinstance(name, str) and name.startswith(DIMENSION_WITHOUT_VARIABLE)
