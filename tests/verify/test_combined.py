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

from refmaker import FromName, combine, scan, verify, write_references
from refmaker.cli import run
from refmaker.verify import native_hdf5
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
