"""What does not fit is said, all of it, before anything is written; what only seems not to fit is put right."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import refmaker
from refmaker.errors import ConflictError
from tests.combine import layouts
from tests.combine.reading import assert_same, opened, original, texts

Variables = dict[str, Any]


def part(
    folder: Path,
    number: int,
    *,
    change: Callable[[Variables], None] | None = None,
    dimensions: Mapping[str, int | None] | None = None,
    **storage: Any,
) -> Path:
    """Write one of a series of files: two steps of ``v(time, lat, lon)``, 24 values each; ``change`` edits it."""
    variables: Variables = {
        **layouts.grid(),
        **layouts.times(number * 2, 2),
        "v": [("time", "lat", "lon"), layouts.field(2, 3, 4, seed=number), {"units": "K"}],
    }
    if change:
        change(variables)
    sizes = {"time": 2, "lat": 3, "lon": 4, **(dimensions or {})}
    return layouts.write(
        folder / f"part{number}.nc", sizes, variables, **{"zlib": True, "chunksizes": (1, 3, 4), **storage}
    )


def attribute(name: str, value: Any, variable: str = "v") -> Callable[[Variables], None]:
    return lambda variables: variables[variable][2].update({name: value})


def values(name: str, new: Any) -> Callable[[Variables], None]:
    def change(variables: Variables) -> None:
        names, _, attributes = variables[name]
        variables[name] = (names, new, attributes)

    return change


def as_type(data_type: str) -> Callable[[Variables], None]:
    return lambda variables: variables["v"].__setitem__(1, variables["v"][1].astype(data_type))


@dataclass(frozen=True)
class Case:
    """A series of which one file is odd, and words of the conflict that must be told."""

    name: str
    odd: dict[str, Any]
    told: tuple[str, ...]
    asked: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name


def longer(variables: Variables) -> None:
    values("time", np.array([2, 2.5, 3]))(variables)
    variables["v"][1] = layouts.field(3, 3, 4)


def without_v(variables: Variables) -> None:
    del variables["v"]


def renamed(variables: Variables) -> None:
    variables["v"][0] = ("time", "y", "lon")


ALL = {"load_below": 0}
CASES = (
    Case("data type", {"change": as_type("f8")}, ("v: dtype", "float32 in 2 inputs", "float64 in part1.nc")),
    Case("byte order", {"change": as_type(">f4")}, ("v: byte order", ">f4 in part1.nc"), ALL),
    Case("chunk shape", {"chunksizes": (1, 3, 2)}, ("v: chunk shape", "1 x 3 x 4 in 2", "1 x 3 x 2 in part1.nc"), ALL),
    Case("codecs", {"zlib": False}, ("v: codecs", "shuffle zlib in 2", "no codecs in part1.nc"), ALL),
    Case("fill", {"change": attribute("_FillValue", np.float32(-9))}, ("v: fill value", "none in 2", "-9.0 in part1")),
    Case("scale", {"change": attribute("scale_factor", 0.5)}, ("v: scale_factor", "none in 2", "0.5 in part1.nc")),
    Case("offset", {"change": attribute("add_offset", 1.0)}, ("v: add_offset", "1.0 in part1.nc")),
    Case("missing value", {"change": attribute("missing_value", np.float32(9))}, ("v: missing_value",)),
    Case("units", {"change": attribute("units", "degC")}, ("v: units", "'K' in 2", "'degC' in part1.nc")),
    Case("calendar", {"change": attribute("calendar", "noleap", "time")}, ("time: calendar", "'noleap' in part1.nc")),
    Case("time or not", {"change": attribute("units", "1", "time")}, ("time: units", "'1' in part1.nc")),
    Case("dimension names", {"change": renamed, "dimensions": {"y": 3}}, ("v: dimensions", "(time, y, lon) in")),
    Case("size", {"change": lambda v: (values("lon", np.arange(5.0))(v), values("v", layouts.field(2, 3, 5))(v)),
                  "dimensions": {"lon": 5}}, ("size of dimension 'lon'", "5 in part1.nc")),
    Case("other grid", {"change": values("lat", np.arange(3.0))}, ("lat: coordinate values", "part1.nc", "lat")),
    Case("to and fro", {"change": values("time", [3.0, 2.0])}, ("time: order", "part1.nc")),
    Case("twice", {"change": values("time", [0.0, 1.0])}, ("v: twice", "part0.nc, part1.nc"), ALL),
    Case("twice, small", {"change": values("time", [0.0, 1.0])}, ("v: values", "differ", "part1.nc")),
    Case("overlap", {"change": values("time", [1.0, 2.0])}, ("time: overlap", "2000-01-02", "part0.nc and part1.nc")),
    Case("interleaved", {"change": values("time", [3.0, 6.0])}, ("time: overlap", "part1.nc and part2.nc interleave")),
    Case("missing values", {"change": values("time", [np.nan, 2.0])}, ("time: order", "missing", "part1.nc")),
    Case("missing variable", {"change": without_v}, ("v: missing variable", "not in part1.nc")),
    Case("length", {"change": longer, "dimensions": {"time": 3}, "chunksizes": (2, 3, 4)},
         ("v: chunks", "does not divide the length 3 of part1.nc"), ALL),
    Case("gap", {"change": values("time", [6.0, 7.0])}, ("time: gap", "about 2 steps missing"), {"on_gap": "raise"}),
    Case("attribute", {"change": attribute("long_name", "wind")}, ("attribute 'long_name'",), {"attrs": "identical"}),
)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_an_odd_file_is_refused_with_the_reason(case: Case, tmp_path: Path) -> None:
    others = {"chunksizes": (2, 3, 4)} if case.name == "length" else {}
    paths = [part(tmp_path, 0, **others), part(tmp_path, 1, **case.odd), part(tmp_path, 2, **others)]
    with pytest.raises(ConflictError) as caught:
        refmaker.combine(texts(paths), concat="time", **case.asked)
    for words in case.told:
        assert any(word in caught.value.message for word in words.split("|")), caught.value.message
    assert len(caught.value.conflicts) == 1, caught.value.message


def test_all_conflicts_are_told_at_once(tmp_path: Path) -> None:
    def change(variables: Variables) -> None:
        attribute("scale_factor", 0.1)(variables)
        attribute("units", "degC")(variables)
        values("lat", np.arange(3.0))(variables)
        values("lon", np.arange(4.0))(variables)

    paths = [part(tmp_path, 0), part(tmp_path, 1, change=change), part(tmp_path, 2)]
    with pytest.raises(ConflictError, match=r"3 inputs .*4 conflicts") as caught:
        refmaker.combine(texts(paths), concat="time")
    assert caught.value.conflicts == (
        "v: units: 'K' in 2 inputs (part0.nc, part2.nc); 'degC' in part1.nc",
        "v: scale_factor: none in 2 inputs (part0.nc, part2.nc); 0.1 in part1.nc",
        "lat: coordinate values: differ from the first input's in part1.nc",
        "lon: coordinate values: differ from the first input's in part1.nc",
    )


# -- what only seems not to fit ------------------------------------------------------------------------------------
HARMLESS = {
    "another compression level": ({"complevel": 9}, {}),
    "unsorted inputs": ({}, {}),
    "values in another byte order": ({"change": as_type(">f4")}, {}),
    "a small variable in another chunk shape": ({"chunksizes": (1, 3, 2)}, {}),
    "a small variable with other codecs": ({"zlib": False, "chunksizes": None}, {}),
    "a coordinate stored otherwise": ({"change": lambda v: v["lat"][2].update(comment="x")}, {}),
}


@pytest.mark.parametrize("name", HARMLESS)
def test_what_reads_alike_goes_together(name: str, tmp_path: Path) -> None:
    odd, asked = HARMLESS[name]
    paths = [part(tmp_path, 2), part(tmp_path, 0), part(tmp_path, 1, **odd)]
    found = opened(refmaker.combine(texts(paths), concat="time", **asked), tmp_path)
    xr.testing.assert_equal(found, original(sorted(paths)))


def test_unsorted_steps_keep_their_times(tmp_path: Path) -> None:
    paths = layouts.one_step(tmp_path)
    found = opened(refmaker.combine(texts([paths[k] for k in (3, 0, 4, 1, 2)]), concat="time"), tmp_path)
    for step in range(5):
        np.testing.assert_array_equal(found.t2m[step], layouts.field(3, 4, seed=step))


def test_the_last_file_may_end_within_a_chunk(tmp_path: Path) -> None:
    paths = [
        layouts.write(
            tmp_path / f"{k}.nc",
            {"time": n, "x": 3},
            {**layouts.times(4 * k, n), "v": (("time", "x"), layouts.field(n, 3, seed=k), {})},
            zlib=True,
            chunksizes=(2, 3),
        )
        for k, n in enumerate((4, 4, 3))
    ]
    references = refmaker.combine(texts(paths), concat="time", load_below=0)
    assert references.root.arrays["v"].metadata.chunk_shape == (2, 3)
    assert_same(opened(references, tmp_path), original(paths))


def test_uncompressed_pieces_of_unequal_lengths_are_cut_to_a_common_divisor(tmp_path: Path) -> None:
    paths = layouts.classic(tmp_path, lengths=(4, 6, 10))
    references = refmaker.combine(texts(paths), concat="day", load_below=0)
    array = references.root.arrays["pr"]
    assert array.metadata.chunk_shape == (2, 3, 4)
    assert array.metadata.codecs == ()
    assert_same(opened(references, tmp_path), original(paths))


def test_times_counted_by_different_clocks_are_exact(tmp_path: Path) -> None:
    units = ["hours since 2000-01-01", "days since 2000-01-02", "seconds since 1999-12-31 12:00"]
    moments = [np.array([0.0, 6.5]), np.array([0.0, 0.25]), np.array([3 * 86400 - 43200, 3 * 86400 - 43199])]
    paths = [
        layouts.write(
            tmp_path / f"{k}.nc",
            {"time": 2},
            {"time": (("time",), moment, {"units": unit}), "v": (("time",), np.arange(2.0) + k, {})},
        )
        for k, (unit, moment) in enumerate(zip(units, moments, strict=True))
    ]
    found = opened(refmaker.combine(texts(paths), concat="time"), tmp_path)
    np.testing.assert_array_equal(found.time, original(paths).time)
    assert found.time.encoding["units"] == "seconds since 2000-01-01"


# -- policies ------------------------------------------------------------------------------------------------------
def test_missing_variables_may_be_left_absent(tmp_path: Path) -> None:
    paths = [part(tmp_path, 0), part(tmp_path, 1, change=without_v), part(tmp_path, 2)]
    references = refmaker.combine(texts(paths), concat="time", on_missing_variable="fill")
    found = opened(references, tmp_path)
    assert np.isnan(found.v[2:4]).all()
    assert not np.isnan(found.v[[0, 1, 4, 5]]).any()
    assert [note.code for note in references.report.notes] == ["absent"]


def test_integers_without_fill_value_are_never_left_absent(tmp_path: Path) -> None:
    paths = [
        part(tmp_path, 0, change=as_type("i2")),
        part(tmp_path, 1, change=without_v),
        part(tmp_path, 2, change=as_type("i2")),
    ]
    with pytest.raises(ConflictError, match="would read as zeros"):
        refmaker.combine(texts(paths), concat="time", on_missing_variable="fill")


def test_holes_of_the_grid_are_refused_or_left_absent(tmp_path: Path) -> None:
    paths = [path for path in layouts.tiles(tmp_path) if path.name != "tile_1_0_2.nc"]
    with pytest.raises(ConflictError, match=r"rain: missing: no input for \(time 2000-01-03, y 100, x 10\)"):
        refmaker.combine(texts(paths), concat=["time", "y", "x"])
    found = opened(refmaker.combine(texts(paths), concat=["time", "y", "x"], join="outer"), tmp_path)
    assert np.isnan(found.rain[2:, :4, 10:]).all()
    assert np.isnan(found.rain).sum() == 2 * 4 * 5


def test_loaded_arrays_with_absent_pieces_read_as_fill_too(tmp_path: Path) -> None:
    paths = [part(tmp_path, 0, chunksizes=(2, 3, 4)), part(tmp_path, 1, change=without_v), part(tmp_path, 2)]
    references = refmaker.combine(texts(paths), concat="time", on_missing_variable="fill")
    assert [note.code for note in references.report.notes] == ["absent", "loaded"]
    found = opened(references, tmp_path)
    np.testing.assert_array_equal(np.isnan(found.v).all(axis=(1, 2)), [False, False, True, True, False, False])


def test_a_stray_input_is_noted(tmp_path: Path) -> None:
    stray = layouts.write(tmp_path / "mask.nc", {"lat": 3}, {"mask": (("lat",), [0, 1, 1], {})})
    references = refmaker.combine(texts([part(tmp_path, 0), part(tmp_path, 1), stray]), concat="time")
    assert "only merged: mask.nc" in references.report.notes[0].sentence
    np.testing.assert_array_equal(opened(references, tmp_path).mask, [0, 1, 1])


def test_inputs_without_rows_are_left_out(tmp_path: Path) -> None:
    empty = layouts.write(
        tmp_path / "empty.nc",
        {"time": None, "lat": 3, "lon": 4},
        {
            **layouts.grid(),
            **layouts.times(0, 0),
            "v": (("time", "lat", "lon"), layouts.field(0, 3, 4), {"units": "K"}),
        },
        zlib=True,
    )
    paths = [part(tmp_path, 0), part(tmp_path, 1)]
    assert_same(opened(refmaker.combine(texts([*paths, empty]), concat="time"), tmp_path), original(paths))


@pytest.mark.parametrize("policy", ["first", "last"])
def test_overlapping_rows_are_taken_from_one_of_the_inputs(policy: Any, tmp_path: Path) -> None:
    paths = [part(tmp_path, 0), part(tmp_path, 1, change=values("time", [1.0, 2.0])), part(tmp_path, 2)]
    found = opened(refmaker.combine(texts(paths), concat="time", on_overlap=policy, load_below=0), tmp_path)
    assert found.sizes["time"] == 5
    np.testing.assert_array_equal(found.v[1], layouts.field(2, 3, 4, seed=0)[1] if policy == "first" else
                                  layouts.field(2, 3, 4, seed=1)[0])  # fmt: skip
    np.testing.assert_array_equal(found.v[2], layouts.field(2, 3, 4, seed=1)[1])


def test_the_last_of_inputs_with_the_same_rows_counts(tmp_path: Path) -> None:
    """Its rows were taken for those of the first that has them too, and lost to an input between them."""
    rows = values("time", [0.0, 1.0])
    paths = [part(tmp_path, n, change=rows) for n in (1, 0, 2)]
    with pytest.raises(ConflictError, match="v: twice"):
        refmaker.combine(texts(paths), concat="time", on_overlap="last", load_below=0)


def test_rows_that_are_wholly_elsewhere_drop_their_input(tmp_path: Path) -> None:
    paths = [part(tmp_path, 0), part(tmp_path, 1), part(tmp_path, 2, change=values("time", [0.0, 3.0]))]
    found = opened(refmaker.combine(texts(paths), concat="time", on_overlap="first"), tmp_path)
    assert_same(found, original(paths[:2]))


def test_values_that_differ_are_settled_as_asked(tmp_path: Path) -> None:
    def station(number: int) -> Callable[[Variables], None]:
        return lambda variables: variables.update(run=((), np.float64(number), {"units": "1"}))

    paths = [part(tmp_path, number, change=station(number)) for number in range(2)]
    with pytest.raises(ConflictError, match=r"run: values: differ from the first input's in part1\.nc"):
        refmaker.combine(texts(paths), concat="time")
    first = refmaker.combine(texts(paths), concat="time", on_differing="first")
    assert opened(first, tmp_path).run == 0
    assert first.report.notes[0].code == "differing"
    assert "run" not in opened(refmaker.combine(texts(paths), concat="time", on_differing="drop"), tmp_path)
    assert "run" not in opened(refmaker.combine(texts(paths), concat="time", exclude=["run"]), tmp_path)
    assert opened(refmaker.combine(texts(paths), concat="time", same=["run"]), tmp_path).run == 0


def test_values_that_differ_are_stacked_where_every_input_has_one_row(tmp_path: Path) -> None:
    paths = [
        layouts.write(
            tmp_path / f"{k}.nc",
            {"time": 1, "x": 3},
            {
                **layouts.times(k, 1),
                "v": (("time", "x"), layouts.field(1, 3), {}),
                "w": (("x",), np.arange(3.0) + k, {}),
            },
        )
        for k in range(3)
    ]
    found = opened(refmaker.combine(texts(paths), concat="time", on_differing="stack"), tmp_path)
    assert found.w.dims == ("time", "x")
    np.testing.assert_array_equal(found.w[:, 0], [0, 1, 2])


def test_attributes_are_merged_as_asked(tmp_path: Path) -> None:
    paths = [
        part(tmp_path, 0, change=attribute("cell_methods", "mean")),
        part(tmp_path, 1, change=attribute("long_name", "one")),
        part(tmp_path, 2, change=attribute("long_name", "two")),
    ]
    first = refmaker.combine(texts(paths), concat="time")
    assert opened(first, tmp_path).v.attrs == {"units": "K", "cell_methods": "mean"}
    assert "long_name, cell_methods" in first.report.notes[0].sentence
    common = refmaker.combine(texts(paths), concat="time", attrs="drop-conflicts")
    assert opened(common, tmp_path).v.attrs == {"units": "K", "cell_methods": "mean"}


def test_a_file_that_was_scanned_twice_as_different_files_is_refused(tmp_path: Path) -> None:
    one = refmaker.scan(str(part(tmp_path, 0)))
    part(tmp_path, 0, zlib=False)
    other = refmaker.scan(str(tmp_path / "part0.nc"))
    with pytest.raises(ConflictError, match="changed between the scans of 2 inputs"):
        refmaker.combine([one, other], concat="time")


def stations(folder: Path, *names: Sequence[str]) -> list[Path]:
    return [
        layouts.write(
            folder / f"stations{number}.nc",
            {"station": len(some)},
            {"station": (("station",), np.array(some), {}), "v": (("station",), layouts.field(len(some)), {})},
        )
        for number, some in enumerate(names)
    ]


def test_names_are_coordinates_too(tmp_path: Path) -> None:
    paths = stations(tmp_path, ["Sylt", "Trier"], ["Aachen", "Zürich"])
    found = opened(refmaker.combine(texts(paths), concat="station"), tmp_path)
    assert found.station.values.tolist() == ["Aachen", "Zürich", "Sylt", "Trier"]
    twice = stations(tmp_path, ["Sylt", "Trier"], ["Aachen", "Trier"])
    with pytest.raises(ConflictError, match=r"Trier is in 2 inputs \(stations0\.nc, stations1\.nc\)"):
        refmaker.combine(texts(twice), concat="station")


def test_times_that_start_anew_may_be_placed_by_position_or_name(tmp_path: Path) -> None:
    paths = [part(tmp_path, 0), part(tmp_path, 1, change=values("time", [0.0, 1.0]))]
    by_name = {"time": refmaker.FromName(r"part(\d)")}
    with pytest.raises(ConflictError, match="time: overlap"):
        refmaker.combine(texts(paths), concat="time", place=by_name)
    by_position = {"time": refmaker.FromPosition()}
    found = opened(refmaker.combine(texts(paths[::-1]), concat="time", place=by_position), tmp_path)
    assert found.sizes["time"] == 4
    np.testing.assert_array_equal(found.v[2:], layouts.field(2, 3, 4, seed=0))


def test_gaps_are_noted(tmp_path: Path) -> None:
    paths = [part(tmp_path, number) for number in (0, 1, 2, 3, 6)]
    from refmaker.combine.combination import combination
    from refmaker.combine.options import CombineOptions
    from refmaker.references.combining import opened as inputs_of

    (axis,) = combination(inputs_of(texts(paths)), CombineOptions(concat=("time",))).axes
    assert axis.gaps == ("about 4 steps missing between 2000-01-08 and 2000-01-13",)
    assert (axis.first, axis.last, axis.length, axis.blocks) == ("2000-01-01", "2000-01-14", 10, 5)


# -- options -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"concat": ["time", "time"]}, "twice"),
        ({"place": {"z": refmaker.FromPosition()}}, "'z'"),
        ({"attrs": "some"}, "not one of first, identical"),
        ({"same": "x"}, "one string"),
        ({"load_below": -1}, "-1"),
        ({"concat": "t", "place": {"t": 7}}, "tells no place"),
    ],
)
def test_options_that_make_no_sense_are_refused(asked: dict[str, Any], told: str, tmp_path: Path) -> None:
    with pytest.raises(refmaker.OptionError, match=told):
        refmaker.combine([part(tmp_path, 0)], **asked)


def test_nothing_cannot_be_combined() -> None:
    with pytest.raises(refmaker.OptionError, match="nothing to combine"):
        refmaker.combine([])


def test_patterns_are_checked_at_once() -> None:
    with pytest.raises(refmaker.OptionError, match="no regular expression"):
        refmaker.FromName("(")


@pytest.mark.parametrize(
    ("place", "told"),
    [
        (refmaker.FromName(r"r(\d)"), "does not say"),
        (refmaker.FromAttribute("member"), "does not say"),
        (lambda label, _: 1 if "part0" in label else "b", "numbers and text"),
    ],
)
def test_inputs_that_do_not_say_where_they_belong_are_named(place: Any, told: str, tmp_path: Path) -> None:
    paths = [part(tmp_path, 0), part(tmp_path, 1, change=values("time", [0.0, 1.0]))]
    with pytest.raises(ConflictError, match=told):
        refmaker.combine(texts(paths), concat="member", place={"member": place})


def test_dimensions_that_are_nowhere_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConflictError, match="member: dimension: no input has it"):
        refmaker.combine(texts([part(tmp_path, 0)]), concat="member")
    with pytest.raises(ConflictError, match="scan: coordinate: no such variable"):
        refmaker.combine(texts(layouts.swaths(tmp_path)), concat="scan")
