"""Virtual Zarr stores over HDF5, NetCDF and TIFF archives, without copying a byte."""

__version__ = "0.1.0"
