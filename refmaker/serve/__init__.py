"""References to readers: an fsspec filesystem and an xarray engine, on one way of finding and reading chunks."""
