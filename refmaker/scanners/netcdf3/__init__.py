"""NetCDF classic files: CDF-1 (classic), CDF-2 (64-bit offset) and CDF-5 (64-bit data)."""

from refmaker.scanners.netcdf3.scan import scan

__all__ = ["scan"]
