"""``refmaker combine``: what it writes, says and returns."""

import json
import shutil
from pathlib import Path

import pytest
import xarray as xr

import refmaker
from refmaker.cli import run
from refmaker.cli.failures import ExitCode
from tests.combine import layouts
from tests.combine.reading import opened, original, texts


def shown_by(path: Path) -> xr.Dataset:
    with xr.open_zarr(f"refmaker://{path}", chunks=None) as dataset:
        return dataset.load()


def test_files_become_one_document(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = layouts.packed(tmp_path)
    out = tmp_path / "all.json"
    assert run(["combine", *texts(paths), "--concat", "time", "-o", str(out)]) == 0
    said = capsys.readouterr().out
    assert f"3 inputs, 3 files, 9 chunks: written to {out}" in said
    assert "time: 6 in 3 pieces, 2000-01-01 to 2000-01-06" in said
    assert "└─ time  float64  time 6" in said
    xr.testing.assert_identical(shown_by(out), original(paths))


def test_a_dry_run_shows_the_result_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = layouts.packed(tmp_path)
    before = sorted(tmp_path.iterdir())
    assert run(["combine", texts(paths)[0], texts(paths)[2], "--concat", "time", "--dry-run"]) == 0
    assert "nothing written (--dry-run)" in capsys.readouterr().out
    assert sorted(tmp_path.iterdir()) == before


def test_a_document_is_extended_in_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = layouts.packed(tmp_path)
    out = tmp_path / "all.json"
    assert run(["combine", *texts(paths[:2]), "--concat", "time", "-o", str(out)]) == 0
    assert run(["combine", "--append", str(out), str(paths[2]), "--concat", "time"]) == 0
    xr.testing.assert_identical(shown_by(out), original(paths))
    before = out.read_bytes()
    capsys.readouterr()
    assert run(["combine", "--append", str(out), str(paths[2]), "--concat", "time"]) == ExitCode.NOTHING_DONE
    assert "overlap" in capsys.readouterr().err
    assert out.read_bytes() == before
    again = ["combine", "--append", str(out), str(paths[2]), "--concat", "time", "--on-overlap", "first"]
    assert run(again) == 0
    xr.testing.assert_identical(shown_by(out), original(paths))


def test_conflicts_are_told_line_by_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [
        layouts.write(tmp_path / f"{k}.nc", {"x": 2 + k}, {"v": (("x",), [k] * (2 + k), {"scale_factor": 1 + k // 2})})
        for k in range(3)
    ]
    out = tmp_path / "all.json"
    code = run(["combine", *texts(paths), "-o", str(out)])
    assert code == ExitCode.NOTHING_DONE
    assert capsys.readouterr().err.splitlines() == [
        f"error: 3 inputs of {tmp_path}/ cannot be combined: 2 conflicts",
        "  v: size of dimension 'x'",
        "      2 in 0.nc",
        "      3 in 1.nc",
        "      4 in 2.nc",
        "    → concatenate along that dimension too (--concat), or --exclude the variable",
        "  v: scale_factor",
        "      1 in 2 inputs (0.nc, 1.nc)",
        "      2 in 2.nc",
        "    → one array has one scale: leave the odd inputs out, or --exclude the variable",
    ]
    assert not out.exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["--concat", "time", "-o", "x.xyz"],
        ["--concat", "time"],
        ["--from", "time", "-o", "x.json"],
        ["--from", "time=never", "--concat", "time", "-o", "x.json"],
        ["--dates", "time=%Y", "--concat", "time", "-o", "x.json"],
        ["--from", "time=position", "-o", "x.json"],
        ["--join", "outer", "-o", "x.json"],
        ["*.no", "-o", "x.json"],
        ["--on-overlap", "first", "-o", "x.json"],
        ["--on-gap", "raise", "-o", "x.json"],
        ["--relative", "--concat", "time", "--dry-run"],
    ],
)
def test_command_lines_that_make_no_sense(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = layouts.packed(tmp_path)[0]
    monkeypatch.chdir(tmp_path)
    assert run(["combine", str(path), *arguments]) == ExitCode.USAGE


def test_an_input_is_never_overwritten(tmp_path: Path) -> None:
    (path, *_) = layouts.packed(tmp_path)
    refmaker.write_references(refmaker.scan(str(path)), tmp_path / "one.json")
    assert run(["combine", str(tmp_path / "one.json"), "-o", str(tmp_path / "one.json")]) == ExitCode.USAGE


def test_places_come_from_names_and_dates(tmp_path: Path) -> None:
    out = tmp_path / "dated.json"
    arguments = ["--concat", "time", "--from", r"time=name:\.(\d{8})\.", "--dates", "time=%Y%m%d"]
    assert run(["combine", *texts(layouts.named_steps(tmp_path)), *arguments, "-o", str(out)]) == 0
    assert [str(time)[:10] for time in shown_by(out).time.values] == ["2001-01-15", "2001-02-15", "2001-03-15"]


def test_documents_may_be_relative_and_move(tmp_path: Path) -> None:
    folder = tmp_path / "archive"
    folder.mkdir()
    paths = layouts.packed(folder)
    expected = original(paths)
    out = folder / "all.json"
    assert run(["combine", *texts(paths), "--concat", "time", "-o", str(out), "--relative"]) == 0
    assert json.loads(out.read_bytes())["refs"]["t/0.0.0"][0] == "era_0.nc"
    shutil.move(folder, tmp_path / "moved")
    xr.testing.assert_identical(shown_by(tmp_path / "moved" / "all.json"), expected)
    assert run(["combine", *texts(layouts.packed(tmp_path)), "--concat", "time", "--relative", "-o",
                str(tmp_path / "moved" / "b.json")]) == ExitCode.USAGE  # fmt: skip


def test_skipped_datasets_are_said_and_are_the_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import h5py

    paths = []
    for number in range(2):
        with h5py.File(tmp_path / f"{number}.h5", "w") as file:
            file["null"] = h5py.Empty("<f4")
            file["t"] = [float(number)]
            file["t"].make_scale("t")
            file.create_dataset("v", data=[number], chunks=(1,)).dims[0].attach_scale(file["t"])
        paths.append(tmp_path / f"{number}.h5")
    out = tmp_path / "out.json"
    arguments = ["combine", *texts(paths), "--concat", "t", "-o", str(out)]
    assert run(arguments) == ExitCode.NOTHING_DONE
    assert run([*arguments, "--on-unsupported", "skip"]) == ExitCode.DONE_IN_PART
    said = capsys.readouterr().out
    assert "skipped 1 dataset" in said
    assert "(in 2 inputs)" in said
    assert shown_by(out).v.values.tolist() == [0, 1]


def test_notes_are_counted_and_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["combine", *texts(layouts.monthly(tmp_path)), "--concat", "time", "--dry-run"]
    assert run(arguments) == 0
    assert "-v lists them" in capsys.readouterr().out
    assert run([*arguments, "-v"]) == 0
    assert "/: attribute: inputs differ, the first one's are kept: history" in capsys.readouterr().out


def test_the_command_does_what_the_function_does(tmp_path: Path) -> None:
    paths = layouts.tiles(tmp_path)
    out = tmp_path / "tiles.json"
    concat = [word for name in ("time", "y", "x") for word in ("--concat", name)]
    assert run(["combine", *texts(paths), *concat, "-o", str(out)]) == 0
    expected = opened(refmaker.combine(texts(paths), concat=["time", "y", "x"]), tmp_path)
    xr.testing.assert_identical(shown_by(out), expected)
