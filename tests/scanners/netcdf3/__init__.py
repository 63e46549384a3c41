"""NetCDF classic files."""
