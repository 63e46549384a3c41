"""Inlining, relocating and publishing."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from refmaker.errors import OptionError, SourceError, StaleSourceError, TruncatedFileError
from refmaker.model.array import ArrayMetadata, VirtualArray
from refmaker.model.chunks import ChunkManifest
from refmaker.model.group import VirtualGroup, walk_arrays
from refmaker.model.reference_set import DatasetReport, DatasetState, ReferenceSet, ScanReport, SourceFile
from refmaker.references import inline_below, relocate
from refmaker.references.publish import publish
from refmaker.source import base
from tests.virtual import assert_is_inner, assert_is_sample, sample


def chunks(references: ReferenceSet) -> dict[str, list[bytes | None]]:
    return {
        path: [found.data if (found := array.manifest.lookup(n)) else None for n in range(len(array.manifest))]
        for path, array in walk_arrays(references.root)
    }


def test_everything_inlined_needs_no_file(tmp_path: Path) -> None:
    inlined = inline_below(sample(tmp_path), 1 << 20)
    (tmp_path / "data é.bin").unlink()
    assert_is_sample(xr.open_dataset(inlined, engine="refmaker"))
    assert_is_inner(xr.open_dataset(inlined, engine="refmaker", group="inner"))
    assert not list(inlined.used_sources())


def test_only_smaller_chunks_are_inlined(tmp_path: Path) -> None:
    references = sample(tmp_path)
    inlined = inline_below(references, 32)
    for path, array in walk_arrays(references.root):
        new = dict(walk_arrays(inlined.root))[path].manifest
        for position in range(len(new)):
            old, found = array.manifest.lookup(position), new.lookup(position)
            if old is None:
                assert found is None
            elif old.data is None and old.length >= 32:
                assert found == old
            else:
                assert found is not None
                assert found.data is not None
                assert len(found.data) == old.length
    assert inline_below(references, 0) is references


def test_the_report_says_what_is_inlined(tmp_path: Path) -> None:
    report = ScanReport(
        datasets=(
            DatasetReport("air", DatasetState.REFERENCED),
            DatasetReport("/time", DatasetState.LINKED),
            DatasetReport("none", DatasetState.REFERENCED),
            DatasetReport("gone", DatasetState.SKIPPED, "dtype", "no such type"),
        )
    )
    inlined = inline_below(replace(sample(tmp_path), report=report), 33)  # chunks of air are larger
    states = {dataset.path: dataset.state for dataset in inlined.report.datasets}
    assert states == {"air": "referenced", "/time": "inlined", "none": "referenced", "gone": "skipped"}


def test_neighbours_are_read_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads = []
    read = base.LocalSource.read
    monkeypatch.setattr(base.LocalSource, "read", lambda self, *span: reads.append(span) or read(self, *span))
    (tmp_path / "data").write_bytes(bytes(range(256)) * 2000)
    offset = np.array([5, 100, 20, 300_000, 10], np.uint64)
    manifest = ChunkManifest((5,), np.zeros(5, np.uint32), offset, np.full(5, 8, np.uint32))
    metadata = ArrayMetadata((5,), (1,), np.dtype("<i8"), dimension_names=("x",))
    references = ReferenceSet(
        VirtualGroup({"a": VirtualArray(metadata, manifest)}), (SourceFile(str(tmp_path / "data")),)
    )
    found = chunks(inline_below(references, 9))["a"]
    assert found == [bytes((at + n) % 256 for n in range(8)) for at in offset.tolist()]
    assert reads == [(5, 103), (300_000, 8)]


def test_a_changed_source_is_noticed(tmp_path: Path) -> None:
    references = sample(tmp_path)
    with (tmp_path / "data é.bin").open("ab") as file:
        file.write(b"more")
    with pytest.raises(StaleSourceError, match="data é"):
        inline_below(references, 100)
    unknown = replace(references, sources=tuple(replace(source, size=None) for source in references.sources))
    assert inline_below(unknown, 100)
    os.truncate(tmp_path / "data é.bin", 20)
    with pytest.raises(TruncatedFileError):
        inline_below(unknown, 100)
    (tmp_path / "data é.bin").unlink()
    with pytest.raises(SourceError):
        inline_below(unknown, 100)


def test_references_move_by_url_prefix_or_function() -> None:
    urls = "s3://a/x.nc", "s3://a/b/y.nc", "s3://ab/z.nc", "file:///a/w.nc"
    references = ReferenceSet(VirtualGroup(), tuple(SourceFile(url, size=1) for url in urls))

    def moved(new: object) -> list[str]:
        return [source.url for source in relocate(references, new).sources]  # type: ignore[arg-type]

    assert moved({"s3://a": "s3://n", "s3://a/b/": "http://h/"}) == ["s3://n/x.nc", "http://h/y.nc", *urls[2:]]
    assert moved({"s3://ab/z.nc": "z.nc"}) == [*urls[:2], "z.nc", urls[3]]
    assert moved(str.upper) == [url.upper() for url in urls]
    assert relocate(references, {}) == references


def test_a_published_file_has_the_usual_mode(tmp_path: Path) -> None:
    with publish(str(tmp_path / "x")) as file:
        file.write(b"1")
    (tmp_path / "plain").write_bytes(b"1")
    assert (tmp_path / "x").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_failed_publication_leaves_nothing(tmp_path: Path) -> None:
    def fail() -> None:
        with publish(str(tmp_path / "x")) as file:
            file.write(b"1")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_sizes_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="'10kB', not a number of bytes"):
        inline_below(sample(tmp_path), "10kB")  # type: ignore[arg-type]
