"""One file, read twice: through its references and by h5py; and tables of cases that must read alike."""

import contextlib
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import fsspec
import fsspec.implementations.asyn_wrapper
import h5py
import numpy as np
import zarr

from refmaker import ReferenceSet, VirtualArray, scan, write_references
from refmaker.model.group import walk_arrays
from refmaker.serve.filesystem import ReferenceFileSystem

Values = dict[str, Any]


class Case(NamedTuple):
    """A file to make, and what must become of its datasets.

    Attributes:
        name: of the case.
        make: writes into an open file.
        becomes: path -> state, or ``skipped: code``; datasets that are not skipped must read as h5py reads them.
        needs: the codecs beyond stock numcodecs that reading takes.
        notes: codes of the report's notes.
        libver: how new the structures of the file may be.
    """

    name: str
    make: Callable[[h5py.File], object]
    becomes: Mapping[str, str] = {"d": "referenced"}
    needs: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    libver: str = "earliest"

    def __str__(self) -> str:
        return self.name


def made(case: Case, folder: Path) -> Path:
    """Write the file of a case."""
    path = folder / "case.h5"
    with h5py.File(path, "w", libver=(case.libver, "latest")) as file:
        case.make(file)
    return path


def check(case: Case, folder: Path) -> ReferenceSet:
    """Make the file of a case, scan it, and compare all that the case says; return the references."""
    path = made(case, folder)
    references = scan(str(path), on_unsupported="skip")
    assert outcomes(references) == dict(case.becomes), [d.reason for d in references.report.skipped]
    assert sorted({codec for d in references.report.datasets for codec in d.codecs}) == sorted(case.needs)
    assert sorted({note.code for note in references.report.notes}) == sorted(case.notes), references.report.notes
    assert_reads_as_h5py(references, path)
    return references


def outcomes(references: ReferenceSet) -> dict[str, str]:
    """Return path -> state of every dataset reported, with the code where it was skipped."""
    return {d.path: f"{d.state}: {d.code}" if d.code else str(d.state) for d in references.report.datasets}


def array_of(references: ReferenceSet, path: str = "d") -> VirtualArray:
    """Return one array."""
    return dict(walk_arrays(references.root))[path]


# -- reading ---------------------------------------------------------------------------------------------------------
def through_references(references: ReferenceSet) -> Values:
    """Return path -> values as zarr reads them through ``refmaker://``."""
    filesystem = ReferenceFileSystem(fo=references, asynchronous=True, skip_instance_cache=True)
    return _values(zarr.storage.FsspecStore(filesystem, read_only=True, path=""))


def through_stock_references(references: ReferenceSet, document: Path) -> Values:
    """Return path -> values as zarr reads them through fsspec's ``reference://``, written to ``document`` first.

    Arrays that need codecs of ours are left out.
    """
    write_references(references, document)
    ours = {path for path, array in walk_arrays(references.root) if not all(c.stock for c in array.metadata.codecs)}
    return _values(stock_store(document), without=ours)


def stock_store(document: Path) -> Any:
    """Return the Zarr store of fsspec's own ``reference://``."""
    inner = fsspec.filesystem(
        "reference",
        fo=str(document),
        remote_protocol="file",
        remote_options={"asynchronous": True},
        asynchronous=True,
        skip_instance_cache=True,
    )
    wrapped = inner if inner.async_impl else fsspec.implementations.asyn_wrapper.AsyncFileSystemWrapper(inner)
    return zarr.storage.FsspecStore(wrapped, read_only=True)


def _values(store: Any, without: Collection[str] = ()) -> Values:
    root = zarr.open_group(store, mode="r", zarr_format=2)
    members = root.members(max_depth=None)
    return {name: m[...] for name, m in members if isinstance(m, zarr.Array) and name not in without}


def through_h5py(path: str | os.PathLike[str], without: Collection[str] = ()) -> Values:
    """Return path -> values of every dataset that h5py finds, by whatever links."""
    with h5py.File(path, "r") as file:
        return {name: native_values(dataset) for name, dataset in native_datasets(file) if name not in without}


def native_datasets(
    group: h5py.Group, prefix: str = "", above: tuple[h5py.Group, ...] = ()
) -> Iterator[tuple[str, h5py.Dataset]]:
    """Yield (path, dataset) of everything that links lead to, not entering a group inside itself."""
    for name in group:
        member = group.get(name)  # None where a link dangles
        if isinstance(member, h5py.Dataset):
            yield f"{prefix}{name}", member
        elif isinstance(member, h5py.Group) and member not in (*above, group):
            yield from native_datasets(member, f"{prefix}{name}/", (*above, group))


def native_values(dataset: h5py.Dataset) -> Any:
    """Return a dataset's values as Zarr has them: text as str (bytes where it is not UTF-8), references as paths."""
    if h5py.check_ref_dtype(dataset.dtype):
        references = np.ravel(dataset[()]).tolist()
        paths = [(h5py.h5r.get_name(r, dataset.file.id) or b"").decode() if r else "" for r in references]
        return np.array(paths, object).reshape(dataset.shape)
    values = np.asarray(dataset[()])
    if h5py.check_string_dtype(dataset.dtype) and dataset.dtype.kind == "O":
        items = [item if isinstance(item, bytes) else item.encode() for item in values.ravel().tolist()]
        with contextlib.suppress(UnicodeDecodeError):
            items = [item.decode() for item in items]
        values = np.array([None, *items], object)[1:].reshape(dataset.shape)
    return values


# -- comparing -------------------------------------------------------------------------------------------------------
def assert_reads_as_h5py(references: ReferenceSet, path: Path) -> None:
    """Every dataset that was not skipped reads, through both filesystems, as h5py reads it."""
    skipped = {dataset.path for dataset in references.report.skipped}
    want = through_h5py(path, skipped)
    got = through_references(references)
    assert got.keys() == want.keys()
    assert_same(got, want)
    stock = through_stock_references(references, path.with_suffix(".json"))
    assert_same(stock, {name: want[name] for name in stock})


def assert_same(got: Values, want: Values) -> None:
    """Names, values, shapes and dtypes are the same; byte order, being how values are stored, may differ."""
    assert got.keys() == want.keys()
    for path, values in want.items():
        assert_same_values(got[path], values, path)


def assert_same_values(got: Any, want: Any, path: str = "") -> None:
    """Compare one array bit by bit, but NaN with any NaN."""
    got, want = np.asarray(got), np.asarray(want)
    assert got.shape == want.shape, path
    if want.dtype.kind in "OT":  # text as Python has it, or as numpy 2 has it
        assert got.astype(object).tolist() == want.tolist(), path
        return
    if want.dtype.names:
        assert got.dtype.names == want.dtype.names, path
        for name in want.dtype.names:
            assert_same_values(got[name], want[name], f"{path}[{name}]")
        return
    assert got.dtype.newbyteorder("=") == np.dtype(want.dtype.str).newbyteorder("="), path
    if want.dtype.kind == "V":
        assert got.tobytes() == want.tobytes(), path
        return
    np.testing.assert_array_equal(got, want, err_msg=path)
