"""Selections are numpy's, whatever the chunks: random arrays, chunkings, codecs, indices."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from refmaker.model.array import Codec
from refmaker.model.group import VirtualGroup
from refmaker.model.reference_set import ReferenceSet, SourceFile
from refmaker.serve.opened import OpenedReferences
from refmaker.serve.options import ServeOptions
from refmaker.serve.selection import outer, pointwise, whole
from tests.virtual import RawFile

CODECS: list[tuple[Codec, ...]] = [
    (),
    (Codec("zlib", {"level": 1}),),
    (Codec("shuffle", {"elementsize": 4}),),
    (Codec("shuffle", {"elementsize": 4}), Codec("zlib", {"level": 1})),
    (Codec("shuffle", {"elementsize": 2}), Codec("gzip", {"level": 1})),
    (Codec("shuffle", {"elementsize": 4}), Codec("fletcher32")),
    (Codec("zstd", {"level": 1}),),
    (Codec("bz2", {"level": 1}),),
    (Codec("blosc", {"cname": "lz4", "clevel": 5, "shuffle": 1, "blocksize": 0}),),
]
TYPES = ["<f4", ">f4", "<i4", ">i4", "<u4"]


def index_of_axis(n: int) -> st.SearchStrategy[Any]:
    position = st.integers(-n, n - 1)
    edge = st.one_of(st.none(), st.integers(-n - 2, n + 2))
    step = st.one_of(st.none(), st.integers(1, n + 1), st.integers(-n, -1))
    arrays = st.lists(position, max_size=7).map(lambda found: np.array(found, np.int64))
    return st.one_of(position, st.builds(slice, edge, edge, step), arrays)


@st.composite
def arrays(draw: st.DrawFn) -> tuple[np.ndarray, tuple[int, ...], tuple[Codec, ...], list[int], tuple[Any, ...]]:
    shape = tuple(draw(st.lists(st.integers(1, 9), max_size=3)))
    chunks = tuple(draw(st.integers(1, n + 1)) for n in shape)
    data_type = draw(st.sampled_from(TYPES))
    values = np.arange(1, 1 + int(np.prod(shape))).astype(data_type).reshape(shape)
    count = int(np.prod([-(-n // c) for n, c in zip(shape, chunks, strict=True)]))
    missing = draw(st.lists(st.integers(0, count - 1), max_size=3))
    key = tuple(draw(index_of_axis(n)) for n in shape)
    return values, chunks, draw(st.sampled_from(CODECS)), missing, key


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("selection")


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(case=arrays(), data=st.data())
def test_every_selection_is_numpys(case: Any, data: st.DataObject, folder: Path) -> None:
    values, chunks, codecs, missing, key = case
    file = RawFile()
    array = file.array(values, chunks, tuple("xyz"[: values.ndim]), codecs=codecs, missing=missing)
    path = folder / "data.bin"
    path.write_bytes(file.data)
    opened = OpenedReferences(ReferenceSet(VirtualGroup({"v": array}), (SourceFile(f"file://{path}"),)), ServeOptions())
    reader = opened.array("v")
    assert reader is not None
    want = values.copy()
    for position in missing:
        index = np.unravel_index(position, array.metadata.grid_shape or (1,))[: values.ndim]
        want[tuple(slice(i * c, (i + 1) * c) for i, c in zip(index, chunks, strict=True))] = 0
    everything = reader.read(whole(values.shape, chunks))
    np.testing.assert_array_equal(everything, want)
    assert everything.dtype.isnative

    got = reader.read(outer(key, values.shape, chunks))
    expected: Any = want
    for axis, index in reversed(list(enumerate(key))):
        expected = expected[(slice(None),) * axis + (index,)]
    np.testing.assert_array_equal(got, expected)

    points = data.draw(st.integers(0, 6))
    each = [np.array(data.draw(st.lists(st.integers(-n, n - 1), min_size=points, max_size=points)), np.int64)
            for n in values.shape]  # fmt: skip
    if each:
        np.testing.assert_array_equal(reader.read(pointwise(each, values.shape, chunks)), want[tuple(each)])
        mixed = [slice(None, None, 2), *each[1:]]
        got = reader.read(pointwise(mixed, values.shape, chunks))
        moved = np.moveaxis(want[tuple(mixed)], 0, -1) if len(each) > 1 else want[tuple(mixed)]
        np.testing.assert_array_equal(got, moved)


@pytest.mark.parametrize("index", [6, -7, np.array([0, 6])])
def test_an_index_outside_is_an_error(index: Any) -> None:
    for choose in (outer, pointwise):
        with pytest.raises(IndexError):
            choose((index,), (6,), (2,))
