"""Every sample reads as tifffile reads it: values, axes and types of all levels of all series."""

from pathlib import Path

import pytest

from tests.scanners.tiff.reading import array_at, assert_reads_as_tifffile_does, scanned
from tests.scanners.tiff.samples import SAMPLES


@pytest.fixture(scope="module", params=sorted(SAMPLES))
def sample(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tiff") / f"{request.param}.tif"
    SAMPLES[request.param](path)
    return path


@pytest.mark.parametrize("chunk_bytes", [None, 900])
def test_a_sample_reads_as_tifffile_reads_it(sample: Path, chunk_bytes: int | None) -> None:
    result = assert_reads_as_tifffile_does(sample, chunk_bytes=chunk_bytes)
    assert {str(state.state) for state in result.report.datasets} == {"referenced"}


def written(name: str, folder: Path) -> Path:
    path = folder / f"{name}.tif"
    SAMPLES[name](path)
    return path


def test_even_strips_are_joined_and_large_ones_cut(tmp_path: Path) -> None:
    path = written("strips-short-last", tmp_path)
    assert array_at(scanned(path), "data").manifest.present == 1
    cut = array_at(scanned(path, chunk_bytes=700), "data")
    assert cut.metadata.chunk_shape == (10, 70)
    assert cut.metadata.codecs == ()


def test_a_short_last_strip_is_padded(tmp_path: Path) -> None:
    array = array_at(scanned(written("strips-short-last-apart", tmp_path)), "data")
    assert [codec.id for codec in array.metadata.codecs] == ["refmaker_pad", "zlib"]
    assert (array.metadata.chunk_shape, array.metadata.codecs[0].configuration) == ((8, 70), {"nbytes": 560})


def test_tiles_need_no_codec_of_ours(tmp_path: Path) -> None:
    array = array_at(scanned(written("tiles-zlib", tmp_path)), "data")
    assert [codec.id for codec in array.metadata.codecs] == ["zlib"]


def test_absent_tiles_are_absent_and_read_as_zero_or_nodata(tmp_path: Path) -> None:
    sparse = array_at(scanned(written("sparse-tiles", tmp_path)), "data")
    assert (sparse.manifest.present, sparse.metadata.fill_value) == (3, None)
    nodata = array_at(scanned(written("sparse-tiles-with-nodata", tmp_path)), "data")
    assert (nodata.manifest.present, nodata.metadata.fill_value) == (5, -9999)
    assert nodata.metadata.attributes["_FillValue"] == -9999


def test_a_palette_is_an_attribute(tmp_path: Path) -> None:
    attributes = array_at(scanned(written("palette", tmp_path)), "data").metadata.attributes
    assert attributes["photometric"] == "palette"
    assert attributes["colormap"][2][255] == 767 * 85  # type: ignore[index, call-overload]


def test_texts_are_attributes_of_the_group(tmp_path: Path) -> None:
    attributes = scanned(written("description-as-name", tmp_path)).root.attributes
    assert attributes == {"description": "a text", "software": "made by hand", "datetime": "2026:11:21 10:00:00"}


def test_a_contiguous_stack_takes_no_memory(tmp_path: Path) -> None:
    assert array_at(scanned(written("stack-contiguous", tmp_path)), "data").manifest.memory_nbytes == 0
