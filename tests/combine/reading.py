"""What xarray shows: of the original files, and of references to them."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

import refmaker
from refmaker.model.reference_set import ReferenceSet

ENCODING = ("units", "calendar", "scale_factor", "add_offset", "_FillValue", "missing_value")
"""What an encoding must say alike: the rest is about storage."""


def texts(paths: Sequence[Path]) -> list[str]:
    return [os.fspath(path) for path in paths]


def opened(references: ReferenceSet, folder: Path, **options: Any) -> xr.Dataset:
    """Return references as they come back from disk, wholly loaded."""
    path = folder / "combined.json"
    refmaker.write_references(references, path)
    with xr.open_zarr(f"refmaker://{path}", **{"chunks": None, **options}) as dataset:
        return dataset.load()


def original(paths: Sequence[Path], **options: Any) -> xr.Dataset:
    """Return the original files as xarray combines them, wholly loaded."""
    asked = {"combine": "by_coords", "data_vars": "minimal", "coords": "minimal", "compat": "override", "join": "exact"}
    with xr.open_mfdataset(texts(paths), **{**asked, **options}) as dataset:
        return dataset.load()


def assert_same(found: xr.Dataset, expected: xr.Dataset) -> None:
    """Check values, coordinates, attributes, and what encodings say of the numbers."""
    xr.testing.assert_identical(found, expected)
    for name, variable in expected.variables.items():
        mine = found.variables[name].encoding
        for key in ENCODING:
            one, other = mine.get(key), variable.encoding.get(key)
            assert one is other is None or np.array_equal(one, other, equal_nan=key == "_FillValue"), (name, key)
