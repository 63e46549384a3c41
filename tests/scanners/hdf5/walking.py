"""Scanning with the walker held to account: blocks so small that what it did not wish for is not there."""

import fsspec
import pytest

import refmaker
from refmaker.scanners.hdf5.walk import walk
from refmaker.source import blocks, remote, rounds
from refmaker.source.base import MemorySource
from refmaker.source.blocks import BlockStore
from refmaker.source.rounds import FileAhead, worth_keeping

SMALL = 512
"""As much as libhdf5 reads at once of most structures."""


def without_luck(patch: pytest.MonkeyPatch, block: int = SMALL) -> None:
    """Have nothing fetched whole, or because it happened to lie near."""
    for module in (rounds, blocks):
        patch.setattr(module, "WHOLE_FILE_BELOW", 0)
    patch.setattr(rounds, "BLOCK", block)
    patch.setattr(rounds, "GAP", 0)
    patch.setattr(remote, "HEAD", max(block, 2048))
    patch.setattr(blocks, "MISS_BLOCK", block)


def remotely(data: bytes) -> refmaker.ReferenceSet:
    """Return what scanning ``data`` in a remote store gives."""
    memory = fsspec.filesystem("memory")
    memory.pipe_file("/walking/file.h5", data)
    try:
        return refmaker.scan("memory://walking/file.h5", on_unsupported="skip")
    finally:
        memory.rm_file("/walking/file.h5")


def rounds_of(data: bytes) -> int:
    """Return the rounds that the walker alone takes over ``data``."""
    ahead, store = FileAhead(len(data), "it"), BlockStore(MemorySource(data))
    ahead.start(walk(ahead))
    count = 0
    while True:
        spans, wanted = ahead.advance(store)
        if not spans:
            assert store.misses == 0
            return count
        count += 1
        store.put([piece for a, b in spans for piece in worth_keeping(a, data[a:b], wanted)])
