"""What once went wrong without a word: each is right now, or refused."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import refmaker
from refmaker.errors import ConflictError
from tests.combine import layouts
from tests.combine.reading import opened, original, texts

DATED = {"time": refmaker.FromName(r"_(\d{8})", "%Y%m%d")}


def write(folder: Path, name: str, sizes: dict[str, int | None], variables: dict[str, Any], **storage: Any) -> str:
    return str(layouts.write(folder / name, sizes, variables, **storage))


def hours(folder: Path, each: Sequence[dict[str, Any]], values: Sequence[Any], **more: Any) -> list[str]:
    """Write files whose ``time`` has these attributes and values, and a ``v`` along it."""
    return [
        write(folder, f"t{k}.nc", {"time": len(moments), **more.get("sizes", {})}, {
            "time": (("time",), moments, attributes),
            "v": (("time",), np.arange(float(len(moments))), {}),
            **{name: make(k) for name, make in more.get("variables", {}).items()},
        })
        for k, (attributes, moments) in enumerate(zip(each, values, strict=True))
    ]  # fmt: skip


UNITS = tuple({"units": f"days since 2000-01-{day:02d}"} for day in (1, 3))


# -- chunks --------------------------------------------------------------------------------------------------------
def test_a_chunk_that_lies_elsewhere_is_not_served_from_between_its_neighbours(tmp_path: Path) -> None:
    paths = []
    for k in range(2):
        paths.append(tmp_path / f"h{k}.h5")
        with h5py.File(paths[-1], "w") as file:
            time = file.create_dataset("time", data=np.arange(5) + 5 * k)
            time.make_scale()
            v = file.create_dataset("v", (5, 8), "i4", chunks=(2, 8))
            other = file.create_dataset("w", (2, 8), "i4", chunks=(2, 8))
            rows = np.arange(40).reshape(5, 8) + 100 * k
            for start, stop in ((0, 2), (4, 5), (2, 4)):
                v[start:stop] = rows[start:stop]
                file.flush()
                other[...] = -7
                file.flush()
            v.dims[0].attach_scale(time)
    found = opened(refmaker.combine(texts(paths), concat="time", load_below=0), tmp_path)
    assert found.v[:, 0].values.tolist() == [0, 8, 16, 24, 32, 100, 108, 116, 124, 132]


def test_chunk_lengths_are_compared_along_dimensions_of_one_block_too(tmp_path: Path) -> None:
    paths = [
        write(tmp_path, f"c{k}.nc", {"time": 2, "x": 10}, {
            **layouts.times(2 * k, 2), "x": (("x",), np.arange(10.0), {}),
            "v": (("time", "x"), layouts.field(2, 10, seed=k), {}),
        }, zlib=True, chunksizes=(1, chunk))
        for k, chunk in enumerate((5, 10))
    ]  # fmt: skip
    with pytest.raises(ConflictError, match="different lengths along 'x'"):
        refmaker.combine(paths, concat=("time", "x"), load_below=10)
    found = opened(refmaker.combine(paths, concat=("time", "x")), tmp_path)
    np.testing.assert_array_equal(found.v, original([Path(path) for path in paths]).v)


def test_absent_chunks_do_not_become_missing_beside_absent_pieces(tmp_path: Path) -> None:
    paths = []
    for k in range(2):
        paths.append(tmp_path / f"a{k}.h5")
        with h5py.File(paths[-1], "w") as file:
            time = file.create_dataset("time", data=np.arange(2.0) + 2 * k)
            time.make_scale()
            for name in ("v", "w")[: 2 - k]:
                array = file.create_dataset(name, (2, 4), "f4", chunks=(1, 4))
                array[0] = 1
                array.dims[0].attach_scale(time)
    with pytest.raises(ConflictError, match="w: fill value: has none, and some inputs have absent chunks"):
        refmaker.combine(texts(paths), concat="time", on_missing_variable="fill")


# -- places --------------------------------------------------------------------------------------------------------
def test_inputs_are_appended_by_position(tmp_path: Path) -> None:
    paths = [write(tmp_path, f"n{k}.nc", {"x": 3}, {"v": (("x",), np.arange(3.0) + k, {})}) for k in range(3)]
    place = {"m": refmaker.FromPosition()}
    first = tmp_path / "an.json"
    refmaker.write_references(refmaker.combine(paths[:1], concat="m", place=place), first)
    found = opened(refmaker.combine(paths[1:], concat="m", place=place, append_to=str(first)), tmp_path)
    assert found.v.values.tolist() == [[0, 1, 2], [1, 2, 3], [2, 3, 4]]


@pytest.mark.parametrize("dimensions", [("x",), ("time", "x")])
def test_an_array_without_a_place_is_not_left_out(dimensions: tuple[str, ...], tmp_path: Path) -> None:
    values = np.arange(3.0).reshape([1, 3][-len(dimensions) :])
    paths = [
        write(tmp_path, f"s{k}.nc", {"time": 1, "x": 3}, {
            "time": (dimensions[:-1], float(k), {"units": layouts.TIME_UNITS}), "v": (dimensions, values, {}),
        })
        for k in range(2)
    ]  # fmt: skip
    paths.append(write(tmp_path, "s2.nc", {"x": 3}, {"v": (("x",), np.arange(3.0), {})}))
    with pytest.raises(ConflictError, match=r"v: place: has no place along 'time' in s2\.nc"):
        refmaker.combine(paths, concat="time")


def test_an_input_off_a_new_dimension_keeps_its_own_arrays(tmp_path: Path) -> None:
    mask = write(tmp_path, "mask.nc", {"lat": 3}, {"mask": (("lat",), [0, 1, 1], {})})
    found = opened(refmaker.combine([*texts(layouts.one_step(tmp_path)), mask], concat="time"), tmp_path)
    assert found.mask.values.tolist() == [0, 1, 1]


# -- times that are counted anew -------------------------------------------------------------------------------------
@pytest.mark.parametrize(("name", "value"), [("scale_factor", 0.5), ("add_offset", 1.0), ("_Unsigned", "true")])
def test_packed_times_are_not_counted_anew(name: str, value: Any, tmp_path: Path) -> None:
    paths = hours(tmp_path, [{**units, name: value} for units in UNITS], [np.array([0, 1], "i4")] * 2)
    with pytest.raises(ConflictError, match=f"time: units: times are packed .{name}"):
        refmaker.combine(paths, concat="time")


@pytest.mark.parametrize(
    ("kind", "mark", "name"),
    [("i4", -999, "_FillValue"), ("f8", 1e20, "missing_value"), ("f4", 1e20, "_FillValue"), ("i8", -999, "_FillValue")],
)
def test_missing_times_stay_missing(kind: str, mark: float, name: str, tmp_path: Path) -> None:
    def stamp(k: int) -> Any:
        return ("time",), np.array([mark, 1.0], kind), {**UNITS[k], name: np.array(mark, kind)[()]}

    paths = hours(tmp_path, UNITS, [np.arange(2.0)] * 2, variables={"stamp": stamp})
    references = refmaker.combine(paths, concat="time")
    days = np.array(["NaT", "2000-01-02", "NaT", "2000-01-04"], "M8[ns]")
    np.testing.assert_array_equal(opened(references, tmp_path).stamp.values, days)


def test_times_beyond_all_counting_are_refused(tmp_path: Path) -> None:
    paths = hours(tmp_path, UNITS, [np.array([0.0, 1.0]), np.array([0.0, 1e20])])
    with pytest.raises(ConflictError, match="too many days"):
        refmaker.combine(paths, concat="time")


def test_ranges_of_recounted_times_are_dropped_with_a_note(tmp_path: Path) -> None:
    each = [{**units, "actual_range": np.array([0.0, 1.0])} for units in UNITS]
    references = refmaker.combine(hours(tmp_path, each, [np.arange(2.0)] * 2), concat="time")
    assert "actual_range" not in references.root.arrays["time"].metadata.attributes
    assert any("actual_range" in note.sentence for note in references.report.notes)


def test_parts_of_microseconds_are_noted_when_lost(tmp_path: Path) -> None:
    each = [{"units": f"seconds since 2000-01-01 00:{k:02d}"} for k in range(2)]
    references = refmaker.combine(hours(tmp_path, each, [np.array([0.0, 1 + 1e-7])] * 2), concat="time")
    assert "rounded" in [note.code for note in references.report.notes]


def test_bounds_are_counted_like_dates_from_names(tmp_path: Path) -> None:
    paths = [
        write(tmp_path, f"b_200001{day:02d}.nc", {"x": 3, "nv": 2}, {
            "time": ((), 0.5, {"units": f"days since 2000-01-{day:02d}", "bounds": "edges", "valid_max": 9.0}),
            "edges": (("nv",), np.array([0.0, 1.0]), {}),
            "v": (("x",), np.arange(3.0), {}),
        })
        for day in (1, 2)
    ]  # fmt: skip
    references = refmaker.combine(paths, concat="time", place=DATED)
    time, found = references.root.arrays["time"].metadata.attributes, opened(references, tmp_path, decode_times=False)
    assert time["units"] == "days since 2000-01-01"
    assert "valid_max" not in time
    assert found.time.values.tolist() == [0, 1]
    assert found.edges.values.tolist() == [[0, 1], [1, 2]]


def test_recounted_bounds_have_no_dimension_more_than_their_coordinate(tmp_path: Path) -> None:
    paths = [
        write(tmp_path, f"m{member}_{day}.nc", {"time": 1, "nv": 2}, {
            "time": (("time",), [0.0], {"units": f"days since 2000-01-{day:02d}", "bounds": "edges"}),
            "edges": (("time", "nv"), [[0.0, 1.0]], {}),
            "v": (("time",), [10.0 * member + day], {}),
        })
        for member in range(2) for day in (1, 2)
    ]  # fmt: skip
    place = {"member": refmaker.FromName(r"m(\d)_")}
    found = opened(refmaker.combine(paths, concat=["member", "time"], place=place), tmp_path, decode_times=False)
    assert found.v.values.tolist() == [[1, 2], [11, 12]]
    assert found.edges.values.tolist() == [[0, 1], [1, 2]]


def test_bounds_of_another_time_are_refused(tmp_path: Path) -> None:
    variables = {
        "valid": lambda k: (("time",), np.arange(2.0), {**UNITS[k], "bounds": "edges"}),
        "edges": lambda k: (("time", "nv"), np.arange(4.0).reshape(2, 2), {}),
    }
    paths = hours(tmp_path, UNITS, [np.arange(2.0)] * 2, sizes={"nv": 2}, variables=variables)
    with pytest.raises(ConflictError, match="edges: units: bound 'valid'"):
        refmaker.combine(paths, concat="time")


# -- coordinates that are replaced ---------------------------------------------------------------------------------
def test_a_replaced_coordinate_has_nothing_of_the_old_ones_packing(tmp_path: Path) -> None:
    old = {"units": "hours since 1990-01-01", "scale_factor": 0.1, "_FillValue": np.int64(7), "bounds": "e"}
    paths = [
        write(tmp_path, f"r{7 + k}.nc", {"x": 2}, {
            "run": ((), np.int64(0), old), "e": (("x",), [0.0, 1.0], {}), "v": (("x",), [float(k)] * 2, {}),
        })
        for k in range(2)
    ]  # fmt: skip
    references = refmaker.combine(paths, concat="run", place={"run": refmaker.FromName(r"r(\d+)\.nc")})
    run = references.root.arrays["run"].metadata
    assert not run.attributes.keys() & old.keys()
    assert run.fill_value is None
    assert opened(references, tmp_path).run.values.tolist() == [7, 8]


def dated(folder: Path, day: int, **attributes: str) -> str:
    time = ((), 0.0, {"units": f"days since 2000-01-{day:02d}", **attributes})
    return write(folder, f"d_200001{day:02d}.nc", {"x": 2}, {"time": time, "v": (("x",), [float(day)] * 2, {})})


def test_dates_are_appended_to_times_of_the_standard_calendar(tmp_path: Path) -> None:
    existing = tmp_path / "existing.json"
    refmaker.write_references(refmaker.combine([dated(tmp_path, 1), dated(tmp_path, 2)], concat="time"), existing)
    for day in (3, 4):
        more = refmaker.combine([dated(tmp_path, day)], concat="time", place=DATED, append_to=str(existing))
        refmaker.write_references(more, existing)
    found = opened(more, tmp_path)
    assert found.v[:, 0].values.tolist() == [1, 2, 3, 4]
    np.testing.assert_array_equal(found.time, np.array([f"2000-01-0{k}" for k in range(1, 5)], "M8[ns]"))


def test_appending_to_dates_from_names_works_twice(tmp_path: Path) -> None:
    existing = tmp_path / "existing.json"
    refmaker.write_references(refmaker.combine([dated(tmp_path, 1)], concat="time", place=DATED), existing)
    for day in (2, 3):
        more = refmaker.combine([dated(tmp_path, day)], concat="time", place=DATED, append_to=str(existing))
        refmaker.write_references(more, existing)
    np.testing.assert_array_equal(opened(more, tmp_path).time, np.array([f"2000-01-0{k}" for k in (1, 2, 3)], "M8[ns]"))


@pytest.mark.parametrize(
    ("place", "told"),
    [(DATED["time"], "of calendar 'noleap'"), (refmaker.FromName(r"_(\d{8})"), "places are no dates")],
)
def test_places_of_another_kind_are_not_appended(place: Any, told: str, tmp_path: Path) -> None:
    noleap = {"calendar": "noleap"}
    existing = tmp_path / "existing.json"
    refmaker.write_references(refmaker.combine([dated(tmp_path, 1, **noleap)], concat="time"), existing)
    with pytest.raises(ConflictError, match=told):
        refmaker.combine([dated(tmp_path, 2, **noleap)], concat="time", place={"time": place}, append_to=str(existing))


def test_dates_before_the_gregorian_calendar_are_not_appended_to_the_standard_one(tmp_path: Path) -> None:
    existing = tmp_path / "existing.json"
    refmaker.write_references(refmaker.combine([dated(tmp_path, 1)], concat="time"), existing)
    with pytest.raises(ConflictError, match="of calendar 'standard'"):
        refmaker.combine([dated(tmp_path, 2)], concat="time", append_to=str(existing),
                         place={"time": lambda *_: datetime.fromisoformat("1500-01-01T00:00:00+00:00")})  # fmt: skip


def test_flags_of_other_meanings_are_refused(tmp_path: Path) -> None:
    paths = [
        write(tmp_path, f"f{k}.nc", {"time": 1}, {
            **layouts.times(k, 1), "q": (("time",), [1], {"flag_values": [0, 1], "flag_meanings": meanings}),
        })
        for k, meanings in enumerate(("good bad", "bad good"))
    ]  # fmt: skip
    with pytest.raises(ConflictError, match="q: flag_meanings"):
        refmaker.combine(paths, concat="time")
