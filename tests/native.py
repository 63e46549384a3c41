"""What h5py and netCDF4 say that a file holds: the truth that references are compared with."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import netCDF4
import numpy as np

HIDDEN = {"CLASS", "NAME", "DIMENSION_LIST", "REFERENCE_LIST", "DIMENSION_LABELS"}
"""Attributes of dimension scales, which become dimension names."""


def netcdf_variables(path: Path) -> Iterator[tuple[str, netCDF4.Variable]]:
    """Yield (path, variable) of every variable of every group, unmasked, unscaled, characters left apart.

    The file closes with the last: left to the garbage collector, which runs in any thread, netCDF-C may crash.
    """
    with netCDF4.Dataset(path) as file:
        file.set_auto_maskandscale(False)
        file.set_auto_chartostring(False)
        for prefix, group in netcdf_groups(file):
            for name, variable in group.variables.items():
                yield f"{prefix}{name}", variable


def netcdf_groups(group: netCDF4.Dataset, prefix: str = "") -> Iterator[tuple[str, netCDF4.Dataset]]:
    """Yield (path with a slash at its end, group) of a group and all below it."""
    yield prefix, group
    for name, inner in group.groups.items():
        yield from netcdf_groups(inner, f"{prefix}{name}/")


def hdf5_datasets(
    group: h5py.Group, prefix: str = "", above: tuple[h5py.Group, ...] = ()
) -> Iterator[tuple[str, h5py.Dataset]]:
    """Yield (path, dataset) of everything that links lead to, within the file, not entering a group inside itself."""
    for name in group:
        if isinstance(group.get(name, getlink=True), h5py.ExternalLink):
            continue
        member = group.get(name)
        if isinstance(member, h5py.Dataset):
            yield f"{prefix}{name}", member
        elif isinstance(member, h5py.Group) and member not in (*above, group):
            yield from hdf5_datasets(member, f"{prefix}{name}/", (*above, group))


def hdf5_values(dataset: h5py.Dataset) -> Any:
    """Return a dataset's values as Zarr has them: text as str, object references as paths."""
    if h5py.check_ref_dtype(dataset.dtype) is h5py.Reference:
        paths = [dataset.file[reference].name for reference in dataset[...].flat]
        return np.array(paths, object).reshape(dataset.shape)
    if h5py.check_string_dtype(dataset.dtype) and dataset.dtype.kind == "O":
        return np.asarray(dataset.asstr()[...], object)
    return dataset[...]


def json_of(value: Any) -> Any:
    """Return a netCDF attribute as JSON; netCDF4-python has already made text ``str`` and single elements scalars."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return value
