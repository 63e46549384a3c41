"""S3 through s3fs, against a server that speaks as much of it as reading needs."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import refmaker
from tests.remote_server import Asked, RemoteServer, serving
from tests.samples import LAB, OCEAN
from tests.scanners.comparing_remote import told

pytest.importorskip("s3fs")


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RemoteServer]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    (tmp_path / "bucket").mkdir()
    for path in (OCEAN, LAB):
        shutil.copy(path, tmp_path / "bucket")
    with serving(tmp_path) as server:
        yield server


def options(server: RemoteServer) -> dict[str, object]:
    return {"s3": {"anon": True, "endpoint_url": server.url}}


def test_a_file_in_a_bucket_is_scanned_like_a_local_one(server: RemoteServer) -> None:
    found = refmaker.scan("s3://bucket/ocean.nc", storage_options=options(server))
    assert told(found, "s3://bucket") == told(refmaker.scan(str(OCEAN)), f"file://{OCEAN.parent}")
    assert (found.report.requests, found.report.rounds, found.report.misses) == (1, 1, 0)
    assert found.sources[0].etag
    assert sorted(asked.method for asked in server.asked) == ["GET", "HEAD"]  # side by side: one wait


def test_a_missing_key_is_a_source_error(server: RemoteServer) -> None:
    with pytest.raises(refmaker.SourceError, match="FileNotFoundError"):
        refmaker.scan("s3://bucket/none.nc", storage_options=options(server))


def test_a_key_that_changes_meanwhile_is_stale(server: RemoteServer) -> None:
    def change(asked: Asked) -> str:
        if asked.span and asked.span[0]:
            with (server.folder / "bucket" / "lab.h5").open("ab") as file:
                file.write(b"more")
        return ""

    server.fault = change
    with pytest.raises(refmaker.StaleSourceError):
        refmaker.scan("s3://bucket/lab.h5", storage_options=options(server), on_unsupported="skip")


def test_nobody_is_anonymous_unasked(server: RemoteServer) -> None:
    with pytest.raises(refmaker.SourceError, match="anon=True"):
        refmaker.scan("s3://bucket/ocean.nc", storage_options={"endpoint_url": server.url})
    assert server.asked == []
