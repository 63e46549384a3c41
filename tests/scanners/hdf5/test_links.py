"""Links of every kind: followed once, inside the file and to others; cycles, dangling ones, depth and fan-out."""

import json
import time
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import pytest
import xarray as xr
import zarr

from refmaker import RefmakerError, open_references, scan, write_references
from refmaker.cli import run
from refmaker.cli.failures import ExitCode
from refmaker.model.group import walk, walk_arrays
from tests.scanners.hdf5.comparing import (
    array_of,
    assert_reads_as_h5py,
    outcomes,
    stock_store,
    through_references,
)

NUMBERS = np.arange(12, dtype="<i4")


class Links(NamedTuple):
    """A file ``main.h5`` (and others beside it), what becomes of its datasets, and the notes about links."""

    name: str
    make: Callable[[h5py.File], object]
    becomes: Mapping[str, str]
    notes: Mapping[str, str] = {}

    def __str__(self) -> str:
        return self.name


def other(file: h5py.File, name: str = "other.h5") -> Path:
    return Path(file.filename).parent / name


def hard(file: h5py.File) -> None:
    file["d"] = NUMBERS
    file["again"] = file["d"]
    file["group/inner"] = file["d"]
    file["second"] = file["group"]


def soft(file: h5py.File) -> None:
    file["group/d"] = NUMBERS
    file["link"] = h5py.SoftLink("/group/d")
    file["group/relative"] = h5py.SoftLink("d")
    file["whole"] = h5py.SoftLink("group")
    file["chain"] = h5py.SoftLink("link")


def dangling(file: h5py.File) -> None:
    file["d"] = NUMBERS
    file["nowhere"] = h5py.SoftLink("/absent/d")
    file["self"] = h5py.SoftLink("self")
    file["ping"], file["pong"] = h5py.SoftLink("pong"), h5py.SoftLink("ping")
    file["no file"] = h5py.ExternalLink("absent.h5", "/d")
    file["no object"] = h5py.ExternalLink("other.h5", "/absent")
    file["a folder"] = h5py.ExternalLink(".", "/d")
    with h5py.File(other(file), "w") as linked:
        linked["e"] = 1


def external(file: h5py.File) -> None:
    file["d"] = NUMBERS
    file["far"] = h5py.ExternalLink("other.h5", "/group/e")
    file["all"] = h5py.ExternalLink("other.h5", "/")
    with h5py.File(other(file), "w") as linked:
        linked.create_dataset("group/e", data=NUMBERS, chunks=(5,), compression=1)
        linked["group/e"].attrs["_FillValue"] = np.int32(3)
        linked["text"] = "inlined from there"


def external_onward(file: h5py.File) -> None:
    """A link to a link to a dataset in a folder below."""
    (Path(file.filename).parent / "below").mkdir()
    file["far"] = h5py.ExternalLink("other.h5", "/onward")
    with h5py.File(other(file), "w") as linked:
        linked["onward"] = h5py.ExternalLink("below/third.h5", "/d")
    with h5py.File(other(file, "below/third.h5"), "w") as third:
        third["d"] = NUMBERS


def cycles(file: h5py.File) -> None:
    file["a/b/d"] = NUMBERS
    file["a/b/up"] = file["a"]
    file["a/b/top"] = file["/"]
    file["a/self"] = file["a"]
    file["soft"] = h5py.SoftLink("/")
    file["a/soft"] = h5py.SoftLink("/a/b")


def external_cycle(file: h5py.File) -> None:
    file["d"] = NUMBERS
    file["other"] = h5py.ExternalLink("other.h5", "/")
    with h5py.File(other(file), "w") as linked:
        linked["e"] = NUMBERS
        linked["back"] = h5py.ExternalLink("main.h5", "/")
        linked["group/itself"] = h5py.ExternalLink("other.h5", "/")


def through_other_files(file: h5py.File) -> None:
    """Soft links whose path leads through an external link: the dataset lies in the other file."""
    (Path(file.filename).parent / "below").mkdir()
    file["padding"] = np.zeros(5000)
    file["far"] = h5py.ExternalLink("below/other.h5", "/")
    file["near"] = h5py.SoftLink("/far/group/e")
    with h5py.File(other(file, "below/other.h5"), "w") as linked:
        linked["group/e"] = NUMBERS
        linked["home"] = h5py.SoftLink("group")


def committed_type(file: h5py.File) -> None:
    file["type"] = np.dtype("<i4")
    file.create_dataset("d", data=NUMBERS, dtype=file["type"])


def odd_names(file: h5py.File) -> None:
    for name in ("é ☃", "with space", "a.b", "%b", "{x}", '"quoted"', "#", "a:b", "[0]", "*", "~", "0", "0.0"):
        file[name] = NUMBERS
    file["group é/{{inner}}"] = NUMBERS


CASES = [
    Links("hard", hard, dict.fromkeys(("d", "again", "group/inner", "second/inner"), "referenced")),
    Links(
        "soft",
        soft,
        dict.fromkeys(("group/d", "link", "group/relative", "whole/d", "whole/relative", "chain"), "referenced"),
    ),
    Links(
        "dangling",
        dangling,
        {"d": "referenced"},
        dict.fromkeys(("nowhere", "self", "ping", "pong", "no file", "no object", "a folder"), "dangling-link"),
    ),
    Links(
        "external",
        external,
        {"d": "referenced", "far": "linked", "all/group/e": "linked", "all/text": "inlined"},
    ),
    Links("external, onward", external_onward, {"far": "linked"}),
    Links(
        "through other files",
        through_other_files,
        {"padding": "referenced"} | dict.fromkeys(("far/group/e", "far/home/e", "near"), "linked"),
        {"near": "dimension"},
    ),
    Links(
        "cycles",
        cycles,
        {"a/b/d": "referenced", "a/soft/d": "referenced"},
        dict.fromkeys(("a/b/up", "a/b/top", "a/self", "soft"), "cycle"),
    ),
    Links(
        "external cycle",
        external_cycle,
        {"d": "referenced", "other/e": "linked"},
        dict.fromkeys(("other/back", "other/group/itself"), "cycle"),
    ),
    Links("committed datatype", committed_type, {"d": "referenced"}),
]


def written(make: Callable[[h5py.File], object], folder: Path) -> Path:
    path = folder / "main.h5"
    with h5py.File(path, "w") as file:
        make(file)
    return path


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_link_is_followed_once(case: Links, tmp_path: Path) -> None:
    path = written(case.make, tmp_path)
    references = scan(str(path))
    assert outcomes(references) == dict(case.becomes)
    assert {note.path: note.code for note in references.report.notes} == dict(case.notes)
    for values in through_references(references).values():
        assert (
            np.array_equal(values, NUMBERS) or np.array_equal(values, np.zeros(5000)) or values == "inlined from there"
        )
    if not case.notes:
        assert_reads_as_h5py(references, path)


def test_hard_links_share_one_manifest(tmp_path: Path) -> None:
    references = scan(str(written(hard, tmp_path)))
    manifests = {id(array.manifest) for _, array in walk_arrays(references.root)}
    assert len(manifests) == 1


def test_linked_files_are_sources(tmp_path: Path) -> None:
    references = scan(str(written(external, tmp_path)))
    assert [Path(source.url).name for source in references.sources] == ["main.h5", "other.h5"]
    assert [source.size for source in references.sources] == [
        (tmp_path / name).stat().st_size for name in ("main.h5", "other.h5")
    ]
    assert array_of(references, "far").metadata.fill_value == 3


def test_a_cycle_through_other_files_ends(tmp_path: Path) -> None:
    """Each of three files links to all of the others."""
    names = ("main.h5", "b.h5", "c.h5")
    for name in names:
        with h5py.File(tmp_path / name, "w") as file:
            file[f"d{name[0]}"] = NUMBERS
            for target in names:
                file[f"to {target[0]}"] = h5py.ExternalLink(target, "/")
    references = scan(str(tmp_path / "main.h5"))
    assert {source.url.rpartition("/")[2] for source in references.sources} == set(names)
    assert {"dm", "to b/db", "to c/dc"} <= outcomes(references).keys()
    assert len(outcomes(references)) < 20


def test_a_file_is_one_file_by_whatever_name(tmp_path: Path) -> None:
    """A folder that links to itself would else hold endlessly many files."""
    (tmp_path / "folder").symlink_to(".")
    with h5py.File(tmp_path / "main.h5", "w") as file:
        file["d"] = NUMBERS
        file["again"] = h5py.ExternalLink("folder/main.h5", "/")
        file["same"] = h5py.ExternalLink("folder/main.h5", "/d")
    references = scan(str(tmp_path / "main.h5"))
    assert outcomes(references) == {"d": "referenced", "same": "referenced"}
    assert [source.url for source in references.sources] == [f"file://{tmp_path / 'main.h5'}"]


def test_odd_names_are_kept(tmp_path: Path) -> None:
    path = written(odd_names, tmp_path)
    references = scan(str(path))
    assert set(outcomes(references).values()) == {"referenced"}
    assert_reads_as_h5py(references, path)


BAD_NAMES = [".zattrs", ".zarray", ".zgroup", "zarr.json", "back\\slash", "..."]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_names_that_no_zarr_node_can_have_are_refused(name: str, tmp_path: Path) -> None:
    def make(file: h5py.File) -> None:
        file["fine"] = NUMBERS
        file[name] = NUMBERS
        file[f"g/{name}/inner"] = NUMBERS

    path = written(make, tmp_path)
    with pytest.raises(RefmakerError, match="name"):
        scan(str(path))
    references = scan(str(path), on_unsupported="skip")
    assert outcomes(references)["fine"] == "referenced"
    assert outcomes(references)[name] == outcomes(references)[f"g/{name}"] == "skipped: name"
    assert set(through_references(references)) == {"fine"}


# -- depth and fan-out -------------------------------------------------------------------------------------------------
DEPTH = 2000


def deep(file: h5py.File) -> None:
    group = file["/"].id
    for _ in range(DEPTH):
        group = h5py.h5g.create(group, b"g")
    h5py.Group(group)["d"] = NUMBERS


def test_deep_nesting_exhausts_no_stack(tmp_path: Path) -> None:
    path, document = written(deep, tmp_path), tmp_path / "deep.json"
    references = scan(str(path))
    inner = "/".join([*["g"] * DEPTH, "d"])
    assert outcomes(references) == {inner: "referenced"}
    assert sum(1 for _ in walk(references.root)) == DEPTH + 2
    write_references(references, document)
    assert f"{inner}/.zarray" in json.loads(document.read_bytes())["refs"]
    try:
        assert outcomes(open_references(document)).keys() <= {inner}
    except RefmakerError as error:
        assert "path" in str(error)  # noqa: PT017
    assert run(["info", str(document)]) in {ExitCode.DONE, ExitCode.NOTHING_DONE}


def diamonds(file: h5py.File) -> None:
    """Thirty groups, each with two links to the next: a tree of 2**30 paths."""
    groups = [file.create_group(f"g{i}") for i in range(30)]
    for upper, lower in pairwise(groups):
        upper["a"] = upper["b"] = lower
    groups[-1]["d"] = NUMBERS


def test_links_that_multiply_are_bounded(tmp_path: Path) -> None:
    path = written(diamonds, tmp_path)
    began = time.perf_counter()
    references = scan(str(path))
    assert time.perf_counter() - began < 5
    notes = {note.code for note in references.report.notes}
    assert notes == {"hard-link"}
    for number in range(30):
        assert f"g{number}" in references.root.groups
    assert array_of(references, "g29/d").metadata.shape == (12,)


# -- groups ------------------------------------------------------------------------------------------------------------
def nested(file: h5py.File) -> None:
    for path in ("d", "a/d", "a/b/d", "a/b/c/d", "e/d"):
        file[path] = NUMBERS
        file[path].attrs["at"] = path
    file["a"].attrs["level"] = 1
    file.create_group("empty/inside")


def test_every_group_is_shown_with_what_it_holds(tmp_path: Path) -> None:
    path, document = written(nested, tmp_path), tmp_path / "nested.json"
    write_references(scan(str(path)), document)
    tree: Any
    with xr.open_datatree(document, engine="refmaker") as tree:
        assert {node.path for node in tree.subtree} == {
            "/", "/a", "/a/b", "/a/b/c", "/e", "/empty", "/empty/inside",
        }  # fmt: skip
        for where in ("d", "a/d", "a/b/d", "a/b/c/d", "e/d"):
            assert tree[where].attrs == {"at": where}
            np.testing.assert_array_equal(tree[where].values, NUMBERS)
    for store in (stock_store(document), f"refmaker://{document}"):
        for group in ("", "a", "a/b", "empty"):
            opened = zarr.open_group(store, path=group, mode="r", zarr_format=2)
            assert ("d" in opened) == (group != "empty")
