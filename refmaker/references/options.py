"""How references are to be written: one value for every encoding."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from refmaker.errors import OptionError

__all__ = ["RECORD_SIZE", "WriteOptions"]

RECORD_SIZE = 100_000
"""Chunks in a Parquet partition: some hundred kB, which a reader decodes in some milliseconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteOptions:
    """How to write references.

    Attributes:
        relative_to: a directory; URLs below it are written relative to it. None: URLs stay as they are.
        zarr_format: how metadata is spelled: 2, which every reader knows, or 3.
        templates: write prefixes that many URLs share once (JSON only).
        record_size: chunks in a partition (Parquet only).
        allow_credentials: write URLs that hold a password or a signature.
        storage_options: for the filesystem that is written to.
    """

    relative_to: str | os.PathLike[str] | None = None
    zarr_format: int = 2
    templates: bool = False
    record_size: int = RECORD_SIZE
    allow_credentials: bool = False
    storage_options: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        if self.zarr_format not in {2, 3}:
            raise OptionError(f"there is no Zarr format {self.zarr_format!r}, only 2 and 3")
        if not 1 <= self.record_size <= 1 << 24:
            raise OptionError(f"{self.record_size} chunks in a partition; from 1 to {1 << 24} make sense")
