"""Parquet references: read lazily, never silently wrong, as others write them and read them."""

import json
import pickle
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from refmaker import (
    ArrayMetadata,
    BrokenReferencesError,
    ChunkManifest,
    OptionError,
    ReferenceSet,
    RefmakerError,
    SourceFile,
    UnsupportedError,
    VirtualArray,
    VirtualGroup,
    open_references,
    write_references,
)
from refmaker.model.partitioned import PartitionedManifest
from refmaker.references import relocate
from refmaker.references.folder import LocalFolder
from tests.references.encodings import assert_same_arrays, chunks_of, stock_store, through
from tests.virtual import sample

pytestmark = pytest.mark.filterwarnings("ignore:The 'fastparquet' engine is deprecated")


def array(manifest: ChunkManifest) -> VirtualArray:
    n = len(manifest)
    return VirtualArray(ArrayMetadata((n,), (1,), np.dtype("i1"), dimension_names=("x",)), manifest)


def many(chunks: int, files: int = 3, present: float = 1.0) -> ReferenceSet:
    chance = np.random.default_rng(chunks)
    there = np.flatnonzero(chance.random(chunks) < present).astype(np.uint64)
    manifest = ChunkManifest.from_positions(
        (chunks,),
        there,
        location_id=chance.integers(0, files, there.size).astype(np.uint32),
        offset=chance.integers(0, 1 << 50, there.size).astype(np.uint64),
        length=chance.integers(1, 1 << 34, there.size).astype(np.uint64),
    )
    return ReferenceSet(
        VirtualGroup({"a": array(manifest)}), tuple(SourceFile(f"s3://bucket/{n}.nc") for n in range(files))
    )


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of files of directories that are read from now on."""
    found: list[str] = []
    read = LocalFolder.read
    monkeypatch.setattr(LocalFolder, "read", lambda self, name: found.append(name) or read(self, name))
    return found


def test_opening_reads_only_the_metadata(tmp_path: Path, reads: list[str]) -> None:
    references = many(1000)
    write_references(references, tmp_path / "x.parq", record_size=100)
    opened = open_references(tmp_path / "x.parq")
    assert reads == [".zmetadata", "refmaker.json"]
    manifest = opened.root.arrays["a"].manifest
    assert manifest.present == 1000
    assert manifest.memory_nbytes == 0
    assert manifest.lookup(350) == references.root.arrays["a"].manifest.lookup(350)
    assert reads[2:] == ["a/refs.3.parq"]
    block = manifest.between(398, 403)
    assert block.position.tolist() == [398, 399, 400, 401, 402]
    assert reads[3:] == ["a/refs.4.parq"]
    assert manifest == references.root.arrays["a"].manifest


@pytest.mark.parametrize("present", [0.0, 0.003, 0.4, 1.0])
@pytest.mark.parametrize("record_size", [1, 7, 100, 1000, 100_000])
def test_any_partition_size_says_the_same(present: float, record_size: int, tmp_path: Path) -> None:
    references = many(300, present=present)
    write_references(references, tmp_path / "x.parq", record_size=record_size)
    opened = open_references(tmp_path / "x.parq").root.arrays["a"].manifest
    given = references.root.arrays["a"].manifest
    assert opened == given
    assert opened.present == given.present
    assert opened.stored_nbytes == given.stored_nbytes
    assert opened.location_ids().tolist() == given.location_ids().tolist()


@pytest.mark.parametrize("data", [b"", b"-", b"base64:", b"base64:AAAA", b'{"a":1}', b"\xff\0", bytes(1000)])
def test_inlined_bytes_are_themselves_for_every_reader(data: bytes, tmp_path: Path) -> None:
    manifest = ChunkManifest.inlined((3,), [data, None, b"x"])
    write_references(ReferenceSet(VirtualGroup({"a": array(manifest)})), tmp_path / "x.parq")
    for protocol in ("reference", "refmaker"):
        opened = fsspec.filesystem(protocol, fo=str(tmp_path / "x.parq"))
        assert opened.cat_file("a/0") == data
        with pytest.raises(FileNotFoundError):
            opened.cat_file("a/1")
    assert chunks_of(open_references(tmp_path / "x.parq")) == {"a": [data, None, b"x"]}


def test_a_scattered_array_of_a_huge_grid_has_few_files(tmp_path: Path) -> None:
    position = np.array([5, 10**11], np.uint64)
    manifest = ChunkManifest.from_positions((10**12,), position, location_id=0, offset=position, length=position)
    write_references(
        ReferenceSet(VirtualGroup({"a": array(manifest)}), (SourceFile("s3://x"),)),
        tmp_path / "x.parq",
        record_size=1 << 24,
    )
    assert len(list((tmp_path / "x.parq" / "a").iterdir())) == 2
    opened = open_references(tmp_path / "x.parq").root.arrays["a"].manifest
    assert opened.lookup(10**11) == manifest.lookup(10**11)
    assert opened.lookup(7) is None
    assert opened.lookup(5 * 10**11) is None


def damage_truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def damage_html(path: Path) -> None:
    path.write_bytes(b"<html><body>404 Not Found</body></html>")


def damage_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def damage_swap(path: Path) -> None:
    shutil.copy(path.with_name("refs.0.parq"), path)


DAMAGES: dict[str, Callable[[Path], None]] = {
    "lost": Path.unlink,
    "truncated": damage_truncate,
    "empty": lambda path: path.write_bytes(b"") and None,
    "html": damage_html,
    "directory": damage_directory,
    "swapped": damage_swap,
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_partition_is_an_error_that_names_it_never_an_absent_chunk(name: str, tmp_path: Path) -> None:
    write_references(many(300), tmp_path / "x.parq", record_size=100)
    DAMAGES[name](tmp_path / "x.parq" / "a" / "refs.1.parq")
    manifest = open_references(tmp_path / "x.parq").root.arrays["a"].manifest
    assert manifest.lookup(0) is not None
    for look in (lambda: manifest.lookup(100), lambda: manifest.between(0, 300), lambda: list(manifest.blocks())):
        with pytest.raises(RefmakerError, match=r"refs\.1\.parq"):
            look()
    with pytest.raises(RefmakerError, match=r"refs\.1\.parq"):
        fsspec.filesystem("refmaker", fo=str(tmp_path / "x.parq")).cat_file("a/100")
    with pytest.raises(RefmakerError, match=r"refs\.1\.parq"):
        write_references(open_references(tmp_path / "x.parq"), tmp_path / "y.json")
    assert not (tmp_path / "y.json").exists()


@pytest.mark.parametrize("name", [".zmetadata", "refmaker.json"])
@pytest.mark.parametrize("damage", ["lost", "truncated", "html", "directory"])
def test_damaged_metadata_is_one_error(name: str, damage: str, tmp_path: Path) -> None:
    write_references(many(3), tmp_path / "x.parq")
    DAMAGES[damage](tmp_path / "x.parq" / name)
    with pytest.raises(RefmakerError, match=r"x\.parq"):
        open_references(tmp_path / "x.parq")


METADATA: dict[str, Any] = {
    ".zgroup": {"zarr_format": 2},
    "a/.zarray": {
        "zarr_format": 2, "shape": [4], "chunks": [1], "dtype": "|i1", "compressor": None, "fill_value": None,
        "order": "C", "filters": None,
    },
}  # fmt: skip


def by_hand(folder: Path, columns: dict[str, Any], **changes: Any) -> Path:
    """Write references as another program might."""
    (folder / "x.parq" / "a").mkdir(parents=True)
    (folder / "x.parq" / ".zmetadata").write_text(json.dumps({"metadata": METADATA, "record_size": 4, **changes}))
    pq.write_table(pa.table(columns), folder / "x.parq" / "a" / "refs.0.parq")
    return folder / "x.parq"


GOOD = {"path": ["s3://b/x", None, "s3://b/x", "s3://b/y"], "offset": [1, 0, 3, 4], "size": [5, 0, 7, 8]}


@pytest.mark.parametrize(
    "columns",
    [
        GOOD,
        {**GOOD, "raw": [None] * 4},
        {**GOOD, "offset": [1.0, None, 3.0, 4.0]},
        {**GOOD, "path": pa.array(GOOD["path"]).dictionary_encode()},
        {**GOOD, "path": pa.array(GOOD["path"], pa.large_utf8())},
        {name: [*values, *[None if name == "path" else 0] * 3] for name, values in GOOD.items()},
    ],
)
def test_partitions_of_others_are_read(columns: dict[str, Any], tmp_path: Path) -> None:
    opened = open_references(by_hand(tmp_path, columns))
    assert [source.url for source in opened.sources] == ["s3://b/x", "s3://b/y"]
    assert chunks_of(opened) == {"a": [("s3://b/x", 1, 5), None, ("s3://b/x", 3, 7), ("s3://b/y", 4, 8)]}


@pytest.mark.parametrize(
    "columns",
    [
        {**GOOD, "path": [1, 2, 3, 4]},
        {**GOOD, "path": [b"\xff", None, None, None]},
        {**GOOD, "offset": ["a", "b", "c", "d"]},
        {**GOOD, "offset": [-1, 0, 0, 0]},
        {**GOOD, "size": [1 << 62, 1, 1, 1]},
        {**GOOD, "size": [float("inf"), 1.0, 1.0, 1.0]},
        {**GOOD, "raw": [1, 2, 3, 4]},
        {**GOOD, "raw": [b"base64:!", None, None, None]},
        {name: values[:2] for name, values in GOOD.items()},
        {name: [*values, values[0]] for name, values in GOOD.items()},
        {**GOOD, "path": [["x"], [], [], []]},
    ],
)
def test_absurd_partitions_are_one_error(columns: dict[str, Any], tmp_path: Path) -> None:
    path = by_hand(tmp_path, columns)
    with pytest.raises(BrokenReferencesError, match=r"refs\.0\.parq"):
        open_references(path).root.arrays["a"].manifest.whole()


@pytest.mark.parametrize(
    "changes",
    [
        {"record_size": 0}, {"record_size": "4"}, {"record_size": 1 << 50}, {"record_size": None}, {"metadata": []},
        {"metadata": {"a/.zarray": 5}}, {"metadata": {"../a/.zarray": METADATA["a/.zarray"]}},
        {"metadata": {"/etc/.zarray": METADATA["a/.zarray"]}}, {"refmaker": {"format": 1}}, {"refmaker": {"format": 9}},
        {"metadata": {"a/.zarray": {**METADATA["a/.zarray"], "shape": [1 << 60]}}},
        {"metadata": {"a/.zarray": {**METADATA["a/.zarray"], "shape": [2, 2], "chunks": [1, 1],
                                    "dimension_separator": "/"}}},
    ],
)  # fmt: skip
def test_absurd_metadata_is_one_error(changes: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises((BrokenReferencesError, UnsupportedError)):
        open_references(by_hand(tmp_path, GOOD, **changes))


def test_partitions_of_others_that_are_missing_in_part_are_an_error(tmp_path: Path) -> None:
    path = by_hand(tmp_path, GOOD, record_size=2)
    pq.write_table(pa.table({name: values[:2] for name, values in GOOD.items()}), path / "a" / "refs.0.parq")
    with pytest.raises(BrokenReferencesError, match=r"refs\.1\.parq is missing"):
        open_references(path)
    shutil.rmtree(path / "a")
    opened = open_references(path)
    assert opened.root.arrays["a"].manifest.present == 0
    assert [note.code for note in opened.report.notes] == ["partition"]


@pytest.mark.parametrize("remote", [False, True])
def test_partitions_behind_many_missing_ones_are_not_overlooked(remote: bool, tmp_path: Path) -> None:
    """An array of which the first partitions are not there is not empty for that."""
    array = {**METADATA["a/.zarray"], "shape": [600]}
    path = by_hand(tmp_path, GOOD, metadata={**METADATA, "a/.zarray": array})
    (path / "a" / "refs.0.parq").rename(path / "a" / "refs.140.parq")
    url = str(path)
    if remote:
        url = "memory://overlooked/x.parq"
        fsspec.filesystem("memory").put(f"{path}/", "/overlooked/x.parq", recursive=True)
    with pytest.raises(BrokenReferencesError, match=r"refs\.0\.parq is missing"):
        open_references(url)
    if not remote:
        (path / "a" / "refs.140.parq").unlink()
        assert open_references(url).root.arrays["a"].manifest.present == 0


@pytest.mark.parametrize("writer", ["kerchunk", "mapper"])
def test_what_kerchunk_and_fsspec_write_is_read(writer: str, tmp_path: Path) -> None:
    df = pytest.importorskip("kerchunk.df")
    references = sample(tmp_path)
    flat = ReferenceSet(VirtualGroup(references.root.arrays, {}, references.root.attributes), references.sources)
    write_references(flat, tmp_path / "refs.json")
    refs = json.loads((tmp_path / "refs.json").read_text())["refs"]
    del refs[".zmetadata"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if writer == "kerchunk":
            df.refs_to_dataframe({"refs": refs}, str(tmp_path / "x.parq"), record_size=3)
        else:
            mapper = fsspec.implementations.reference.LazyReferenceMapper.create(
                str(tmp_path / "x.parq"), record_size=4
            )
            mapper.update(refs)
            mapper.flush()
    opened = open_references(tmp_path / "x.parq")
    assert isinstance(opened.root.arrays["air"].manifest, PartitionedManifest)
    assert chunks_of(opened) == chunks_of(flat)
    write_references(opened, tmp_path / "ours.parq")
    assert_same_arrays(through(stock_store(tmp_path / "ours.parq")), through(stock_store(tmp_path / "refs.json")))


def test_fsspec_sees_absent_chunks_at_every_place(tmp_path: Path) -> None:
    """First, in the middle, last, and a whole partition: fsspec's reader fails on those that kerchunk writes."""
    (tmp_path / "data").write_bytes(bytes(range(1, 13)))
    position = np.array([1, 2, 4, 10], np.uint64)
    manifest = ChunkManifest.from_positions((12,), position, location_id=0, offset=position, length=position * 0 + 1)
    given = ReferenceSet(VirtualGroup({"a": array(manifest)}), (SourceFile(f"file://{tmp_path}/data"),))
    write_references(given, tmp_path / "x.parq", record_size=4)
    for opened in (stock_store(tmp_path / "x.parq"), f"reference::{tmp_path}/x.parq"):
        assert through(opened)["a"].tolist() == [0, 2, 3, 0, 5, 0, 0, 0, 0, 0, 11, 0]


def test_lazy_references_are_pickled_without_their_columns(tmp_path: Path) -> None:
    references = many(5000, files=2)
    write_references(references, tmp_path / "x.parq", record_size=1000)
    opened = open_references(tmp_path / "x.parq")
    opened.root.arrays["a"].manifest.whole()
    pickled = pickle.dumps(opened)
    assert len(pickled) < 5_000
    assert pickle.loads(pickled).root.arrays["a"].manifest == references.root.arrays["a"].manifest


def test_lazy_references_can_be_relocated(tmp_path: Path) -> None:
    write_references(many(50), tmp_path / "x.parq", record_size=10)
    moved = relocate(open_references(tmp_path / "x.parq"), {"s3://bucket": "https://host"})
    write_references(moved, tmp_path / "y.parq", record_size=7)
    assert {chunk[0] for chunk in chunks_of(open_references(tmp_path / "y.parq"))["a"]} == {
        f"https://host/{n}.nc" for n in range(3)
    }


def test_relative_urls_are_seen_from_the_directory_that_holds_the_references(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    references = relocate(many(50), {"s3://bucket": f"file://{tmp_path}"})
    write_references(references, tmp_path / "x.parq", relative_to=tmp_path)
    index = json.loads((tmp_path / "x.parq" / "refmaker.json").read_text())
    assert [source["url"] for source in index["sources"]] == ["0.nc", "1.nc", "2.nc"]
    monkeypatch.chdir(tmp_path / "x.parq" / "a")
    for spelling in (tmp_path / "x.parq", f"{tmp_path}/x.parq/", f"file://{tmp_path}/x.parq", ".."):
        opened = open_references(spelling)
        assert opened.sources == references.sources
        assert chunks_of(opened) == chunks_of(references)


def test_relative_urls_are_seen_from_the_holding_directory_in_other_stores() -> None:
    references = relocate(many(5), {"s3://bucket": "memory://relative"})
    write_references(references, "memory://relative/x.parq", relative_to="memory://relative")
    for spelling in ("memory://relative/x.parq", "memory://relative/x.parq/"):
        assert chunks_of(open_references(spelling)) == chunks_of(references)


def test_foreign_directories_resolve_relative_urls_alike(tmp_path: Path) -> None:
    references = relocate(many(5), {"s3://bucket": f"file://{tmp_path}"})
    write_references(references, tmp_path / "x.parq", relative_to=tmp_path)
    document = json.loads((tmp_path / "x.parq" / ".zmetadata").read_text())
    del document["refmaker"]
    (tmp_path / "x.parq" / ".zmetadata").write_text(json.dumps(document))
    (tmp_path / "x.parq" / "refmaker.json").unlink()
    assert chunks_of(open_references(tmp_path / "x.parq")) == chunks_of(references)


def test_a_directory_without_metadata_is_broken(tmp_path: Path) -> None:
    (tmp_path / "x.parq").mkdir()
    (tmp_path / "x.parq" / ".zmetadata").write_text('{"metadata": {}, "record_size": 1}')
    with pytest.raises(BrokenReferencesError, match="no references"):
        open_references(tmp_path / "x.parq")


def test_references_are_written_to_and_read_from_other_filesystems() -> None:
    references = many(50)
    write_references(references, "memory://parquet/x.parq", record_size=20)
    opened = open_references("memory://parquet/x.parq")
    assert opened.root.arrays["a"].manifest == references.root.arrays["a"].manifest
    memory = fsspec.filesystem("memory")
    memory.rm("/parquet/x.parq/a/refs.1.parq")
    with pytest.raises(RefmakerError, match=r"refs\.1"):
        open_references("memory://parquet/x.parq").root.arrays["a"].manifest.lookup(20)


def test_a_directory_is_replaced_as_a_whole(tmp_path: Path) -> None:
    write_references(many(50), tmp_path / "x.parq", record_size=10)
    write_references(many(20), tmp_path / "x.parq", record_size=10)
    assert sorted(path.name for path in (tmp_path / "x.parq" / "a").iterdir()) == ["refs.0.parq", "refs.1.parq"]
    assert [path.name for path in tmp_path.iterdir()] == ["x.parq"]
    (tmp_path / "plain").mkdir()
    assert (tmp_path / "x.parq").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_references_replace_themselves(tmp_path: Path) -> None:
    write_references(many(50), tmp_path / "x.parq", record_size=10)
    write_references(open_references(tmp_path / "x.parq"), tmp_path / "x.parq", record_size=7)
    assert open_references(tmp_path / "x.parq").root.arrays["a"].manifest == many(50).root.arrays["a"].manifest


@pytest.mark.parametrize("kind", ["file", "directory"])
def test_what_is_no_directory_of_references_is_not_removed(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "x.parq"
    if kind == "file":
        path.write_text("precious")
    else:
        path.mkdir()
        (path / "precious").write_text("precious")
    with pytest.raises(OptionError, match="remove it"):
        write_references(many(5), path)
    assert (path if kind == "file" else path / "precious").read_text() == "precious"


def test_nothing_is_published_when_writing_fails(tmp_path: Path) -> None:
    write_references(many(5), tmp_path / "x.parq")
    longdouble = ArrayMetadata((1,), (1,), np.dtype("longdouble"), dimension_names=("x",))
    bad = VirtualGroup({"a": VirtualArray(longdouble, ChunkManifest.empty((1,)))})
    with pytest.raises(UnsupportedError):
        write_references(ReferenceSet(bad), tmp_path / "x.parq")
    assert [path.name for path in tmp_path.iterdir()] == ["x.parq"]
    assert open_references(tmp_path / "x.parq").root.arrays["a"].manifest.present == 5


def test_memory_does_not_grow_with_the_chunks_of_an_affine_run(tmp_path: Path) -> None:
    code = f"""
import resource, numpy as np
from refmaker import *
grid = (3_000_000,)
manifest = ChunkManifest.affine(grid, location_id=0, start=0, strides=(100,), length=100)
metadata = ArrayMetadata(grid, (1,), np.dtype("i1"), dimension_names=("x",))
references = ReferenceSet(VirtualGroup({{"a": VirtualArray(metadata, manifest)}}), (SourceFile("s3://b/x"),))
import pyarrow.parquet, refmaker.references
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
write_references(references, {str(tmp_path / "x.parq")!r})
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 40_000
