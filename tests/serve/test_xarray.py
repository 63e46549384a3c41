"""``engine="refmaker"``."""

import json
from pathlib import Path

import pytest
import xarray as xr

from refmaker.references import write_references
from refmaker.references.kerchunk_json import json_text
from refmaker.serve.xarray import RefmakerBackendEntrypoint
from tests.virtual import ODD_NAME, assert_is_inner, assert_is_sample, sample


@pytest.fixture
def refs(tmp_path: Path) -> Path:
    path = tmp_path / "refs.json"
    write_references(sample(tmp_path), path)
    return path


def test_paths_and_objects_are_opened(refs: Path, tmp_path: Path) -> None:
    document = json.loads(b"".join(json_text(sample(tmp_path))))
    for given in (refs, str(refs), f"file://{refs}", sample(tmp_path), document):
        assert_is_sample(xr.open_dataset(given, engine="refmaker"))
    assert_is_inner(xr.open_dataset(refs, engine="refmaker", group="inner"))


def test_dask_is_used_when_asked_for(refs: Path) -> None:
    opened = xr.open_dataset(refs, engine="refmaker", chunks={})
    assert opened.air.chunks == ((1, 1, 1, 1), (4, 2), (5,))
    assert_is_sample(opened.compute())


def test_trees_are_opened(refs: Path) -> None:
    tree = xr.open_datatree(refs, engine="refmaker")
    assert tree.groups == ("/", "/inner", "/inner/deep")
    assert_is_inner(tree["inner"])
    assert list(xr.open_groups(refs, engine="refmaker")) == ["/", "/inner", "/inner/deep"]


def test_options_reach_the_filesystem(refs: Path) -> None:
    options = {"remote_options": {}, "storage_options": {"memory": {}}, "target_options": {}}
    assert_is_sample(xr.open_dataset(refs, engine="refmaker", storage_options=options))


def test_decoding_can_be_switched_off(refs: Path) -> None:
    raw = xr.open_dataset(refs, engine="refmaker", group="inner", mask_and_scale=False)
    assert next(iter(raw.data_vars.values())).dtype == "int16"
    assert "air" not in xr.open_dataset(refs, engine="refmaker", drop_variables="air")


def test_it_claims_only_its_own_files(refs: Path, tmp_path: Path) -> None:
    engine = RefmakerBackendEntrypoint()
    assert engine.guess_can_open(refs)
    assert engine.guess_can_open(str(refs))
    (tmp_path / "other.json").write_text('{"version":1,"refs":{}}')
    for other in (tmp_path / "other.json", tmp_path / "none.json", "s3://bucket/refs.json", tmp_path, 5, "x.nc"):
        assert not engine.guess_can_open(other)


def test_every_switch_of_xarray_s_decoding_reaches_it(refs: Path) -> None:
    opened = xr.open_dataset(refs, engine="refmaker", decode_cf=False, drop_variables=iter(["air"]))
    assert opened["time"].attrs == {}
    assert "air" not in opened
    inner = xr.open_dataset(refs, engine="refmaker", group="/inner/", decode_cf=False)
    assert inner[ODD_NAME].attrs["_FillValue"] == -5
    tree = xr.open_datatree(refs, engine="refmaker", group="inner", drop_variables=iter([ODD_NAME, "time"]))
    assert [list(node.data_vars) for node in tree.subtree] == [[], []]
    for opener in (xr.open_dataset, xr.open_datatree, xr.open_groups):
        with pytest.raises(TypeError, match="no_such_switch"):
            opener(refs, engine="refmaker", no_such_switch=True)
