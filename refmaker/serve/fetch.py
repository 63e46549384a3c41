"""One byte range of a remote file, by the store's own protocol, with what the answer says of the whole file.

HTTP and S3 tell size and entity tag with every range, so noticing a changed file costs no request there. Every answer
is held against what was asked: status 206, the range, the length; a web page in place of data (a login form, say) is
recognised by its first bytes. Other filesystems go through fsspec's ``cat_file`` and are asked for the facts once.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from refmaker.errors import SourceError
from refmaker.serve.obstore_range import object_range, store_for
from refmaker.source.identity import Found
from refmaker.source.location import tag_and_time
from refmaker.source.range_readers import asked, http_get
from refmaker.source.retries import HttpStatusError, ShortAnswerError

__all__ = ["Data", "Fetch", "Part", "fetch_for", "whole_facts"]

Data: TypeAlias = bytes | memoryview
"""What came; a view spares obstore's answers a copy."""


@dataclass(frozen=True, slots=True)
class Part:
    """The bytes of a range; what the answer said of the file (None: nothing); the URL that answered."""

    data: Data
    found: Found | None = None
    url: str | None = None


Fetch = Callable[[Any, str, int, int, float], Awaitable[Part]]
"""(filesystem, URL or path, start, stop, patience) -> the bytes [start, stop); runs in the filesystem's loop."""

CONTENT_RANGE = re.compile(r"bytes\s+(\d+)-(\d+)/(\d+|\*)")
PAGE = re.compile(rb"\s*<(!doctype html|html|\?xml[^>]*>\s*<(!doctype )?html)", re.IGNORECASE)
SLOWEST = 50_000
"""Bytes a second below which a store that tells no progress counts as stuck."""


def fetch_for(filesystem: Any) -> Fetch:
    """Return how ranges are fetched from a filesystem, by its protocols."""
    protocols = {filesystem.protocol} if isinstance(filesystem.protocol, str) else set(filesystem.protocol)
    if protocols & {"http", "https"} and hasattr(filesystem, "set_session"):
        return _http_range
    if "s3" in protocols and hasattr(filesystem, "_call_s3"):
        return _s3_range
    return _fsspec_range


async def whole_facts(filesystem: Any, path: str, patience: float) -> Found:
    """Return what a store tells of a file when it is asked."""
    async with asyncio.timeout(patience):
        info = await asked(filesystem, "info", path)
    etag, modified = tag_and_time(info)
    return Found(info.get("size"), etag, modified)


async def _fsspec_range(filesystem: Any, path: str, start: int, stop: int, patience: float) -> Part:
    async with asyncio.timeout(patience + (stop - start) / SLOWEST):
        data = await asked(filesystem, "cat_file", path, start=start, end=stop)
    return Part(_checked(bytes(data), start, stop))


async def _http_range(filesystem: Any, url: str, start: int, stop: int, patience: float) -> Part:
    import aiohttp

    timeout = aiohttp.ClientTimeout(total=None, sock_connect=patience, sock_read=patience)
    async with await http_get(filesystem, url, start, stop, timeout=timeout) as response:
        if response.status >= 400:
            raise HttpStatusError(response.status, response.reason or "", response.headers)
        size: int | None = stop
        if response.status == 206:
            size = _checked_range(response.headers.get("Content-Range"), start, stop)
        elif start or response.content_length != stop:  # a range that is the whole file may be answered as such
            what = "a web page" if "html" in response.headers.get("Content-Type", "") else "another part of the file"
            raise SourceError(f"the server answered {response.status} with {what}: it ignores byte ranges")
        data = _checked(await response.read(), start, stop)
        found = tag_and_time({"ETag": response.headers.get("ETag"), "mtime": response.headers.get("Last-Modified")})
        return Part(data, Found(size, *found), str(response.url))


async def _s3_range(filesystem: Any, path: str, start: int, stop: int, patience: float) -> Part:
    bucket, key, version = filesystem.split_path(path)
    arguments = {"Bucket": bucket, "Key": key, "Range": f"bytes={start}-{stop - 1}", **filesystem.req_kw}
    if version is not None:
        arguments["VersionId"] = version
    await filesystem.set_session()  # reads botocore's many files, which is not the store's slowness
    async with asyncio.timeout(patience + (stop - start) / SLOWEST):
        store = None if version else await store_for(filesystem, bucket, key)
        if store is not None and (answer := await object_range(store, key, start, stop)):
            return Part(_checked(answer[0], start, stop), answer[1])
        response: Mapping[str, Any] = await filesystem._call_s3("get_object", **arguments)
        body: Any = response["Body"]
        try:
            data = await body.read()
        finally:
            body.close()
    size = _checked_range(response.get("ContentRange"), start, stop)
    etag, modified = tag_and_time(response)
    return Part(_checked(data, start, stop), Found(size, etag, modified))


def _checked_range(content_range: str | None, start: int, stop: int) -> int | None:
    """Return the file's size if the server says that it sends the range that was asked for; None: it does not know."""
    match = CONTENT_RANGE.match(content_range or "")
    if match is None:
        raise SourceError(f"the server answered without the range it sends (Content-Range: {content_range})")
    first, last, size = int(match[1]), int(match[2]), None if match[3] == "*" else int(match[3])
    if size is not None and stop > size:
        raise SourceError(f"bytes {start} to {stop} wanted, but the file ends at byte {size}")
    if (first, last) != (start, stop - 1):
        raise ShortAnswerError(f"bytes {start}-{stop - 1} asked for, the server sends {first}-{last}")
    return size


def _checked(data: Data, start: int, stop: int) -> Data:
    if len(data) != stop - start:
        raise ShortAnswerError(f"{stop - start} bytes asked for, {len(data)} came")
    if PAGE.match(data, 0, 200):
        raise SourceError("the server answered with a web page in place of data")
    return data
