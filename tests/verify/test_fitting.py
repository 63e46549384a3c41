"""References that fit: of every sample, in every encoding, combined, remote; and of every public file."""

import csv
import json
import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from refmaker import OptionError, combine, scan, verify, write_references
from refmaker.cli import run
from refmaker.errors import RefmakerError
from refmaker.verify.findings import Check
from tests.conftest import validate
from tests.samples import COMPARABLE, LAB, OCEAN, SAMPLES
from tests.scanners.tiff.samples import SAMPLES as TIFFS
from tests.servers import Faults

CORPUS = Path(os.environ.get("REFMAKER_CORPUS", Path(__file__).parents[3] / "shared" / "corpus")).resolve()
MANIFEST = CORPUS / "MANIFEST.tsv"
BROKEN = {"byte_buggy_packbits.tif", "issues-10395.tif"}
"""Files with chunks that no reader decodes; verification must say so."""


def assert_fits(found: Any, *, compared: bool = True) -> None:
    assert [str(one) for one in found.mismatches] == []
    assert found.ok
    if compared:
        assert [str(one) for one in found.unchecked] == []
        assert all(array.read == array.compared for array in found.arrays)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.name)
@pytest.mark.parametrize("chunks", [None, 2])
def test_a_sample_fits(sample: Path, chunks: int | None) -> None:
    found = verify(scan(str(sample), on_unsupported="skip"), sample=chunks)
    assert_fits(found, compared=sample in COMPARABLE)


@pytest.mark.parametrize("name", sorted(TIFFS))
def test_a_tiff_fits(name: str, tmp_path: Path) -> None:
    TIFFS[name](tmp_path / "a.tif")
    found = verify(scan(str(tmp_path / "a.tif")), sample=None)
    assert_fits(found, compared=False)
    if "lerc" in name.lower():
        assert {one.sentence for one in found.unchecked} == {"tifffile reads LERC without its masks"}
        return
    assert found.unchecked == ()
    assert any(array.compared for array in found.arrays)


@pytest.mark.parametrize("suffix", [".json", ".json.zst", ".parq", "-v3.json"])
def test_written_references_fit(suffix: str, tmp_path: Path) -> None:
    document = tmp_path / f"ocean{suffix}"
    write_references(scan(str(OCEAN)), document, zarr_format=3 if "v3" in suffix else 2)
    assert_fits(verify(document, sample=None))


def test_a_group_as_root_fits() -> None:
    found = verify(scan(str(OCEAN), group="forcing"), sample=None)
    assert_fits(found)
    assert "wind" in {array.path for array in found.arrays}


def steps(path: Path, first: int) -> Path:
    with h5py.File(path, "w") as file:
        file["time"] = np.arange(first, first + 2.0)
        file["time"].make_scale("time")
        file["data"] = np.arange(first * 6, first * 6 + 12).reshape(2, 6)
        file["data"].dims[0].attach_scale(file["time"])
    return path


def test_combined_references_are_compared_chunk_by_chunk(tmp_path: Path) -> None:
    paths = [steps(tmp_path / f"{number}.h5", 2 * number) for number in range(3)]
    references = combine([scan(str(path)) for path in paths], concat="time")
    found = verify(references, sample=None)
    assert_fits(found, compared=False)
    (data,) = (array for array in found.arrays if array.path == "data")
    assert (data.read, data.compared, data.native) == (3, 3, "by range")


def test_linked_data_fits(tmp_path: Path) -> None:
    raw = tmp_path / "a.raw"
    raw.write_bytes(np.arange(12, dtype="<i4").tobytes())
    with h5py.File(tmp_path / "source.h5", "w") as file:
        file["inner"] = np.arange(6)
    layout = h5py.VirtualLayout((6,), "i8")
    layout[:] = h5py.VirtualSource("source.h5", "inner", (6,))
    with h5py.File(tmp_path / "main.h5", "w", libver="latest") as file:
        file.create_dataset("external", (12,), "<i4", external=[(str(raw), 0, h5py.h5f.UNLIMITED)])
        file.create_virtual_dataset("virtual", layout)
    assert_fits(verify(scan(str(tmp_path / "main.h5")), sample=None))


@pytest.mark.parametrize("sample", [OCEAN, COMPARABLE[-1]], ids=lambda path: path.name)
def test_remote_references_fit(sample: Path, served: Faults) -> None:
    (served.folder / "a.nc").write_bytes(sample.read_bytes())
    references = scan(f"{served.url}/a.nc", on_unsupported="skip")
    write_references(references, served.folder / "a.json")
    assert_fits(verify(f"{served.url}/a.json", sample=None))


@pytest.mark.parametrize("options", [{"block_size": 1000}, {"http": {"block_size": 1000}}])
def test_storage_options_are_for_all_or_by_protocol(options: dict[str, Any], served: Faults) -> None:
    (served.folder / "a.nc").write_bytes(OCEAN.read_bytes())
    assert_fits(verify(scan(f"{served.url}/a.nc"), sample=1, storage_options=options))


def test_a_sample_is_the_same_every_time() -> None:
    references = scan(str(OCEAN))
    runs = [[(a.path, a.read) for a in verify(references, sample=3, native=False).arrays] for _ in range(2)]
    assert runs[0] == runs[1]
    assert dict(runs[0])["salt"] == 3


def test_without_the_native_library_nothing_is_compared() -> None:
    found = verify(scan(str(OCEAN)), native=False)
    assert found.ok
    assert {array.native for array in found.arrays} == {""}


def test_a_sample_of_nothing_makes_no_sense() -> None:
    with pytest.raises(OptionError, match="at least one"):
        verify(scan(str(LAB)), sample=0)


def test_an_endless_sparse_grid_takes_no_time(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("d", (1 << 40, 8), "f4", chunks=(1, 8))
        file["d"][77] = 1.5
    found = verify(scan(str(tmp_path / "a.h5")), sample=None)
    assert_fits(found)
    assert found.arrays[0].read > 1


# -- the command -------------------------------------------------------------------------------------------------------
def test_the_command_ends_with_0_and_writes_a_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document, report = tmp_path / "ocean.json", tmp_path / "report.json"
    write_references(scan(str(OCEAN)), document)
    assert run(["verify", str(document), "--all", "--native", "--report", str(report)]) == 0
    out = capsys.readouterr().out
    assert "h5py" in out
    assert "0 mismatches" in out.splitlines()[-1]
    content = json.loads(report.read_bytes())
    validate(content, "verify-v1.schema.json")
    assert (content["ok"], content["exit_code"], content["mismatches"]) == (True, 0, [])


def test_the_command_ends_with_4_and_names_the_chunk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document, report = tmp_path / "ocean.json", tmp_path / "report.json"
    write_references(scan(str(OCEAN)), document)
    content = json.loads(document.read_bytes())
    refs = content["refs"]
    refs["temp/0.0.0.0"], refs["temp/1.0.0.0"] = refs["temp/1.0.0.0"], refs["temp/0.0.0.0"]
    document.write_text(json.dumps(content))
    assert run(["verify", str(document), "--all", "--report", str(report)]) == 4
    assert "mismatch: temp/0.0.0.0: values: " in capsys.readouterr().out
    told = json.loads(report.read_bytes())
    validate(told, "verify-v1.schema.json")
    assert {one["where"] for one in told["mismatches"]} == {"temp/0.0.0.0", "temp/1.0.0.0"}
    assert run(["verify", str(document), "--no-native"]) == 0


def test_options_that_make_no_sense_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = tmp_path / "ocean.json"
    write_references(scan(str(OCEAN)), document)
    assert run(["verify", str(document), "--all", "--sample", "3"]) == 2
    assert run(["verify", str(document), "--report", str(document)]) == 2
    assert run(["verify", str(tmp_path / "none.json")]) == 1
    capsys.readouterr()


# -- public files ------------------------------------------------------------------------------------------------------
def corpus_files() -> list[str]:
    if not MANIFEST.exists():
        return []
    with MANIFEST.open(newline="") as file:
        return [row["path"] for row in csv.DictReader(file, delimiter="\t") if not row["malformed_why"]]


@pytest.mark.skipif(not MANIFEST.exists(), reason="no corpus of public files: set REFMAKER_CORPUS")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("part", range(4))
def test_references_of_every_public_file_fit(part: int, record_property: Any) -> None:
    wrong, compared, files = [], 0, 0
    for path in corpus_files()[part::4]:
        try:
            references = scan(str(CORPUS / path), on_unsupported="skip")
        except RefmakerError:
            continue  # the scanners' own tests say which
        found = verify(references, sample=None)
        files += 1
        compared += sum(array.compared for array in found.arrays)
        if Path(path).name in BROKEN:
            assert {one.check for one in found.mismatches} == {Check.DECODE}
        else:
            wrong += [f"{path}: {one}" for one in found.mismatches]
    record_property("compared", {"files": files, "chunks": compared})
    assert wrong == []
    assert compared
