"""Ranges of S3 objects through obstore, where it is installed and can do all that the filesystem's options say.

Milliseconds of 600 ranges of 120 kB | 1,500 of 8 kB | 256 of 1 MB, 64 in flight, from a server that costs next to
nothing (of moto's, which takes 20 ms a request, all clients wait alike):

    s3    fsspec 548 | 1,296 | 416    obstore 130 | 277 | 125
    http  fsspec 124 |   653 | 307    obstore 161 | 636 | 191, for 0.8 to 2 times the processor time

botocore, under s3fs, spends 0.9 ms of the interpreter on a request. HTTP stays with fsspec: obstore does not tell which
URL answered in the end, so that nobody could check where a server sent us on to.

Retries are ours, and so are all checks of the answer that obstore does not make. It tells what went wrong in words
only, and not how long the store asks to be left alone. Its threads do not live on in a forked child, where a request
would never end.
"""

import os
import re
from functools import cache
from typing import Any

from refmaker.errors import SourceError
from refmaker.source.identity import Found
from refmaker.source.retries import HttpStatusError, ShortAnswerError

__all__ = ["object_range", "store_for"]

EXPRESSED = frozenset({"anon", "key", "secret", "token", "endpoint_url", "client_kwargs"})
"""s3fs's options that obstore has too."""
CLIENT_OPTIONS = frozenset({"endpoint_url", "region_name"})
"""The same of what ``client_kwargs`` may hold."""
OLDEST = (0, 8)
"""obstore before that asks for other keys where they hold any but plain characters."""
STATUS = re.compile(r"status code: (\d{3}) ?([\w ]*)")
ELSEWHERE = frozenset({301, 307, 400})
"""What S3 answers where a bucket lies in another region; botocore then asks there."""

_process = os.getpid()
_elsewhere: dict[int, Any] = {}
"""Stores that such an answer came from, by id; kept here, so that no other store gets the id of one."""


async def store_for(filesystem: Any, bucket: str, key: str) -> Any | None:
    """Return the obstore store that holds what ``filesystem`` does; None: only s3fs itself can read that."""
    options = filesystem.storage_options
    known = options.keys() <= EXPRESSED and (options.get("client_kwargs") or {}).keys() <= CLIENT_OPTIONS
    secrets = (None, None, None) if filesystem.anon else (filesystem.key, filesystem.secret, filesystem.token)
    if not known or filesystem.storage_args or not (filesystem.anon or all(secrets[:2])) or os.getpid() != _process:
        return None
    if any(part in {"", ".", ".."} for part in key.split("/")):  # obstore's keys are paths
        return None
    client = await filesystem.set_session()  # knows what the environment and the user's files say too
    endpoint = client.meta.endpoint_url.rstrip("/")
    secure = not endpoint.startswith("http://")
    if client.meta.config.s3 or (secure and filesystem.session.get_config_variable("ca_bundle")):
        return None
    store = _store(bucket, endpoint, client.meta.region_name, *secrets)
    return None if id(store) in _elsewhere else store


@cache
def _store(bucket: str, endpoint: str, region: str, key: str | None, secret: str | None, token: str | None) -> Any:
    """Return a store that tries once and waits as long as it is let; None without obstore, or with an old one."""
    try:
        import obstore
        from obstore.store import S3Store
    except ImportError:
        return None
    if tuple(map(int, obstore.__version__.split(".")[:2])) < OLDEST:
        return None
    options: dict[str, Any] = {
        "client_options": {"allow_http": endpoint.startswith("http://"), "timeout": "1day"},
        "retry_config": {"max_retries": 0},
    }
    if key is None:
        options["skip_signature"] = True
    else:
        options |= {"access_key_id": key, "secret_access_key": secret}
        options |= {"session_token": token} if token else {}
    return S3Store(bucket, endpoint=endpoint, region=region, **options)


async def object_range(store: Any, key: str, start: int, stop: int) -> tuple[memoryview, Found] | None:
    """Return the bytes [start, stop) of an object, or those before its end; None: the bucket lies elsewhere.

    Raises:
        HttpStatusError: the store says no.
        ConnectionError: the connection broke.
        ShortAnswerError: it sent another range.
        SourceError: it sends no ranges, or cannot be trusted.
    """
    import obstore

    try:
        answer = await obstore.get_async(store, key, options={"range": (start, stop)})
        data = await answer.bytes_async()
    except Exception as error:
        failure = _failure(str(error))
        if isinstance(failure, HttpStatusError) and failure.status in ELSEWHERE:
            _elsewhere[id(store)] = store
            return None
        raise failure from error
    facts = answer.meta
    return memoryview(data), Found(facts["size"], facts["e_tag"], facts["last_modified"].timestamp())


def _failure(told: str) -> Exception:
    """Return as an exception what obstore says went wrong; it goes on with its innards after the first line."""
    sentence = told.partition("\n")[0]
    if match := STATUS.search(sentence):
        return HttpStatusError(int(match[1]), match[2].strip())
    if "redirect" in sentence:  # 301 or 307 that do not say whereto
        return HttpStatusError(301, sentence)
    if "certificate" in told:
        return SourceError(f"its certificate is not trusted: {sentence}")
    if "HTTP error" in sentence:
        return ConnectionError(sentence)
    if "Requested" in sentence:  # "Requested 10..60, got 11..61"
        return ShortAnswerError(sentence)
    return SourceError(sentence)
