"""Locations relative to the document that holds them."""

from refmaker.errors import OptionError
from refmaker.model.reference_set import ReferenceSet

__all__ = ["check_below", "folder_of"]


def folder_of(output: str) -> str:
    """Return the directory that holds a document (a path or URL), which may be a directory itself."""
    return output.rstrip("/").rpartition("/")[0] or ("/" if output.startswith("/") else ".")


def check_below(references: ReferenceSet, folder: str) -> None:
    """Refuse to write a location as absolute when it was to be relative.

    Raises:
        OptionError: a source does not lie below the folder.
    """
    from refmaker.references.relocate import relative_to

    relative = relative_to(folder)
    for source in references.sources:
        if relative(source.url) == source.url:
            raise OptionError(
                f"--relative needs it below the document's directory, {folder}; write the document above it",
                location=source.url,
            )
