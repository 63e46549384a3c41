"""How references are served: one frozen value that every door takes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from refmaker.errors import OptionError
from refmaker.references.source_table import OptionsFor, by_protocol

__all__ = ["EVERYWHERE", "OnStale", "ServeOptions"]

OnStale = Literal["raise", "warn", "ignore"]
EVERYWHERE = "*"
"""In ``allow``: sources may lie anywhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeOptions:
    """What a reader may choose.

    Attributes:
        on_stale: when a source is no longer the file that was scanned: ``"raise"`` StaleSourceError, ``"warn"``, or
            ``"ignore"``.
        allow: URL prefixes that sources may lie under beside those that ``AllowedLocations`` allows by itself;
            ``"*"``: all.
        merge_gap: bytes between two wanted ranges of a remote file up to which one request reads both.
        request_bytes: bytes of a merged request at most; a longer chunk is a request of its own.
        in_flight: remote requests at the same time.
        attempts: how often a remote request is tried when the store fails in a way that may pass.
        first_delay: seconds before the second attempt; each further delay is twice as long.
        timeout: seconds without an answer, or without another byte, that count as a failure.
        source_options: options of the sources' filesystems by protocol; those under ``""`` are for every protocol.
    """

    on_stale: OnStale = "raise"
    allow: Sequence[str] = ()
    merge_gap: int = 0
    request_bytes: int = 4 << 20
    in_flight: int = 64
    attempts: int = 5
    first_delay: float = 0.2
    timeout: float = 60.0
    source_options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if self.on_stale not in {"raise", "warn", "ignore"}:
            raise OptionError(f"on_stale is {self.on_stale!r}, not 'raise', 'warn' or 'ignore'")
        if isinstance(self.allow, str):
            raise OptionError("allow is one string; give a list of URL prefixes")
        object.__setattr__(self, "allow", tuple(self.allow))  # lists come out of JSON
        if min(self.in_flight, self.attempts, self.request_bytes) < 1 or min(self.merge_gap, self.first_delay) < 0:
            raise OptionError(f"makes no sense: {self}")

    @property
    def options_for(self) -> OptionsFor:
        """Filesystem options by URL."""
        return by_protocol(self.source_options)
