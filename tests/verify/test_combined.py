"""Documents of several files: every layout that combining makes fits, and one thing broken in one is noticed."""

import base64
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import tifffile

from refmaker import FromName, FromPosition, combine, scan, verify, write_references
from refmaker.cli import run
from refmaker.combine.times import clock_of
from refmaker.verify import combined, native_hdf5
from refmaker.verify.arrangement import Part
from refmaker.verify.findings import Verification
from tests.combine import layouts
from tests.combine.reading import texts
from tests.combine.test_layouts import CASES as LAYOUTS
from tests.combine.test_layouts import Case
from tests.conftest import validate
from tests.samples import FOLDER, OCEAN
from tests.verify.test_fitting import assert_fits, steps

DAYS = [FOLDER / f"ocean_{number}.nc" for number in (1, 2, 3)]
Change = Callable[[dict[str, Any]], object]


def checks(found: Verification) -> set[str]:
    return {str(one.check) for one in found.mismatches}


def broken(document: Path, change: Change) -> Path:
    content = json.loads(document.read_bytes())
    change(content["refs"])
    other = document.with_name("broken.json")
    other.write_text(json.dumps(content))
    return other


def edited(key: str, **fields: Any) -> Change:
    def change(refs: dict[str, Any]) -> None:
        refs[key] = json.dumps({**json.loads(refs[key]), **fields})

    return change


def swapped(one: str, other: str) -> Change:
    def change(refs: dict[str, Any]) -> None:
        refs[one], refs[other] = refs[other], refs[one]

    return change


def later(key: str, by: float, dtype: str = "<f8") -> Change:
    """Change inlined times."""

    def change(refs: dict[str, Any]) -> None:
        values = np.frombuffer(base64.b64decode(refs[key].removeprefix("base64:")), dtype) + np.dtype(dtype).type(by)
        refs[key] = "base64:" + base64.b64encode(values.tobytes()).decode()

    return change


@pytest.mark.parametrize(
    ("name", "change", "check"),
    [
        ("times", later("time/0", 100), "values"),
        ("chunks of one file swapped", swapped("temp/0.0.0", "temp/1.0.0"), "arrangement"),
        ("chunks of two files swapped", swapped("temp/0.0.0", "temp/5.0.0"), "arrangement"),
        ("a chunk left out", lambda refs: refs.pop("temp/1.0.0"), "arrangement"),
        ("the last chunk left out", lambda refs: refs.pop("temp/5.0.0"), "arrangement"),
        ("an attribute", edited("temp/.zattrs", units="furlong"), "attributes"),
        ("an attribute too many", edited("temp/.zattrs", more="1"), "attributes"),
        ("a group's attribute", edited(".zattrs", title="another"), "attributes"),
        ("the epoch", edited("time/.zattrs", units="days since 1900-01-01"), "values"),
        ("no times any more", edited("time/.zattrs", units="furlong"), "attributes"),
        ("the fill value", edited("temp/.zarray", fill_value=7), "fill"),
        ("a data type", edited("temp/.zarray", dtype="<f2"), "dtype"),
        ("dimensions reversed", edited("temp/.zattrs", _ARRAY_DIMENSIONS=["lon", "lat", "time"]), "dimensions"),
    ],
)
def test_what_is_broken_in_a_combination_is_found(name: str, change: Change, check: str, tmp_path: Path) -> None:
    document = tmp_path / "days.json"
    write_references(combine(texts(DAYS), concat="time"), document)
    assert_fits(verify(document, sample=None))
    assert check in checks(verify(broken(document, change), sample=None)), name


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("swapped", swapped("data/0.0", "data/2.0")),
        ("left out", lambda refs: refs.pop("data/2.0")),
    ],
)
def test_files_of_one_chunk_each_are_arranged_as_their_times_are(name: str, change: Change, tmp_path: Path) -> None:
    document = tmp_path / "a.json"
    paths = [steps(tmp_path / f"{number}.h5", 2 * number) for number in range(3)]
    for path in paths:
        with h5py.File(path, "a") as file:
            file["other"] = file["data"][...] * 2
            file["other"].dims[0].attach_scale(file["time"])
    write_references(combine(texts(paths), concat="time"), document)
    assert_fits(verify(document, sample=None))
    assert checks(verify(broken(document, change), sample=None)), name


@pytest.mark.parametrize("case", LAYOUTS, ids=str)
@pytest.mark.parametrize("sample", [None, 1])
def test_every_layout_fits(case: Case, sample: int | None, tmp_path: Path) -> None:
    document = tmp_path / "combined.json"
    write_references(combine(texts(case.make(tmp_path)), **case.asked), document)
    assert_fits(verify(document, sample=sample), compared=False)


@pytest.mark.parametrize("attrs", ["first", "drop-conflicts"])
def test_attributes_of_one_source_or_of_all_fit(attrs: Any, tmp_path: Path) -> None:
    paths = [steps(tmp_path / f"{number}.h5", 2 * number) for number in range(3)]
    for number, path in enumerate(paths):
        with h5py.File(path, "a") as file:
            file.attrs["history"] = f"run {number}"
            file["data"].attrs["units"] = "K"
            file["data"].attrs[f"only_{number}"] = number
    for sample in (None, 1):
        assert_fits(verify(combine(texts(paths), concat="time", attrs=attrs), sample=sample), compared=False)


def test_times_counted_anew_are_compared(tmp_path: Path) -> None:
    document = tmp_path / "combined.json"
    write_references(combine(texts(layouts.drifting_units(tmp_path)), concat="time"), document)
    found = verify(document, sample=None)
    (time,) = (array for array in found.arrays if array.path == "time")
    assert (time.compared, time.not_compared) == (1, "")
    dtype = json.loads(json.loads(document.read_bytes())["refs"]["time/.zarray"])["dtype"]
    assert "values" in checks(verify(broken(document, later("time/0", 1, dtype)), sample=None))


def test_one_file_with_a_new_dimension_fits_and_what_is_not_compared_is_said(tmp_path: Path) -> None:
    paths = texts(layouts.ensemble(tmp_path))
    for few in (paths[:1], paths):
        found = verify(combine(few, concat="member", place={"member": FromName(r"_r(\d+)i")}), sample=None)
        assert_fits(found, compared=False)
        assert {array.path for array in found.arrays if array.not_compared} == {"member"}


def test_whatever_the_library_raises_is_something_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    def raising(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError("of a broken file")

    references = scan(str(OCEAN))
    for name in ("find", "read", "groups", "group_attributes", "close"):
        with monkeypatch.context() as patched:
            patched.setattr(native_hdf5.HDF5, name, raising)
            found = verify(references)
            assert found.ok
            assert name == "close" or any("ZeroDivisionError" in one.sentence for one in found.unchecked)
    monkeypatch.setattr(native_hdf5.HDF5, "__init__", raising)
    assert "ZeroDivisionError" in str(verify(references).mismatches)


# -- documents that are right, and were taken for wrong ----------------------------------------------------------------
def day(path: Path, first: int, *, length: int = 3) -> Path:
    with h5py.File(path, "w") as file:
        file["time"] = np.arange(first, first + length, dtype="f8")
        file["time"].make_scale("time")
        file["time"].attrs["units"] = "days since 2000-01-01"
        data = np.arange(first, first + 4.0 * length, dtype="f4").reshape(length, 4)
        file.create_dataset("data", data=data, chunks=(1, 4))
        file["data"].dims[0].attach_scale(file["time"])
        file["data"].attrs["_FillValue"] = np.float32(-9)
        file["data"].attrs["units"] = "K"
        file["fixed"] = np.arange(4.0)
    return path


def foreign(document: Path, change: Change) -> Path:
    """Make a document nobody's: without what refmaker records, and changed."""
    content = json.loads(document.read_bytes())
    content = {"version": 1, "refs": content["refs"]}
    change(content["refs"])
    document.write_text(json.dumps(content))
    return document


def as_virtualizarr(refs: dict[str, Any]) -> None:
    """Add what xarray adds where it encodes: a calendar, NaN, base64."""
    edited("time/.zattrs", calendar="proleptic_gregorian", _FillValue=float("nan"))(refs)
    edited("data/.zattrs", _FillValue="AAAAAAAAIsA=", coordinates="fixed")(refs)


def test_what_other_tools_add_is_no_mismatch(tmp_path: Path) -> None:
    document = tmp_path / "days.json"
    paths = texts([day(tmp_path / f"{number}.h5", 3 * number) for number in range(3)])
    write_references(combine(paths, concat="time"), document)
    foreign(document, as_virtualizarr)
    found = verify(document, sample=None)
    assert_fits(found)
    assert [array.not_compared for array in found.arrays] == [""] * 3
    assert "values" in checks(verify(broken(document, later("time/0", 1)), sample=None))
    for fields in ({"_FillValue": "AAAAAAAAAAA="}, {"units": "furlong"}):
        assert "attributes" in checks(verify(broken(document, edited("data/.zattrs", **fields)), sample=None))


def test_times_of_another_calendar_are_not_compared(tmp_path: Path) -> None:
    document = tmp_path / "days.json"
    paths = texts([day(tmp_path / f"{number}.h5", 3 * number) for number in range(3)])
    write_references(combine(paths, concat="time"), document)

    def moved(refs: dict[str, Any]) -> None:
        edited("time/.zattrs", calendar="noleap", units="days since 1999-12-31")(refs)
        later("time/0", 1)(refs)

    found = verify(foreign(document, moved), sample=None)
    assert_fits(found, compared=False)
    assert {array.path for array in found.arrays if array.not_compared} == {"time"}


def test_a_document_of_virtualizarr_fits(tmp_path: Path) -> None:
    virtualizarr = pytest.importorskip("virtualizarr")
    xarray = pytest.importorskip("xarray")
    parsers = pytest.importorskip("virtualizarr.parsers")
    registry = pytest.importorskip("obspec_utils.registry")
    stores = pytest.importorskip("obstore.store")
    found = registry.ObjectStoreRegistry({"file://": stores.LocalStore()})
    options = {"registry": found, "parser": parsers.HDFParser(), "loadable_variables": ["time"]}
    paths = [day(tmp_path / f"{number}.h5", 3 * number) for number in range(3)]
    opened = [virtualizarr.open_virtual_dataset(f"file://{path}", **options) for path in paths]
    both = xarray.concat(opened, dim="time", coords="minimal", compat="override", data_vars="minimal")
    both.vz.to_kerchunk(str(tmp_path / "a.json"), format="json")
    assert_fits(verify(tmp_path / "a.json", sample=None))


def test_a_combination_of_which_kerchunk_inlined_all_but_one_file_is_not_compared(tmp_path: Path) -> None:
    hdf, combining = pytest.importorskip("kerchunk.hdf"), pytest.importorskip("kerchunk.combine")
    every = []
    for number in range(3):
        path = day(tmp_path / f"{number}.h5", 3 * number)
        with path.open("rb") as file:
            every.append(hdf.SingleHdf5ToZarr(file, str(path), inline_threshold=0).translate())
    both = combining.MultiZarrToZarr(every, concat_dims=["time"], identical_dims=["fixed"], inline_threshold=500)
    content = both.translate()
    files = {str(one[0]) for one in content["refs"].values() if isinstance(one, list)}
    content["refs"]["fixed/0"] = [str(tmp_path / "0.h5"), *every[0]["refs"]["fixed/0"][1:]]
    assert len(files) <= 1
    found = verify(content, sample=None)
    assert [str(one) for one in found.mismatches] == []
    assert {"data", "time"} <= {array.path for array in found.arrays if array.not_compared}


def virtual(folder: Path, number: int) -> Path:
    """Make a file whose data lie in two others (virtual), in a raw one (external), and in itself."""
    for half in (0, 1):
        with h5py.File(folder / f"part_{number}{half}.h5", "w") as file:
            file.create_dataset("there", data=np.arange(8.0).reshape(2, 4) + 8 * half + 100 * number, chunks=(1, 4))
    np.arange(4.0).tofile(folder / f"{number}.bin")
    with h5py.File(folder / f"v{number}.h5", "w") as file:
        layout = h5py.VirtualLayout((4, 4), "f8")
        for half in (0, 1):
            layout[2 * half : 2 * half + 2] = h5py.VirtualSource(f"part_{number}{half}.h5", "there", (2, 4))
        file["time"] = np.arange(4.0) + 4 * number
        file["time"].make_scale("time")
        external = [(str(folder / f"{number}.bin"), 0, 32)]
        for data in (
            file.create_virtual_dataset("data", layout),
            file.create_dataset("raw", (4,), "f8", external=external),
            file.create_dataset("own", data=np.arange(4.0) + number),
        ):
            data.dims[0].attach_scale(file["time"])
            data.attrs["units"] = "K"
    return folder / f"v{number}.h5"


def test_combinations_of_files_that_link_fit(tmp_path: Path) -> None:
    paths = texts([virtual(tmp_path, number) for number in range(2)])
    new = {"concat": "run", "place": {"run": FromName(r"v(\d)")}, "on_differing": "stack", "same": ("time",)}
    for asked in ({"concat": "time"}, new):
        document = tmp_path / "a.json"
        write_references(combine(paths, **asked), document)
        for sample in (None, 1):
            assert_fits(verify(document, sample=sample), compared=False)
        found = verify(document, sample=None)
        assert {array.path for array in found.arrays if array.not_compared} <= {"run"}
    bad = broken(document, swapped("data/0.0.0", "data/1.0.0"))
    assert "arrangement" in checks(verify(bad, sample=None))
    assert "attributes" in checks(verify(broken(document, edited("data/.zattrs", units="m")), sample=None))
    assert_fits(verify(combine([paths[0], str(tmp_path / "part_00.h5")]), sample=None))


def test_combinations_of_files_of_links_alone_fit(tmp_path: Path) -> None:
    paths = [tmp_path / f"x{number}.h5" for number in range(2)]
    for number, path in enumerate(paths):
        day(tmp_path / f"{number}.h5", 3 * number)
        with h5py.File(path, "w") as file:
            for name in ("time", "data"):
                file[name] = h5py.ExternalLink(f"{number}.h5", name)
    document = tmp_path / "a.json"
    write_references(combine(texts(paths), concat="time"), document)
    for sample in (None, 1):
        assert_fits(verify(document, sample=sample), compared=sample is None)


def test_one_file_given_twice_fits(tmp_path: Path) -> None:
    path = str(day(tmp_path / "a.h5", 0))
    references = combine([path, path], concat="run", on_differing="stack", place={"run": FromPosition()})
    found = verify(references, sample=None)
    assert_fits(found, compared=False)
    assert any("several times" in one.sentence for one in found.unchecked)


@pytest.mark.parametrize("options", [{"geo": "off"}, {}, {"levels": (1,)}], ids=str)
def test_images_scanned_with_options_fit(options: dict[str, Any], tmp_path: Path) -> None:
    tags = [
        (33550, "d", 3, (1.0, 1.0, 0.0)),
        (33922, "d", 6, (0.0, 0.0, 0.0, 100.0, 200.0, 0.0)),
        (34735, "H", 8, (1, 1, 0, 1, 1024, 0, 1, 1)),
    ]
    every = []
    for number in range(2):
        values = np.arange(64 * 64, dtype="u2").reshape(64, 64) + number
        with tifffile.TiffWriter(tmp_path / f"{number}.tif") as writer:
            writer.write(values, tile=(32, 32), subifds=1, extratags=tags)
            writer.write(values[::2, ::2], tile=(16, 16), subfiletype=1)
        every.append(scan(str(tmp_path / f"{number}.tif"), **options))
    found = verify(combine(every, concat="z", place={"z": FromName(r"(\d)\.tif")}, on_differing="stack"), sample=None)
    assert_fits(found, compared=False)
    assert not any("KeyError" in one.sentence for one in found.unchecked)
    for array in found.arrays:
        name = array.path.rpartition("/")[2]
        assert bool(array.not_compared) == (name in {"x", "y", "x_1", "y_1", "spatial_ref", "z"})
        if options == {} and name not in {"z", "data"}:
            assert array.not_compared == "refmaker computes it, and its files do not hold it"
    document = tmp_path / "a.json"
    for one in every:
        write_references(one, document)
        assert_fits(verify(document, sample=None), compared=False)


def test_the_work_grows_as_the_files_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = dict.fromkeys(("box", "clock"), 0)

    def counting(name: str, call: Any) -> Any:
        def counted(*args: Any) -> Any:
            calls[name] += 1
            return call(*args)

        return counted

    monkeypatch.setattr(Part, "box", counting("box", Part.box))
    monkeypatch.setattr(combined, "clock_of", counting("clock", clock_of))
    paths = texts([day(tmp_path / f"{number}.h5", number, length=1) for number in range(24)])
    spent = []
    for count in (6, 24):
        calls.update(box=0, clock=0)
        assert_fits(verify(combine(paths[:count], concat="time"), sample=None))
        spent.append(dict(calls))
    assert all(spent[1][name] < 5 * spent[0][name] for name in calls)


# -- the command -------------------------------------------------------------------------------------------------------
def test_what_was_not_compared_is_in_the_last_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document, report = tmp_path / "combined.json", tmp_path / "report.json"
    references = combine(texts(layouts.ensemble(tmp_path)), concat="member", place={"member": FromName(r"_r(\d+)i")})
    write_references(references, document)
    assert run(["verify", str(document), "--all", "--report", str(report), "-v"]) == 0
    *lines, last = capsys.readouterr().out.splitlines()
    assert re.search(r"fits; 1 of \d arrays not compared with its files: member: ", last)
    assert any(line.startswith("not compared: member: ") for line in lines)
    content = json.loads(report.read_bytes())
    validate(content, "verify-v1.schema.json")
    assert {array["path"] for array in content["arrays"] if array["not_compared"]} == {"member"}


def test_of_no_arrays_it_is_said_that_nothing_was_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["odd"] = np.zeros(3, np.longdouble)
    document, report = tmp_path / "a.json", tmp_path / "report.json"
    write_references(scan(str(tmp_path / "a.h5"), on_unsupported="skip"), document)
    assert run(["verify", str(document), "--report", str(report)]) == 0
    out = capsys.readouterr().out
    assert "fits" not in out
    assert "has no arrays, so nothing was compared" in out
    assert "not in the references: odd: " in out
    content = json.loads(report.read_bytes())
    validate(content, "verify-v1.schema.json")
    assert content["skipped"][0]["path"] == "odd"


def test_several_documents_are_verified_and_the_worst_ends_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, report = tmp_path / "good.json", tmp_path / "report.json"
    write_references(combine(texts(DAYS), concat="time"), good)
    bad = broken(good, lambda refs: refs.pop("temp/1.0.0"))
    gone = tmp_path / "gone.json"
    assert run(["verify", str(good), str(good)]) == 0
    assert run(["verify", str(gone), str(good)]) == 1
    capsys.readouterr()
    assert run(["verify", str(bad), str(gone), str(good), "--report", str(report)]) == 4
    captured = capsys.readouterr()
    assert f"{bad}: DOES NOT FIT" in captured.out
    assert f"{good}: fits" in captured.out
    assert str(gone) in captured.err
    content = json.loads(report.read_bytes())
    validate(content, "verify-v1.schema.json")
    assert [one["exit_code"] for one in content["documents"]] == [4, 1, 0]


def test_of_a_folder_its_documents_are_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_references(scan(str(OCEAN)), tmp_path / "a.json")
    assert run(["verify", str(tmp_path)]) == 2
    assert f"give its documents, such as {tmp_path}/*.json" in capsys.readouterr().err
    write_references(scan(str(OCEAN)), tmp_path / "a.parq")
    assert run(["verify", str(tmp_path / "a.parq")]) == 0
