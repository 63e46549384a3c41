"""When ranges of S3 objects go through obstore, and when only s3fs will do."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest

from refmaker.references import write_references
from refmaker.serve import obstore_range
from refmaker.serve.obstore_range import store_for
from refmaker.serve.remote import io_loop
from tests.serve.clients import last_modified_told
from tests.serve.doors import DOORS
from tests.servers import Faults
from tests.virtual import TIME, sample

pytest.importorskip("s3fs")
pytest.importorskip("obstore")

ANONYMOUS = {"anon": True, "endpoint_url": "http://127.0.0.1:9/"}
SIGNED = {"key": "k", "secret": "s", "endpoint_url": "http://127.0.0.1:9"}
AWS = ("AWS_ENDPOINT_URL", "AWS_CA_BUNDLE", "AWS_DEFAULT_REGION", "AWS_REGION", "AWS_PROFILE")


@pytest.fixture(autouse=True)
def nothing_in_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in AWS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))


def config_of(options: Mapping[str, Any], key: str = "data.bin") -> dict[str, Any] | None:
    """Return how obstore would read a key; None: it would not."""
    filesystem = fsspec.filesystem("s3", skip_instance_cache=True, **options)
    store = asyncio.run_coroutine_threadsafe(store_for(filesystem, "bucket", key), io_loop()).result()
    return None if store is None else {name: store.config[name] for name in sorted(store.config)}


def test_obstore_is_told_what_s3fs_was_told() -> None:
    place = {"bucket": "bucket", "endpoint": "http://127.0.0.1:9", "region": "us-east-1"}
    signed = {"access_key_id": "k", "secret_access_key": "s"}
    assert config_of(ANONYMOUS) == {**place, "skip_signature": "true"}
    assert config_of(SIGNED) == {**signed, **place}
    assert config_of({**SIGNED, "token": "t"}) == {**signed, **place, "session_token": "t"}
    assert config_of({**SIGNED, "anon": True}) == {**place, "skip_signature": "true"}
    region = {"anon": True, "client_kwargs": {"region_name": "eu-west-1"}}
    assert config_of(region) == {
        "bucket": "bucket", "endpoint": "https://s3.eu-west-1.amazonaws.com", "region": "eu-west-1",
        "skip_signature": "true",
    }  # fmt: skip


def test_it_reads_where_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:10")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    found = config_of({"key": "k", "secret": "s"})
    assert found is not None
    assert (found["endpoint"], found["region"]) == ("http://127.0.0.1:10", "eu-west-1")


@pytest.mark.parametrize(
    "options",
    [
        {"endpoint_url": "http://127.0.0.1:9"},  # whatever credentials botocore finds
        {**SIGNED, "secret": None},
        {**SIGNED, "requester_pays": True},
        {**SIGNED, "config_kwargs": {"signature_version": "s3"}},
        {**SIGNED, "s3_additional_kwargs": {"SSECustomerKey": "x"}},
        {**SIGNED, "client_kwargs": {"verify": False}},
        {**ANONYMOUS, "version_aware": True},
    ],
    ids=repr,
)
def test_what_it_cannot_be_told_is_left_to_s3fs(options: Mapping[str, Any]) -> None:
    assert config_of(options) is None


@pytest.mark.parametrize("key", ["a//b", "a/", "a/./b", "a/../b"])
def test_keys_that_are_no_paths_are_left_to_s3fs(key: str) -> None:
    assert config_of(ANONYMOUS, "a/b") is not None
    assert config_of(ANONYMOUS, key) is None


def test_a_user_s_files_may_say_more_than_obstore_can(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    secure = {**SIGNED, "endpoint_url": "https://127.0.0.1:9"}
    assert config_of(secure) is not None
    (tmp_path / "config").write_text("[default]\nca_bundle = /etc/certificates.pem\n")
    assert config_of(secure) is None
    assert config_of(SIGNED) is not None  # without TLS no certificate matters
    (tmp_path / "config").write_text("[default]\ns3 =\n    addressing_style = virtual\n")
    assert config_of(SIGNED) is None


@pytest.mark.parametrize("status", ["301", "307", "400"])
def test_a_bucket_elsewhere_is_left_to_s3fs(
    status: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, served: Faults
) -> None:
    last_modified_told(monkeypatch)
    references = sample(tmp_path, "s3://bucket/data.bin")
    (served.folder / "bucket").mkdir()
    (tmp_path / "data é.bin").rename(served.folder / "bucket" / "data.bin")
    served.fault, served.times = status, 1
    options = {"remote": {"s3": {**ANONYMOUS, "endpoint_url": served.url}}}
    for requests in (2, 3):  # obstore asks once, and never again
        np.testing.assert_array_equal(DOORS["3 engine"](references, "time", **options), TIME)
        assert len(served.gets()) == requests


@pytest.mark.parametrize("name", ["a b é%41+.bin", "~!$&'()*,;=:@[]{}^`|.bin", '#?\\".bin', "…/日本.bin"])
def test_odd_keys_are_asked_for_as_they_are(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, served: Faults
) -> None:
    from urllib.parse import unquote

    last_modified_told(monkeypatch)
    references = sample(tmp_path, f"s3://bucket/{name}")
    served.fault = "404"
    with pytest.raises(Exception, match="time/0"):
        DOORS["3 engine"](references, "time", remote={"s3": {**ANONYMOUS, "endpoint_url": served.url}})
    assert {unquote(path) for _, path, _ in served.requests} == {f"/bucket/{name}"}


@pytest.fixture
def no_stores() -> Iterator[None]:
    obstore_range._store.cache_clear()
    yield
    obstore_range._store.cache_clear()


@pytest.mark.usefixtures("no_stores")
def test_without_obstore_s3fs_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore.store", None)
    assert config_of(ANONYMOUS) is None


@pytest.mark.usefixtures("no_stores")
@pytest.mark.parametrize(("version", "is_used"), [("0.7.9", False), ("0.8.0", True), ("0.12.1", True), ("1.0", True)])
def test_an_old_obstore_is_not_used(version: str, is_used: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("obstore.__version__", version)
    assert (config_of(ANONYMOUS) is not None) is is_used


PROGRAM = """
import os, sys
import numpy as np, obstore
from tests.serve.doors import DOORS
from tests.virtual import TIME

asked = obstore.get_async
times = []

def counted(*args, **options):
    times.append(1)
    return asked(*args, **options)

def read():
    options = {"s3": {"anon": True, "endpoint_url": sys.argv[2]}}
    np.testing.assert_array_equal(DOORS["3 engine"](sys.argv[1], "time", remote=options, timeout=5), TIME)

obstore.get_async = counted
read()
assert times == [1]
child = os.fork()
if child == 0:
    read()
    assert times == [1]
    os._exit(0)
_, status = os.waitpid(child, 0)
read()
assert times == [1, 1]
sys.exit(os.waitstatus_to_exitcode(status))
"""


def test_a_forked_child_reads_without_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, served: Faults) -> None:
    last_modified_told(monkeypatch)
    write_references(sample(tmp_path, "s3://bucket/data.bin"), tmp_path / "refs.json")
    (served.folder / "bucket").mkdir()
    (tmp_path / "data é.bin").rename(served.folder / "bucket" / "data.bin")
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM, str(tmp_path / "refs.json"), served.url]
    done = subprocess.run(
        command, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
