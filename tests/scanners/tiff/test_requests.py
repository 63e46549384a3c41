"""What a scan asks of a store, and what its references say of a file there."""

import fsspec
import numpy as np
import pytest
import tifffile

import refmaker
from refmaker.source.base import MemorySource
from refmaker.source.traced import Traced
from tests.benchmarks.tiff import make_file
from tests.scanners.tiff.reading import scanned
from tests.scanners.tiff.samples import SAMPLES


@pytest.mark.parametrize("name", ["tiles-zlib", "pyramid-subifds", "ome-pyramid", "imagej", "two-series"])
def test_a_small_remote_file_is_one_request(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("remote") / "it.tif"
    SAMPLES[name](path)
    fsspec.filesystem("memory").pipe_file(f"/tiff/{name}.tif", path.read_bytes())
    found, local = refmaker.scan(f"memory://tiff/{name}.tif"), refmaker.scan(str(path))
    assert found.report.requests is not None
    assert found.report.requests <= 2
    assert [state.path for state in found.report.datasets] == [state.path for state in local.report.datasets]
    for (_, mine), (_, theirs) in zip(
        refmaker.model.group.walk_arrays(found.root), refmaker.model.group.walk_arrays(local.root), strict=True
    ):
        assert mine.metadata == theirs.metadata
        assert mine.manifest == theirs.manifest


def test_many_tiles_cost_memory_for_their_columns_alone(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("many") / "many.tif"
    count = make_file(path, 250_000)
    array = scanned(path).root.arrays["data"]
    assert array.manifest.present == count
    assert array.manifest.memory_nbytes <= 12 * count
    chunk = array.manifest.lookup(count - 1)
    with tifffile.TiffFile(path) as file:
        assert chunk is not None
        assert (chunk.offset, chunk.length) == (file.pages[0].dataoffsets[-1], file.pages[0].databytecounts[-1])


def test_a_thousand_pages_are_one_fetch_of_the_file(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("pages") / "pages.tif"
    tifffile.imwrite(path, np.zeros((1000, 8, 8), "u1"), compression="zlib", photometric="minisblack")
    source = Traced(MemorySource(path.read_bytes(), "memory://pages.tif"))
    from refmaker.scanners.registry import ScanOptions
    from refmaker.scanners.tiff import scan
    from refmaker.source.location import OpenedFile

    result = scan(OpenedFile("memory://pages.tif", source), ScanOptions())
    assert source.requests == 1
    assert result.root.arrays["data"].manifest.present == 1000
