"""Combined data sets are what xarray makes of the original files."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import refmaker
from tests.combine import layouts
from tests.combine.reading import assert_same, opened, original, texts


@dataclass(frozen=True)
class Case:
    """A layout, how refmaker is asked to combine it, and how xarray is."""

    make: Callable[[Path], list[Path]]
    asked: dict[str, Any]
    xarray: dict[str, Any] = field(default_factory=dict)
    adjust: Callable[[xr.Dataset], xr.Dataset] = lambda dataset: dataset

    def __str__(self) -> str:
        return f"{self.make.__name__}-{'-'.join(self.asked.get('concat', ()))}"


def nested(name: str, **more: Any) -> dict[str, Any]:
    return {"combine": "nested", "concat_dim": name, "data_vars": "all", "coords": "minimal", **more}


def as_member(dataset: xr.Dataset) -> xr.Dataset:
    return dataset.assign_coords(member=("member", [1, 2, 10]))


def as_dates(dataset: xr.Dataset) -> xr.Dataset:
    times = np.array(["2001-01-15", "2001-02-15", "2001-03-15"], "M8[ns]")
    dataset = dataset.assign_coords(time=("time", times))
    dataset.time.encoding.update(units="days since 2001-01-15", calendar="proleptic_gregorian")
    return dataset


CASES = (
    Case(layouts.monthly, {"concat": ["time"]}),
    Case(
        layouts.one_step,
        {"concat": ["time"]},
        nested("time", preprocess=lambda dataset: dataset.set_coords("time")),
    ),
    Case(layouts.tiles, {"concat": ["time", "y", "x"]}),
    Case(
        layouts.ensemble,
        {"concat": ["member"], "place": {"member": refmaker.FromName(r"_r(\d+)i")}},
        nested("member"),
        as_member,
    ),
    Case(layouts.packed, {"concat": ["time"]}),
    Case(layouts.classic, {"concat": ["day"]}),
    Case(layouts.classic, {"concat": ["day"], "load_below": 0}),
    Case(
        layouts.lone_record,
        {"concat": ["time"], "place": {"time": refmaker.FromPosition()}, "load_below": 0},
        nested("time", data_vars="minimal"),
    ),
    Case(layouts.two_variables, {"concat": ["time"]}),
    Case(layouts.drifting_units, {"concat": ["time"]}),
    Case(
        layouts.named_steps,
        {"concat": ["time"], "place": {"time": refmaker.FromName(r"\.(?P<time>\d{8})\.", date_format="%Y%m%d")}},
        nested("time"),
        as_dates,
    ),
    Case(
        layouts.swaths,
        {"concat": ["scan"], "place": {"scan": refmaker.FromPosition()}, "load_below": 0},
        nested("scan"),
    ),
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_combination_is_what_xarray_makes_of_the_files(case: Case, tmp_path: Path) -> None:
    paths = case.make(tmp_path)
    if case.make is layouts.monthly:
        case.asked["load_below"] = 1 << 20
    found = opened(refmaker.combine(texts(paths), **case.asked), tmp_path)
    order = sorted(paths) if case.make is not layouts.ensemble else paths
    expected = case.adjust(original(order, **case.xarray))
    assert_same(found, expected)


def test_every_group_is_concatenated_along_its_own_dimension(tmp_path: Path) -> None:
    paths = layouts.grouped(tmp_path)
    references = refmaker.combine(texts(paths), concat="time")
    for group in ("hourly", "daily"):
        assert_same(opened(references, tmp_path, group=group), original(paths, group=group))
    inner = opened(references, tmp_path, group="daily/inner")
    with xr.open_dataset(paths[0], group="daily/inner") as first:
        assert inner.level.sizes == {"time": 3, "x": 3}
        np.testing.assert_array_equal(inner.level[0], first.level[0])


def test_inputs_may_be_references_in_memory_and_on_disk_and_files_to_scan(tmp_path: Path) -> None:
    paths = layouts.packed(tmp_path)
    refmaker.write_references(refmaker.scan(str(paths[1])), tmp_path / "part.json")
    inputs = (item for item in (refmaker.scan(str(paths[0])), tmp_path / "part.json", str(paths[2])))
    assert_same(opened(refmaker.combine(inputs, concat="time"), tmp_path), original(paths))


@pytest.mark.parametrize("make", [layouts.packed, layouts.one_step, layouts.classic, layouts.drifting_units])
def test_appending_is_combining_all(make: Callable[[Path], list[Path]], tmp_path: Path) -> None:
    paths = make(tmp_path)
    name = "day" if make is layouts.classic else "time"
    first = refmaker.combine(texts(paths[:2]), concat=name)
    refmaker.write_references(first, tmp_path / "existing.json")
    appended = refmaker.combine(texts(paths[2:]), append_to=tmp_path / "existing.json", concat=name)
    everything = refmaker.combine(texts(paths), concat=name)
    xr.testing.assert_identical(opened(appended, tmp_path), opened(everything, tmp_path))


def test_a_named_member_is_appended(tmp_path: Path) -> None:
    paths = layouts.ensemble(tmp_path)
    place = {"member": refmaker.FromName(r"_r(\d+)i")}
    first = refmaker.combine(texts(paths[:2]), concat="member", place=place)
    found = opened(refmaker.combine(texts(paths[2:]), append_to=first, concat="member", place=place), tmp_path)
    assert_same(found, as_member(original(paths, **nested("member"))))


def test_dates_from_names_are_appended(tmp_path: Path) -> None:
    paths = layouts.named_steps(tmp_path)
    place = {"time": refmaker.FromName(r"\.(\d{8})\.", date_format="%Y%m%d")}
    first = refmaker.combine(texts(paths[:1]), concat="time", place=place)
    found = opened(refmaker.combine(texts(paths[1:]), append_to=first, concat="time", place=place), tmp_path)
    assert_same(found, as_dates(original(paths, **nested("time"))))


def test_members_and_times_make_a_grid(tmp_path: Path) -> None:
    paths = []
    for member in ("a", "b"):
        for year in (1, 2):
            values = {**layouts.grid(), **layouts.times(365 * year, 2)}
            values["t"] = (("time", "lat", "lon"), layouts.field(2, 3, 4, seed=year + 10 * (member == "b")), {})
            paths.append(layouts.write(tmp_path / f"{member}_{year}.nc", {"time": 2, "lat": 3, "lon": 4}, values))
    place = {"member": refmaker.FromName(r"/(?P<member>[ab])_\d")}
    found = opened(refmaker.combine(texts(paths[::-1]), concat=["member", "time"], place=place), tmp_path)
    rows = [original(paths[k : k + 2]) for k in (0, 2)]
    expected = xr.concat(rows, "member", data_vars="all", coords="minimal", compat="override", join="exact")
    assert_same(found, expected.assign_coords(member=("member", np.array(["a", "b"], object))))


def test_values_may_be_placed_by_a_callable_and_by_an_attribute(tmp_path: Path) -> None:
    paths = [
        layouts.write(tmp_path / f"{level}.nc", {"x": 3}, {"v": (("x",), layouts.field(3, seed=level), {})},
                      attributes={"level": level})
        for level in (850, 500, 250)
    ]  # fmt: skip
    by_name = refmaker.combine(
        texts(paths), concat="level", place={"level": lambda label, _: float(Path(label).stem)}, exclude=["x"]
    )
    by_attribute = refmaker.combine(texts(paths), concat="level", place={"level": refmaker.FromAttribute("level")})
    for references in (by_name, by_attribute):
        found = opened(references, tmp_path)
        np.testing.assert_array_equal(found.level, [250, 500, 850])
        np.testing.assert_array_equal(found.v[2], layouts.field(3, seed=850))


def test_differing_coordinates_become_part_of_a_new_dimension(tmp_path: Path) -> None:
    paths = [
        layouts.write(
            tmp_path / f"m{k}.nc",
            {"x": 3},
            {
                "depth": (("x",), layouts.field(3, seed=k), {}),
                "mask": (("x",), np.arange(3, dtype="i2"), {}),
                "v": (("x",), layouts.field(3, seed=k + 5), {"coordinates": "depth mask"}),
            },
        )
        for k in range(2)
    ]
    found = opened(refmaker.combine(texts(paths), concat="m", place={"m": refmaker.FromPosition()}), tmp_path)
    assert found.depth.dims == ("m", "x")
    assert found.mask.dims == ("x",)
    np.testing.assert_array_equal(found.depth[1], layouts.field(3, seed=1))
