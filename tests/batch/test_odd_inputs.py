"""Inputs with odd names, links, and outputs that somebody else touched: none costs more than itself, none is missed."""

import glob
import os
from pathlib import Path

import h5py
import pytest
import xarray as xr

import refmaker
from refmaker.batch import inputs
from refmaker.batch.ledger import NAME, FileState, Ledger
from refmaker.errors import OptionError


def written(path: Path, value: int, name: str = "v") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file.attrs["value"] = value
        file.create_dataset(name, data=[value], chunks=(1,))
    return path


def failures(job: Path) -> dict[str, str]:
    with Ledger(job / NAME, read_only=True) as ledger:
        states = (FileState.FAILED, FileState.QUARANTINED)
        return {row.url.rpartition("/")[2]: row.message or "" for row in ledger.rows(*states)}


@pytest.mark.parametrize("on_error", ["skip", "quarantine"])
@pytest.mark.parametrize(
    ("name", "shown", "why"), [(b"{{x.h5", "{{x.h5", "template"), (b"\xff.h5", r"\udcff.h5", "UTF-8")]
)
def test_a_name_that_no_document_can_say_costs_that_file(
    name: bytes, shown: str, why: str, on_error: str, tmp_path: Path
) -> None:
    written(tmp_path / "a.h5", 1)
    (tmp_path / os.fsdecode(name)).write_bytes((tmp_path / "a.h5").read_bytes())
    output = tmp_path / "out.json"
    for _ in range(2):
        report = refmaker.index(f"{tmp_path}/*.h5", output, on_error=on_error, update=True)  # type: ignore[arg-type]
        assert (report.files[FileState.DONE], report.failed) == (1, 1)
    assert why in failures(tmp_path / "out.json.job")[shown]
    with pytest.raises(OptionError, match=why):
        refmaker.index(f"{tmp_path}/*.h5", tmp_path / "other.json")


def test_braces_are_no_trouble_for_parquet(tmp_path: Path) -> None:
    written(tmp_path / "{{x.h5", 1)
    assert refmaker.index(f"{tmp_path}/*.h5", tmp_path / "out.parq").failed == 0


def test_braces_above_relative_locations_are_no_trouble(tmp_path: Path) -> None:
    folder = tmp_path / "{{in}}"
    written(folder / "a.h5", 1)
    assert refmaker.index(f"{glob.escape(str(folder))}/*.h5", folder / "out.json", relative=True).failed == 0
    assert refmaker.open_references(folder / "out.json").sources[0].url.endswith("/{{in}}/a.h5")


def test_a_pattern_may_begin_at_the_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "a.h5", 1)
    tops: list[str] = []

    def folders(top: str, _: object) -> list[str]:
        tops.append(top)
        return [str(tmp_path)]

    monkeypatch.setattr(inputs, "_folders", folders)
    assert [one.url for one in inputs.listed(["/**/*.h5"], None, ask=False)] == [f"file://{path}"]
    assert tops == ["/"]


def test_documents_may_have_the_longest_names(tmp_path: Path) -> None:
    path = written(tmp_path / f"{'x' * 247}.h5", 1)
    for suffix in (".json", ".parq"):
        folder = tmp_path / suffix[1:]
        refmaker.index(str(path), separate=folder, separate_suffix=suffix)
        assert [one.name for one in folder.iterdir()] == [f"{'x' * 247}{suffix}"]


def test_links_to_folders_above_are_not_followed(tmp_path: Path) -> None:
    written(tmp_path / "in" / "a.h5", 1)
    written(tmp_path / "in" / "sub" / "b.h5", 2)
    written(tmp_path / "elsewhere" / "c.h5", 3)
    (tmp_path / "in" / "loop").symlink_to(".")
    (tmp_path / "in" / "sub" / "up").symlink_to("../..")
    (tmp_path / "in" / "good").symlink_to("../elsewhere")
    refmaker.index(f"{tmp_path}/in/**/*.h5", separate=tmp_path / "out")
    found = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.json")}
    assert found == {"a.json", "sub/b.json", "good/c.json"}


def test_files_that_differ_by_suffix_keep_it(tmp_path: Path) -> None:
    for name in ("a.h5", "a.nc"):
        written(tmp_path / name, 1)
    with pytest.raises(OptionError, match="--keep-suffix"):
        refmaker.index(f"{tmp_path}/a.*", separate=tmp_path / "out")
    refmaker.index(f"{tmp_path}/a.*", separate=tmp_path / "out", keep_suffix=True)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"a.h5.json", "a.nc.json"}
    with pytest.raises(OptionError, match="keep_suffix is given"):
        refmaker.index(f"{tmp_path}/a.h5", tmp_path / "o.json", keep_suffix=True)


def test_another_order_of_inputs_is_written(tmp_path: Path) -> None:
    paths = [str(written(tmp_path / f"{n}.h5", n)) for n in range(3)]
    place = {"m": refmaker.FromPosition()}
    for order in ([0, 1, 2], [2, 0, 1]):
        inputs = [paths[n] for n in order]
        refmaker.index(inputs, tmp_path / "out.json", concat="m", place=place, update=True)
        with xr.open_dataset(tmp_path / "out.json", engine="refmaker") as data:
            assert data["v"].values.ravel().tolist() == order


def test_another_folder_for_documents_is_filled(tmp_path: Path) -> None:
    written(tmp_path / "in" / "sub" / "a.h5", 1)
    for pattern, name in (("in/sub/*.h5", "a.json"), ("in/**/*.h5", "sub/a.json")):
        refmaker.index(f"{tmp_path}/{pattern}", separate=tmp_path / "out", update=True)
        assert (tmp_path / "out" / name).exists()


@pytest.mark.parametrize("suffix", ["json", "parq"])
def test_an_output_that_somebody_overwrote_is_written_again(suffix: str, tmp_path: Path) -> None:
    written(tmp_path / "a.h5", 1)
    output = tmp_path / f"out.{suffix}"
    assert refmaker.index(f"{tmp_path}/a.h5", output).written
    assert not refmaker.index(f"{tmp_path}/a.h5", output).written
    inner = output / ".zmetadata" if suffix == "parq" else output
    inner.write_text("{}")
    assert refmaker.index(f"{tmp_path}/a.h5", output).written
    assert refmaker.open_references(output).root.arrays


def test_an_update_looks_at_the_files_that_files_link(tmp_path: Path) -> None:
    source = written(tmp_path / "in" / "source.h5", 1, "d")
    layout = h5py.VirtualLayout((1,), "i8")
    layout[:] = h5py.VirtualSource(str(source), "d", (1,))
    with h5py.File(tmp_path / "virtual.h5", "w") as file:
        file.create_virtual_dataset("v", layout, fillvalue=-1)

    def read() -> int:
        refmaker.index(f"{tmp_path}/virtual.h5", tmp_path / "out.json", update=True)
        with xr.open_dataset(tmp_path / "out.json", engine="refmaker") as data:
            return int(data["v"].values[0])

    assert read() == 1
    written(source, 2, "d")
    os.utime(source, (source.stat().st_atime, source.stat().st_mtime + 10))
    assert read() == 2
    source.unlink()
    assert read() == -1
    assert refmaker.index(f"{tmp_path}/virtual.h5", tmp_path / "out.json", update=True).scanned == 1
    written(source, 3, "d")
    assert read() == 3
    assert refmaker.index(f"{tmp_path}/virtual.h5", tmp_path / "out.json", update=True).scanned == 0
