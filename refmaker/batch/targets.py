"""Documents that are to be written: what they cannot have, and locations relative to them."""

from collections.abc import Sequence

from refmaker.errors import OptionError
from refmaker.model.reference_set import ReferenceSet
from refmaker.references import ENCODINGS
from refmaker.references.options import RECORD_SIZE, WriteOptions
from refmaker.references.relocate import relative_to

__all__ = ["check_below", "check_targets", "folder_of"]


def check_targets(
    targets: Sequence[str], *, zarr_format: int = 2, templates: bool = False, record_size: int = RECORD_SIZE
) -> None:
    """Check the documents of one run against the options for writing them, before any work is done.

    Raises:
        OptionError: there is no encoding of a document's suffix, or an option is for documents of another encoding.
    """
    WriteOptions(zarr_format=zarr_format, templates=templates, record_size=record_size)
    kinds = set()
    for target in targets:
        encoding = next((one for one in ENCODINGS if target.rstrip("/").endswith(one.suffix)), None)
        if encoding is None:
            known = ", ".join(one.suffix for one in ENCODINGS)
            raise OptionError(f"no encoding of references has this suffix; there are {known}", location=target)
        kinds.add(encoding.folder)
        if encoding.folder and zarr_format == 3:
            raise OptionError("Parquet references have Zarr 2 metadata only; write JSON for Zarr 3", location=target)
    if templates and False not in kinds:
        raise OptionError("templates are for JSON; Parquet has no use for them", location=targets[0])
    if record_size != RECORD_SIZE and True not in kinds:
        raise OptionError("a record size is for Parquet; JSON has no partitions", location=targets[0])


def folder_of(output: str) -> str:
    """Return the directory that holds a document (a path or URL), which may be a directory itself."""
    return output.rstrip("/").rpartition("/")[0] or ("/" if output.startswith("/") else ".")


def check_below(references: ReferenceSet, folder: str) -> None:
    """Refuse to write a location as absolute when it was to be relative.

    Raises:
        OptionError: a source does not lie below the folder.
    """
    relative = relative_to(folder)
    for source in references.sources:
        if relative(source.url) == source.url:
            raise OptionError(
                f"a relative location needs it below the document's directory, {folder}; write the document above it",
                location=source.url,
            )
