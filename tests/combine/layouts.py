"""Multi-file data sets as archives have them, written by netCDF4 and h5py."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np

TIME_UNITS = "days since 2000-01-01"
MONTHS = (31, 29, 31, 30)


def field(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(280, 10, shape).astype("f4")


def write(
    path: Path,
    dimensions: Mapping[str, int | None],
    variables: Mapping[str, tuple[tuple[str, ...], Any, Mapping[str, Any]]],
    *,
    format: str = "NETCDF4",  # noqa: A002
    attributes: Mapping[str, Any] | None = None,
    group: str | None = None,
    mode: str = "w",
    **storage: Any,
) -> Path:
    """Write variables (dimensions, values, attributes); ``_FillValue`` among the attributes is the fill value."""
    with netCDF4.Dataset(path, mode, format=format) as file:
        place = file.createGroup(group) if group else file
        for name, length in dimensions.items():
            place.createDimension(name, length)
        for name, (names, values, attributed) in variables.items():
            array = np.asarray(values)
            given = dict(attributed)
            kind = str if array.dtype.kind == "U" else array.dtype
            own = dict(storage) if len(names) > 1 else {}
            if chunks := own.pop("chunksizes", None):
                own["chunksizes"] = tuple(min(c, n) for c, n in zip(chunks, array.shape, strict=False))
            if array.dtype.byteorder == ">":
                own["endian"] = "big"
            variable = place.createVariable(name, kind, names, fill_value=given.pop("_FillValue", None), **own)
            variable.set_auto_maskandscale(False)
            variable.setncatts(given)
            variable[...] = array.astype(object) if kind is str else array
        place.setncatts({"title": "a data set", **(attributes or {})})
    return path


def grid(n: int = 3, m: int = 4) -> dict[str, Any]:
    return {
        "lat": (("lat",), np.linspace(-60, 60, n), {"units": "degrees_north", "axis": "Y"}),
        "lon": (("lon",), np.arange(m) * 10.0, {"units": "degrees_east", "axis": "X"}),
    }


def times(start: float, count: int, units: str = TIME_UNITS, **more: Any) -> dict[str, Any]:
    attributes = {"units": units, "calendar": "standard", "axis": "T", **more}
    return {"time": (("time",), np.arange(count) + float(start), attributes)}


def monthly(folder: Path, **storage: Any) -> list[Path]:
    """One file a month, one chunk a day, unlimited time, bounds, a grid mapping, history differing."""
    paths, start = [], 0
    for month, days in enumerate(MONTHS):
        middle = np.arange(days) + start + 0.5
        paths.append(
            write(
                folder / f"t2m_2000{month + 1:02d}.nc",
                {"time": None, "lat": 3, "lon": 4, "bnds": 2},
                {
                    **grid(),
                    **times(start + 0.5, days, bounds="time_bnds"),
                    "time_bnds": (("time", "bnds"), np.stack([middle - 0.5, middle + 0.5], 1), {}),
                    "crs": ((), np.int32(0), {"grid_mapping_name": "latitude_longitude"}),
                    "t2m": (
                        ("time", "lat", "lon"),
                        field(days, 3, 4, seed=month),
                        {"units": "K", "_FillValue": np.float32(1e20), "grid_mapping": "crs"},
                    ),
                },
                attributes={"history": f"made in month {month}"},
                **{"zlib": True, "chunksizes": None, **storage},
            )
        )
        start += days
    return paths


def one_step(folder: Path) -> list[Path]:
    """One time step a file: time is a scalar variable."""
    return [
        write(
            folder / f"step_{step}.nc",
            {"lat": 3, "lon": 4},
            {
                **grid(),
                "time": ((), np.float64(step * 6), {"units": "hours since 2000-01-01", "calendar": "standard"}),
                "t2m": (("lat", "lon"), field(3, 4, seed=step), {"units": "K"}),
            },
            zlib=True,
        )
        for step in range(5)
    ]


def tiles(folder: Path) -> list[Path]:
    """Tiles of a map, each of several time steps: two along y, three along x."""
    paths = []
    for t in range(2):
        for row in range(2):
            for column in range(3):
                paths.append(  # noqa: PERF401
                    write(
                        folder / f"tile_{t}_{row}_{column}.nc",
                        {"time": 2, "y": 4, "x": 5},
                        {
                            **times(t * 2, 2),
                            "y": (("y",), 100.0 - np.arange(4) - 4 * row, {"units": "m"}),
                            "x": (("x",), np.arange(5.0) + 5 * column, {"units": "m"}),
                            "height": (("y", "x"), field(4, 5, seed=row * 10 + column), {"units": "m"}),
                            "rain": (
                                ("time", "y", "x"),
                                field(2, 4, 5, seed=t * 100 + row * 10 + column),
                                {"units": "mm"},
                            ),
                        },
                        zlib=True,
                        chunksizes=None,
                    )
                )
    return paths[::-1]


def ensemble(folder: Path) -> list[Path]:
    """One member a file, told by the name only."""
    return [
        write(
            folder / f"tas_r{member}i1p1.nc",
            {"time": None, "lat": 3, "lon": 4},
            {**grid(), **times(0, 4), "tas": (("time", "lat", "lon"), field(4, 3, 4, seed=member), {"units": "K"})},
            zlib=True,
            chunksizes=(1, 3, 4),
        )
        for member in (1, 2, 10)
    ]


def grouped(folder: Path) -> list[Path]:
    """Two groups with time axes of their own, and a nested one that inherits its group's."""
    paths = []
    for part in range(3):
        path = folder / f"groups_{part}.nc"
        write(path, {}, {})
        for name, step in (("hourly", 24), ("daily", 1)):
            values = np.arange(part * step, (part + 1) * step, dtype="f8")
            unit = "hours" if step == 24 else "days"
            write(
                path,
                {"time": None, "x": 3},
                {
                    "time": (("time",), values, {"units": f"{unit} since 2000-01-01"}),
                    "flow": (("time", "x"), field(step, 3, seed=part), {"units": "m3 s-1"}),
                },
                group=name,
                mode="a",
                chunksizes=(1, 3),
            )
        write(path, {}, {"level": (("time", "x"), field(1, 3, seed=part + 7), {})}, group="daily/inner", mode="a")
        paths.append(path)
    return paths


def packed(folder: Path) -> list[Path]:
    """Packed as OPeNDAP servers send it: 16-bit integers with one scale, offset and missing value."""
    paths = []
    for part in range(3):
        values = np.arange(part * 24, part * 24 + 24, dtype="i2").reshape(2, 3, 4)
        values[0, 0, 0] = -32767
        attributes = {
            "scale_factor": 0.01,
            "add_offset": 273.15,
            "_FillValue": np.int16(-32767),
            "missing_value": np.int16(-32767),
            "units": "K",
        }
        paths.append(
            write(
                folder / f"era_{part}.nc",
                {"time": 2, "lat": 3, "lon": 4},
                {**grid(), **times(part * 2, 2), "t": (("time", "lat", "lon"), values, attributes)},
                zlib=True,
                shuffle=True,
                chunksizes=(1, 3, 4),
            )
        )
    return paths


def classic(folder: Path, lengths: Sequence[int] = MONTHS) -> list[Path]:
    """NetCDF-3 files of unequal lengths: one record variable (contiguous) and a fixed-size grid."""
    paths, start = [], 0
    for part, days in enumerate(lengths):
        paths.append(
            write(
                folder / f"classic_{part}.nc",
                {"day": days, "lat": 3, "lon": 4},
                {
                    **grid(),
                    "day": (("day",), np.arange(days) + float(start), {"units": TIME_UNITS}),
                    "pr": (("day", "lat", "lon"), field(days, 3, 4, seed=part), {"units": "mm"}),
                },
                format="NETCDF3_64BIT_OFFSET",
            )
        )
        start += days
    return paths


def lone_record(folder: Path) -> list[Path]:
    """NetCDF-3 files whose only record variable is the data: one chunk of N records a file, N differing."""
    return [
        write(
            folder / f"records_{part}.nc",
            {"time": None, "x": 6},
            {
                "x": (("x",), np.arange(6.0), {}),
                "v": (("time", "x"), field(count, 6, seed=part), {"units": "1"}),
            },
            format="NETCDF3_CLASSIC",
        )
        for part, count in enumerate((4, 6, 2))
    ]


def two_variables(folder: Path) -> list[Path]:
    """A file a variable and period."""
    return [
        write(
            folder / f"{name}_{part}.nc",
            {"time": None, "lat": 3, "lon": 4},
            {**grid(), **times(part * 3, 3), name: (("time", "lat", "lon"), field(3, 3, 4, seed=part), {"units": "1"})},
            zlib=True,
            chunksizes=(1, 3, 4),
        )
        for name in ("pr", "tas")
        for part in range(3)
    ]


def drifting_units(folder: Path) -> list[Path]:
    """Every file counts its days from its own first one; the bounds too."""
    paths = []
    for part in range(4):
        days = np.arange(5.0)
        paths.append(
            write(
                folder / f"drift_{part}.nc",
                {"time": None, "x": 3, "nv": 2},
                {
                    "x": (("x",), np.arange(3.0), {}),
                    **times(0, 5, units=f"days since 2000-01-{1 + 5 * part:02d} 00:00:00", bounds="time_bnds"),
                    "time_bnds": (("time", "nv"), np.stack([days, days + 1], 1), {}),
                    "v": (("time", "x"), field(5, 3, seed=part), {}),
                },
                zlib=True,
                chunksizes=(5, 3),
            )
        )
    return paths


def named_steps(folder: Path) -> list[Path]:
    """One date a file, in the name only."""
    return [
        write(
            folder / f"sst.2001{month:02d}15.nc",
            {"lat": 3, "lon": 4},
            {**grid(), "sst": (("lat", "lon"), field(3, 4, seed=month), {"units": "K"})},
        )
        for month in (1, 2, 3)
    ]


def swaths(folder: Path) -> list[Path]:
    """Satellite granules: a dimension without coordinate variable, two-dimensional coordinates."""
    return [
        write(
            folder / f"granule_{part}.nc",
            {"scan": 4, "pixel": 6},
            {
                "latitude": (("scan", "pixel"), field(4, 6, seed=part), {"units": "degrees_north"}),
                "band": (("scan", "pixel"), field(4, 6, seed=part + 9), {"coordinates": "latitude"}),
            },
            zlib=True,
        )
        for part in range(3)
    ]


Make = Callable[[Path], list[Path]]
