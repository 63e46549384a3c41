"""Every fault of a store x every door: the error, or the right data after retries; never wrong data."""

import hashlib
import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from refmaker.errors import ChunkReadError, StaleSourceError
from refmaker.model.reference_set import ReferenceSet, SourceFile
from refmaker.references import write_references
from tests.serve.clients import HTTP, OBSTORE, S3FS, last_modified_told, only
from tests.serve.doors import DOORS, QUICK, Door
from tests.servers import S3, Faults
from tests.virtual import AIR, TIME, sample

PASSING = ["500", "502", "503", "429", "408", "425", "reset", "short", "cut", "empty", "slow", "other range"]
"""Faults that are tried again."""
FINAL = ["404", "403", "401", "416", "501", "ignores range", "login 200", "login 206", "bare login 206", "no range"]
"""Faults that are not."""
ARRAYS = {"air": AIR, "time": TIME}
"""One array that is compressed, and one that is not, where nothing but us would notice foreign bytes."""


@pytest.fixture(params=DOORS)
def door(request: pytest.FixtureRequest) -> Door:
    return DOORS[request.param]


WAYS = [*((door, client) for client in (HTTP, OBSTORE) for door in DOORS), ("3 engine", S3FS)]
"""Every door over every reader of ranges of ours; s3fs once, for the difference that it makes."""


@dataclass(frozen=True)
class Remote:
    """Data on the faulty server, references to it, and a door that reads them."""

    door: Door
    refs: str
    url: str
    file: Path
    options: Mapping[str, Any]

    def read(self, path: str, refs: Any = None, **options: Any) -> np.ndarray:
        return self.door(self.refs if refs is None else refs, path, **options, **self.options)


@pytest.fixture(params=WAYS, ids=" - ".join)
def remote(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, served: Faults) -> Remote:
    door, client = request.param
    url, file, options = f"{served.url}/data.bin", served.folder / "data.bin", {}
    if client != HTTP:
        url, file = "s3://bucket/data.bin", served.folder / "bucket" / "data.bin"
        options = {"remote": {"s3": {"anon": True, "endpoint_url": served.url}}}
        only(client, monkeypatch)
        last_modified_told(monkeypatch)
    references = sample(tmp_path, url)
    file.parent.mkdir(exist_ok=True)
    shutil.copy(tmp_path / "data é.bin", file)
    write_references(references, served.folder / "refs.json")
    served.seconds = 1.5
    return Remote(DOORS[door], f"{served.url}/refs.json", url, file, options)


@pytest.fixture(params=[S3FS, OBSTORE])
def client(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    only(request.param, monkeypatch)


@pytest.mark.parametrize("fault", PASSING)
def test_what_passes_is_tried_again(fault: str, remote: Remote, served: Faults) -> None:
    served.fault, served.times = fault, 2 if fault != "slow" else 1
    np.testing.assert_array_equal(remote.read("time"), TIME)
    assert served.times == 0


@pytest.mark.parametrize("fault", PASSING)
def test_what_does_not_pass_is_an_error_after_some_attempts(fault: str, remote: Remote, served: Faults) -> None:
    served.fault, served.seconds = fault, 0.9
    tuning = {"timeout": 0.3, "attempts": 2} if fault == "slow" else {}
    with pytest.raises(ChunkReadError) as caught:
        remote.read("time", **tuning)
    assert "time/0" in str(caught.value)
    assert remote.url in str(caught.value)
    attempts = 2 if fault == "slow" else QUICK["attempts"]
    assert attempts <= len(served.gets()) <= 2 * attempts  # aiohttp itself tries a reset connection once more


@pytest.mark.parametrize("path", ARRAYS)
@pytest.mark.parametrize("fault", FINAL)
def test_what_cannot_pass_is_an_error_at_once(fault: str, path: str, remote: Remote, served: Faults) -> None:
    served.fault = fault
    with pytest.raises(ChunkReadError) as caught:
        remote.read(path)
    assert f"{path}/" in str(caught.value)
    assert remote.url in str(caught.value)
    again = Counter(served.gets()).most_common(1)[0][1]
    assert again <= 2 < QUICK["attempts"]  # clients repeat a request whose kept connection has just been closed
    served.fault = ""
    np.testing.assert_array_equal(remote.read(path), ARRAYS[path])


def with_facts(references: ReferenceSet, url: str, **facts: Any) -> ReferenceSet:
    return ReferenceSet(references.root, (SourceFile(url, **facts),))


def test_another_etag_is_a_stale_source(tmp_path: Path, remote: Remote, served: Faults) -> None:
    data = remote.file.read_bytes()
    tag = f'"{hashlib.md5(data).hexdigest()}"'
    tagged = with_facts(sample(tmp_path), remote.url, size=len(data), etag=tag)
    np.testing.assert_array_equal(remote.read("time", tagged), TIME)
    served.fault = "other etag"
    with pytest.raises(StaleSourceError, match="entity tag"):
        remote.read("time", tagged)
    np.testing.assert_array_equal(remote.read("time", tagged, on_stale="ignore"), TIME)
    with pytest.warns(UserWarning, match="entity tag"):
        np.testing.assert_array_equal(remote.read("time", tagged, on_stale="warn"), TIME)


def test_another_size_is_a_stale_source(tmp_path: Path, remote: Remote) -> None:
    references = sample(tmp_path, remote.url)
    data = remote.file.read_bytes()
    remote.file.write_bytes(data + b"more")
    with pytest.raises(StaleSourceError, match=f"has {len(data) + 4} bytes"):
        remote.read("time", references)
    np.testing.assert_array_equal(remote.read("time", references, on_stale="ignore"), TIME)
    for size in (100, 4):  # the range ends behind the end, and begins there
        remote.file.write_bytes(data[:size])
        with pytest.raises((ChunkReadError, StaleSourceError)):
            remote.read("time", references, on_stale="ignore")


@pytest.mark.usefixtures("client")
def test_s3_is_read_and_its_faults_are_errors(door: Door, tmp_path: Path, s3: S3) -> None:
    references = sample(tmp_path, "s3://bucket/data.bin")
    data = (tmp_path / "data é.bin").read_bytes()
    s3.put("data.bin", data)
    tag = s3.client.head_object(Bucket="bucket", Key="data.bin")["ETag"]
    tagged = with_facts(references, "s3://bucket/data.bin", size=len(data), etag=tag)
    options: dict[str, Any] = {"remote": {"s3": s3.options}, "timeout": 10}
    for path, want in ARRAYS.items():
        np.testing.assert_array_equal(door(tagged, path, **options), want)
    s3.put("data.bin", data[::-1])  # as long, but another
    with pytest.raises(StaleSourceError, match="entity tag"):
        door(tagged, "time", **options)
    s3.put("data.bin", data[:50])
    for on_stale in ("raise", "ignore"):
        with pytest.raises((ChunkReadError, StaleSourceError)):
            door(tagged, "time", on_stale=on_stale, **options)
    s3.client.delete_object(Bucket="bucket", Key="data.bin")
    with pytest.raises(ChunkReadError, match=r"time/0"):
        door(tagged, "time", **options)


def test_references_on_s3_point_beside_themselves(door: Door, tmp_path: Path, s3: S3) -> None:
    references = sample(tmp_path, "s3://bucket/data.bin")
    s3.put("data.bin", (tmp_path / "data é.bin").read_bytes())
    write_references(references, tmp_path / "refs.json")
    s3.put("refs.json", (tmp_path / "refs.json").read_bytes())
    options = {"remote": {"s3": s3.options}, "target": s3.options, "timeout": 10}
    np.testing.assert_array_equal(door("s3://bucket/refs.json", "air", **options), AIR)


def test_a_store_without_ranges_facts_is_asked_once(door: Door, tmp_path: Path) -> None:
    import fsspec

    references = sample(tmp_path, "memory:///data.bin")
    data = (tmp_path / "data é.bin").read_bytes()
    memory = fsspec.filesystem("memory")
    memory.pipe_file("/data.bin", data)
    np.testing.assert_array_equal(door(references, "time"), TIME)
    memory.pipe_file("/data.bin", data + b"more")
    with pytest.raises(StaleSourceError):
        door(references, "time")
    memory.rm("/data.bin")
    with pytest.raises(ChunkReadError):
        door(references, "time")


def test_a_range_that_is_the_whole_file_may_come_as_such(tmp_path: Path, served: Faults) -> None:
    from refmaker.model.array import ArrayMetadata, VirtualArray
    from refmaker.model.chunks import ChunkManifest
    from refmaker.model.group import VirtualGroup

    (served.folder / "data.bin").write_bytes(TIME.tobytes())
    manifest = ChunkManifest.single((1,), location_id=0, offset=0, length=TIME.nbytes)
    array = VirtualArray(ArrayMetadata((4,), (4,), TIME.dtype, dimension_names=("x",)), manifest)
    references = ReferenceSet(VirtualGroup({"v": array}), (SourceFile(f"{served.url}/data.bin"),))
    for fault in ("", "ignores range"):
        served.fault = fault
        np.testing.assert_array_equal(DOORS["3 engine"](references, "v"), TIME)
    served.fault = "login 200"
    with pytest.raises(ChunkReadError):
        DOORS["3 engine"](references, "v")
