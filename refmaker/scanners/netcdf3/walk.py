"""Reading a remote classic file ahead: its header is all that a scan reads."""

from refmaker.scanners.netcdf3.header import read_header
from refmaker.source.base import Parser
from refmaker.source.rounds import FileAhead

__all__ = ["walk"]


def walk(file: FileAhead) -> Parser[None]:
    """Wish for the header, in growing pieces."""
    yield from read_header(file.size, file.location)
