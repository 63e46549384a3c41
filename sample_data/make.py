"""Make the sample files, and the golden references beside them.

    python sample_data/make.py              the files, into this folder
    python sample_data/make.py --golden     golden/<name>.json anew: read the difference before you commit it

A sample is a row of ``SAMPLES`` or ``IMAGES``: file name -> function that writes the file at a path. Each is
less than 100 kB. The same library versions write the same bytes again, but for the time at which ``ocean.nc``'s
enum type was made: netCDF-C records it, with a checksum over it.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import netCDF4
import numpy as np
import tifffile

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from tests.scanners.netcdf3.packing import samples as classic_samples  # noqa: E402  found from the project's folder

GOLDEN = HERE / "golden"


# -- ocean.nc: a NetCDF-4 file as an ocean model writes it ------------------------------------------------------------
def ocean(path: Path) -> None:
    with netCDF4.Dataset(path, "w", format="NETCDF4") as file:
        for name, length in {
            "time": None,
            "depth": 3,
            "lat": 6,
            "lon": 8,
            "station": 4,
            "name_length": 12,
            "nv": 2,
        }.items():
            file.createDimension(name, length)
        for part in (_ocean_coordinates, _ocean_fields, _ocean_stations, _ocean_never_written):
            part(file)
        _ocean_types(file)
        _ocean_groups(file)
        file.setncatts({"title": "A small ocean", "Conventions": "CF-1.11", "institution": "Åbo Akademi"})
        file.setncattr("grid_size", np.array([8, 6, 3], np.int32))
        file.setncattr("resolution", np.float32(0.25))
        file.setncattr_string("keywords", ["ocean", "temperature", "sea ice"])


def _ocean_coordinates(file: netCDF4.Dataset) -> None:
    time = file.createVariable("time", "f8", ("time",))
    time.setncatts({"units": "hours since 2001-01-01 00:00:00", "calendar": "standard", "bounds": "time_bnds"})
    time[:] = np.arange(5) * 6.0
    bounds = file.createVariable("time_bnds", "f8", ("time", "nv"))
    bounds[:] = np.arange(5)[:, None] * 6.0 + [-3, 3]
    depth = file.createVariable("depth", "f4", ("depth",))
    depth.setncatts({"units": "m", "positive": "down", "axis": "Z"})
    depth[:] = [0.5, 10, 100]
    _axes(file)


def _axes(file: netCDF4.Dataset) -> None:
    for name, values, units in [
        ("lat", np.linspace(55, 60, 6), "degrees_north"),
        ("lon", np.linspace(17, 24, 8), "degrees_east"),
    ]:
        axis = file.createVariable(name, "f4", (name,))
        axis.units = units
        axis[:] = values


def _ocean_fields(file: netCDF4.Dataset) -> None:
    cell = np.arange(5 * 3 * 6 * 8, dtype="f8").reshape(5, 3, 6, 8)
    temp = file.createVariable(
        "temp",
        "i2",
        ("time", "depth", "lat", "lon"),
        zlib=True,
        shuffle=True,
        fill_value=-32768,
        chunksizes=(1, 3, 6, 8),
    )
    temp.setncatts(
        {"scale_factor": 0.01, "add_offset": 5.0, "units": "degC", "coordinates": "area", "grid_mapping": "crs"}
    )
    temp[:] = np.ma.masked_where(cell % 7 == 0, np.sin(cell / 50) * 8 + 5)
    salt = file.createVariable(
        "salt", "f4", ("time", "depth", "lat", "lon"), fletcher32=True, fill_value=1e20, chunksizes=(2, 2, 4, 8)
    )
    salt.units = "1e-3"
    salt[:] = np.ma.masked_where(cell % 11 == 0, 6 + cell / 100)
    ssh = file.createVariable("ssh", ">f8", ("time", "lat", "lon"), zlib=True, shuffle=False, endian="big")
    ssh.missing_value = np.float64(-999)
    ssh[:] = np.where(cell[:, 0] % 5 == 0, -999, cell[:, 0] / 1000)
    area = file.createVariable("area", "f8", ("lat", "lon"), contiguous=True)
    area[:] = cell[0, 0] + 1
    land = file.createVariable("land", "i1", ("lat", "lon"))
    land.valid_range = np.array([0, 1], np.int8)
    land[:] = cell[0, 0] % 2
    count = file.createVariable("count", "u8", ("lat",))
    count[:] = 2**53 + np.arange(6, dtype="u8")


def _ocean_stations(file: netCDF4.Dataset) -> None:
    names = ["Utö", "Hanko", "", "Kökar"]
    text = file.createVariable("station_name", "S1", ("station", "name_length"))
    text._Encoding = "utf-8"
    text[:] = np.array(names, "U12")
    code = file.createVariable("station_code", "S1", ("station", "nv"))
    code[:] = np.array([list("UT"), list("HA"), list("XX"), list("KO")], "S1")
    label = file.createVariable("station_label", str, ("station",))
    label.long_name = "names once more, of any length"
    label[:] = np.array([f"{name} station" for name in names], object)
    remark = file.createVariable("remark", str, ())
    remark[...] = "one string for all"


def _ocean_never_written(file: netCDF4.Dataset) -> None:
    crs = file.createVariable("crs", "i4", ())
    crs.setncatts({"grid_mapping_name": "latitude_longitude", "semi_major_axis": 6378137.0})
    file.createVariable("upwelling", "f4", ("lat", "lon"), chunksizes=(3, 8))
    file.createVariable("ice_code", "i2", ("lat", "lon"), fill_value=-1, contiguous=True)


def _ocean_types(file: netCDF4.Dataset) -> None:
    ice = file.createEnumType(np.uint8, "ice_t", {"open": 0, "drift": 1, "fast": 2})
    state = file.createVariable("ice_state", ice, ("lat", "lon"), fill_value=0)
    state[:] = (np.arange(48).reshape(6, 8) % 3).astype("u1")


def _ocean_groups(file: netCDF4.Dataset) -> None:
    forcing = file.createGroup("forcing")
    forcing.source = "atmosphere"
    forcing.createDimension("step", None)
    wind = forcing.createVariable("wind", "f4", ("step", "lat", "lon"), zlib=True, chunksizes=(2, 6, 4))
    wind[:] = np.arange(3 * 48, dtype="f4").reshape(3, 6, 8)
    temp = forcing.createVariable("temp", "f4", ("step",))
    temp[:] = [280.5, 281.25, np.nan]
    rivers = forcing.createGroup("rivers")
    rivers.createDimension("river", 2)
    flow = rivers.createVariable("flow", "f8", ("river", "step"), chunksizes=(1, 4))
    flow.units = "m3 s-1"
    flow[:] = [[10, 11, 12], [20, 21, 22]]
    file.createGroup("empty")


# -- lab.h5: plain HDF5, as an instrument or a laboratory's own program writes it -------------------------------------
def lab(path: Path) -> None:
    with h5py.File(path, "w") as file:
        for name, part in LAB_GROUPS.items():
            part(file.create_group(name))
        _lab_links(file)
        file.attrs["instrument"] = "spectrometer"


def _values(*shape: int, dtype: str = "<i4") -> np.ndarray:
    return np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(dtype)


def _lab_layouts(group: h5py.Group) -> None:
    compact = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    compact.set_layout(h5py.h5d.COMPACT)
    compact.set_obj_track_times(False)
    space = h5py.h5s.create_simple((6, 4))
    made = h5py.h5d.create(group.id, b"compact", h5py.h5t.STD_I32LE, space, compact)
    made.write(h5py.h5s.ALL, h5py.h5s.ALL, _values(6, 4))
    group["contiguous"] = _values(10, 7, dtype="<f8")
    group.create_dataset("chunked", data=_values(20, 15, dtype="<f4"), chunks=(8, 4))
    group.create_dataset("resizable", data=_values(9, 5), chunks=(4, 5), maxshape=(None, 5))
    sparse = group.create_dataset("sparse", (40, 40), "<i4", chunks=(10, 10), fillvalue=-1)
    sparse[12:18, 25:31] = _values(6, 6)
    group.create_dataset("contiguous_never_written", (5, 3), "<f8", fillvalue=2.5)
    group.create_dataset("chunked_never_written", (1000, 1000), "<f4", chunks=(100, 100))
    group["scalar"] = np.float64(6.5)
    group["no_elements"] = np.empty((0, 3), "<f4")
    group.create_dataset("not_grown_yet", (0, 4), "<i2", chunks=(16, 4), maxshape=(None, 4))
    group.create_dataset("chunk_beyond_shape", data=_values(3, 2), chunks=(16, 8), maxshape=(None, None))


def _lab_types(group: h5py.Group) -> None:
    for dtype in ("<i1", "<u2", "<f2", ">i4", ">u8", ">f4", "<c8", ">c16"):
        group[f"{'big' if dtype[0] == '>' else 'little'}_{dtype[1:]}"] = _values(2, 5, dtype=dtype)
    group["complex"] = _values(4, dtype="<c16") * (1 - 0.5j)
    group["bool"] = _values(3, 3) % 2 == 0
    group.create_dataset("enum", data=_values(6) % 3, dtype=h5py.enum_dtype({"red": 0, "green": 1, "blue": 2}, "<i2"))
    record = np.zeros(5, [("id", "<i4"), ("mass", ">f8"), ("label", "S6")])
    record["id"], record["mass"] = _values(5), [0.5, 1.5, np.nan, -1, 1e300]
    record["label"] = [b"a", b"bc", b"", b"def", b"g"]
    group["compound"] = record
    group.create_dataset("compound_chunked", data=record, chunks=(2,), compression="gzip")
    group["opaque"] = np.array([b"\x00\x01\x02", b"\xff\xfe\x00"], "V3")


def _lab_strings(group: h5py.Group) -> None:
    group["fixed"] = np.array([b"alpha", b"be", b""], "S5")
    group.create_dataset("fixed_utf8", data=np.array(["é".encode(), "naïve".encode()], h5py.string_dtype("utf-8", 8)))
    words = ["one", "", "drei", "четыре"]
    group.create_dataset("variable", data=np.array(words, object), dtype=h5py.string_dtype())
    group.create_dataset("variable_ascii", data=np.array([b"x", b"yy"], object), dtype=h5py.string_dtype("ascii"))
    group["variable_scalar"] = "a sentence"
    group.create_dataset(
        "variable_chunked", data=np.array([words] * 3, object), dtype=h5py.string_dtype(), chunks=(2, 3)
    )


def _lab_filters(group: h5py.Group) -> None:
    pipelines: dict[str, dict[str, Any]] = {
        "gzip": {"compression": "gzip", "compression_opts": 9},
        "shuffle_gzip": {"compression": "gzip", "shuffle": True},
        "fletcher32": {"fletcher32": True},
        "shuffle_gzip_fletcher32": {"compression": "gzip", "shuffle": True, "fletcher32": True},
        "lzf": {"compression": "lzf"},
        "shuffle_lzf": {"compression": "lzf", "shuffle": True},
    }
    for name, pipeline in pipelines.items():
        group.create_dataset(name, data=_values(30, 14, dtype="<i4") // 9, chunks=(16, 7), **pipeline)


def _lab_dimensions(group: h5py.Group) -> None:
    group["x"] = np.linspace(0, 1, 4)
    group["y"] = _values(3)
    group["x"].make_scale("distance")
    group["y"].make_scale()
    group["image"] = _values(3, 4)
    group["image"].dims[0].attach_scale(group["y"])
    group["image"].dims[1].attach_scale(group["x"])
    group["labelled"] = _values(3, 4)
    group["labelled"].dims[0].label = "row"
    group["unnamed"] = _values(4, 3)


def _lab_attributes(group: h5py.Group) -> None:
    group["object"] = _values(2)
    attrs = group["object"].attrs
    attrs["text"] = "naïve ☃"
    attrs["latin1"] = np.bytes_("Ångström".encode("latin-1"))
    attrs["fixed_strings"] = np.array([b"a", b"bcd"], "S3")
    attrs.create("variable_strings", ["x", "", "zz"], dtype=h5py.string_dtype())
    attrs["number"], attrs["one_element"] = np.float32(0.1), np.array([7], "<i8")
    attrs["matrix"] = _values(2, 3, dtype=">i2")
    attrs["not_finite"] = np.array([np.nan, np.inf, -np.inf])
    attrs["boolean"], attrs["complex"] = np.bool_(True), 1.5 - 2j
    attrs["compound"] = np.array((1, 2.5), [("a", "<i4"), ("b", "<f8")])
    attrs["empty"], attrs["no_elements"] = h5py.Empty("<f4"), np.empty(0, "<f8")
    attrs["reference"] = group["object"].ref
    attrs["NAME"] = "not netCDF's"


LAB_GROUPS: dict[str, Callable[[h5py.Group], None]] = {
    "layouts": _lab_layouts,
    "types": _lab_types,
    "strings": _lab_strings,
    "filters": _lab_filters,
    "dimensions": _lab_dimensions,
    "attributes": _lab_attributes,
}


def _lab_links(file: h5py.File) -> None:
    group = file.create_group("links")
    group["hard"] = file["layouts/chunked"]
    group["soft"] = h5py.SoftLink("/layouts/sparse")
    group["soft_group"] = h5py.SoftLink("/dimensions")
    group["dangling"] = h5py.SoftLink("/nowhere")
    group["external"] = h5py.ExternalLink("elsewhere.h5", "/data")
    group["cycle"] = group


# -- odd.h5: what references cannot express, or only with values stored in them ---------------------------------------
def odd(path: Path) -> None:
    with h5py.File(path, "w") as file:
        ragged = file.create_dataset("ragged", (3,), h5py.vlen_dtype("<i4"))
        for row in range(3):
            ragged[row] = _values(row + 1)
        file["target"] = _values(3)
        file.create_dataset("references", data=[file["target"].ref, file.ref], dtype=h5py.ref_dtype)
        file["null"] = h5py.Empty("<f8")
        file["longdouble"] = _values(3).astype(np.longdouble)
        nested = np.zeros(2, [("place", "<f4", (3,)), ("inner", [("a", "u1"), ("b", ">i2")])])
        nested["place"], nested["inner"]["b"] = _values(2, 3), [1, 2]
        file["compound_nested"] = nested
        file.create_dataset("array_type", (2,), np.dtype(("<i2", (3,))))[:] = _values(2, 3)
        mixed = file.create_dataset("filter_mask", (8, 4), "<i4", chunks=(4, 4), compression="gzip")
        mixed[:4] = _values(4, 4)
        mixed.id.write_direct_chunk((4, 0), _values(4, 4).tobytes(), filter_mask=1)
        file["beside"] = _values(5)


# -- ocean_1.nc ... ocean_4.nc, run_r1.nc, run_r2.nc: files that belong together --------------------------------------
def _days(path: Path, first: int, member: int = 0) -> None:
    """Write two days of a model's run, chunked so that files line up."""
    with netCDF4.Dataset(path, "w", format="NETCDF4") as file:
        for name, length in {"time": None, "lat": 6, "lon": 8}.items():
            file.createDimension(name, length)
        time = file.createVariable("time", "f8", ("time",), chunksizes=(2,))
        time.setncatts({"units": "days since 2001-01-01", "calendar": "standard"})
        time[:] = [first, first + 1]
        _axes(file)
        chunks: dict[str, Any] = {"zlib": True, "fill_value": -32768, "chunksizes": (1, 6, 8)}
        temp = file.createVariable("temp", "i2", ("time", "lat", "lon"), **chunks)
        temp.setncatts({"scale_factor": 0.01, "add_offset": 5.0, "units": "degC"})
        temp[:] = np.sin((np.arange(96).reshape(2, 6, 8) + 48 * first) / 50) * 8 + 5 + member
        file.title = "An ocean, two days a file"


# -- map.tif: a GeoTIFF with an overview, on an ellipsoid that no database describes ----------------------------------
def _map(path: Path) -> None:
    height = np.add.outer(np.arange(96), np.arange(128)).astype("<i2") * 7 % 400
    height[:8, :8] = -9999
    keys = (1, 1, 0, 5, 1024, 0, 1, 2, 1025, 0, 1, 1, 2048, 0, 1, 32767, 2057, 34736, 1, 0, 2059, 34736, 1, 1)
    nodata = (42113, 2, None, "-9999", True)
    tags: list[Any] = [
        (33550, 12, 3, (0.01, 0.01, 0.0), True),
        (33922, 12, 6, (0.0, 0.0, 0.0, 23.5, 60.75, 0.0), True),
        (34735, 3, len(keys), keys, True),
        (34736, 12, 2, (6378137.0, 298.257222101), True),
    ]
    options: dict[str, Any] = {"tile": (32, 32), "compression": "zlib", "predictor": 2, "metadata": None}
    with tifffile.TiffWriter(path) as file:
        file.write(height, extratags=[nodata, *tags], photometric="minisblack", software=False, **options)
        file.write(height[::2, ::2], extratags=[nodata], subfiletype=1, software=False, **options)


# -- netcdf3_*.nc: classic files packed by hand, each with one awkward thing -------------------------------------------
def _bytes(data: bytes) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        path.write_bytes(data)

    return write


SAMPLES: dict[str, Callable[[Path], None]] = {
    "ocean.nc": ocean,
    "lab.h5": lab,
    "odd.h5": odd,
    **{f"ocean_{n + 1}.nc": partial(_days, first=2 * n) for n in range(4)},
    **{f"run_r{n}.nc": partial(_days, first=0, member=n) for n in (1, 2)},
    **{name: _bytes(data) for name, data in classic_samples().items()},
}
IMAGES: dict[str, Callable[[Path], None]] = {"map.tif": _map}
"""Apart, because other libraries than for ``SAMPLES`` are their oracles."""


def make(folder: Path) -> list[Path]:
    """Write all samples into ``folder`` and return their paths."""
    every = SAMPLES | IMAGES
    for name, write in every.items():
        write(folder / name)
    return [folder / name for name in every]


VOLATILE = {"scan_time", "last_modified", "seconds", "requests", "bytes_read", "rounds", "version", "scanner_version"}
"""What refmaker records of the scan itself, and golden references leave out."""


def golden_references(path: Path) -> dict[str, Any]:
    """Return the references of a sample as JSON, without what differs from scan to scan or from place to place."""
    from refmaker import scan, write_references

    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "references.json"
        write_references(scan(str(path), on_unsupported="skip"), str(out), relative_to=path.parent)
        document: dict[str, Any] = json.loads(out.read_text())
    return {**document, "refmaker": _lasting(document["refmaker"])}


def _lasting(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _lasting(inner) for name, inner in value.items() if name not in VOLATILE}
    return [_lasting(inner) for inner in value] if isinstance(value, list) else value


def golden_path(path: Path) -> Path:
    """Return where the golden references of a sample lie."""
    return GOLDEN / f"{path.name}.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--golden", action="store_true", help="write golden/<name>.json instead")
    if not parser.parse_args().golden:
        for path in make(HERE):
            print(f"{path.name}: {path.stat().st_size} bytes")
        return
    GOLDEN.mkdir(exist_ok=True)
    for name in SAMPLES | IMAGES:
        text = json.dumps(golden_references(HERE / name), indent=1, ensure_ascii=False)
        golden_path(HERE / name).write_text(text + "\n")


if __name__ == "__main__":
    main()
