"""Files that hypothesis describes and netCDF4 writes, in all three formats, read through references."""

import string
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.scanners.netcdf3.reading import assert_reads_as_netcdf4_does

CLASSIC_TYPES = ["i1", "S1", "i2", "i4", "f4", "f8"]
DATA64_TYPES = [*CLASSIC_TYPES, "u1", "u2", "u4", "i8", "u8"]
NAMES = st.text(string.ascii_letters, min_size=1, max_size=9) | st.sampled_from(["größe", "x y", "a.b-c", "__d"])


def numbers(draw: st.DrawFn, dtype: str, count: int) -> np.ndarray[Any, Any]:
    itemsize = np.dtype(dtype).itemsize
    raw = np.frombuffer(draw(st.binary(min_size=count * itemsize, max_size=count * itemsize)), dtype)
    if dtype == "S1":
        return np.where(raw == b"", b"\0", raw).astype("S1")
    return np.where(np.isnan(raw), 1, raw).astype(dtype) if raw.dtype.kind == "f" else raw


def attribute(draw: st.DrawFn, types: list[str]) -> Any:
    dtype = draw(st.sampled_from(types))
    if dtype == "S1":
        return draw(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20))
    return numbers(draw, dtype, draw(st.integers(1, 4)))


@st.composite
def files(draw: st.DrawFn) -> dict[str, Any]:
    """Describe a file: format, dimensions, attributes, variables with their values (None: filled by the library)."""
    form = draw(st.sampled_from(["NETCDF3_CLASSIC", "NETCDF3_64BIT_OFFSET", "NETCDF3_64BIT_DATA"]))
    types = DATA64_TYPES if form.endswith("DATA") else CLASSIC_TYPES
    names = draw(st.lists(NAMES, min_size=0, max_size=4, unique=True))
    dims = {name: draw(st.integers(1, 5)) for name in names}
    record = draw(st.sampled_from([None, *names]))
    records = draw(st.integers(0, 4))
    variables = []
    for name in draw(st.lists(NAMES, max_size=6, unique=True)):
        inner = draw(st.lists(st.sampled_from([n for n in names if n != record]), max_size=3)) if names[1:] else []
        over = [record, *inner] if record and draw(st.booleans()) else inner
        dtype = draw(st.sampled_from(types))
        shape = [records if n == record else dims[n] for n in over]
        values = numbers(draw, dtype, int(np.prod(shape))).reshape(shape)
        fill = draw(st.none() | st.just(numbers(draw, dtype, 1)[0])) if dtype != "S1" else None
        variables.append((name, dtype, over, fill, draw(st.none() | st.just(values))))
    attributes = {name: attribute(draw, types) for name in draw(st.lists(NAMES, max_size=4, unique=True))}
    return {"format": form, "dims": dims, "record": record, "variables": variables, "attributes": attributes}


def write(path: Path, file: dict[str, Any]) -> None:
    with netCDF4.Dataset(path, "w", format=file["format"]) as native:
        native.set_auto_maskandscale(False)
        for name, length in file["dims"].items():
            native.createDimension(name, None if name == file["record"] else length)
        native.setncatts(file["attributes"])
        for name, dtype, over, fill, values in file["variables"]:
            variable = native.createVariable(name, dtype, over, fill_value=fill)
            variable.set_auto_chartostring(False)
            variable.setncatts(file["attributes"])
            if values is not None:
                variable[...] = values


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(files(), st.sampled_from([None, 1, 10, 64]))
def test_a_file_netcdf4_writes_reads_back_alike(
    tmp_path_factory: pytest.TempPathFactory, file: dict[str, Any], chunk_bytes: int | None
) -> None:
    path = tmp_path_factory.mktemp("random") / "file.nc"
    write(path, file)
    assert_reads_as_netcdf4_does(path, chunk_bytes=chunk_bytes)
