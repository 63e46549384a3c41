"""Virtual Zarr stores over HDF5, NetCDF and TIFF archives, without copying a byte.

The public names stand here and are imported on first use, so that ``import refmaker`` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

__all__ = [
    "ArrayMetadata",
    "BrokenFileError",
    "BrokenReferencesError",
    "ChunkManifest",
    "ChunkReadError",
    "Codec",
    "ConflictError",
    "DatasetState",
    "FromAttribute",
    "FromName",
    "FromPosition",
    "FromValues",
    "MissingDependencyError",
    "OptionError",
    "ReferenceSet",
    "RefmakerError",
    "ScanReport",
    "SourceError",
    "SourceFile",
    "StaleSourceError",
    "TruncatedFileError",
    "UnsupportedError",
    "VirtualArray",
    "VirtualGroup",
    "__version__",
    "combine",
    "index",
    "inline_below",
    "open_references",
    "scan",
    "scan_many",
    "verify",
    "write_references",
]

if TYPE_CHECKING:
    from refmaker.batch.index import index
    from refmaker.combine.placement import FromAttribute, FromName, FromPosition, FromValues
    from refmaker.errors import (
        BrokenFileError,
        BrokenReferencesError,
        ChunkReadError,
        ConflictError,
        MissingDependencyError,
        OptionError,
        RefmakerError,
        SourceError,
        StaleSourceError,
        TruncatedFileError,
        UnsupportedError,
    )
    from refmaker.model.array import ArrayMetadata, Codec, VirtualArray
    from refmaker.model.chunks import ChunkManifest
    from refmaker.model.group import VirtualGroup
    from refmaker.model.reference_set import DatasetState, ReferenceSet, ScanReport, SourceFile
    from refmaker.references import inline_below, open_references, write_references
    from refmaker.references.combining import combine
    from refmaker.scanners.many import scan_many
    from refmaker.scanners.registry import scan
    from refmaker.verify.run import verify

_MODULES = {
    "refmaker.batch.index": ("index",),
    "refmaker.combine.placement": ("FromAttribute", "FromName", "FromPosition", "FromValues"),
    "refmaker.errors": (name for name in __all__ if name.endswith("Error")),
    "refmaker.model.array": ("ArrayMetadata", "Codec", "VirtualArray"),
    "refmaker.model.chunks": ("ChunkManifest",),
    "refmaker.model.group": ("VirtualGroup",),
    "refmaker.model.reference_set": ("DatasetState", "ReferenceSet", "ScanReport", "SourceFile"),
    "refmaker.references": ("inline_below", "open_references", "write_references"),
    "refmaker.references.combining": ("combine",),
    "refmaker.scanners.many": ("scan_many",),
    "refmaker.scanners.registry": ("scan",),
    "refmaker.verify.run": ("verify",),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}
"""Public name -> the module that defines it."""

# The packages ``combine`` and ``verify`` (docstrings) are loaded and forgotten here, because Python binds a package in
# its parent when it is first loaded: later, that would hide the functions of the same names.
for _name in ("combine", "verify"):
    import_module(f"refmaker.{_name}")
    del globals()[_name]


def __getattr__(name: str) -> Any:
    """Import and return a public name, once."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOME[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted(globals().keys() | set(__all__))
