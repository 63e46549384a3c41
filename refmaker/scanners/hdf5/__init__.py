"""HDF5 and NetCDF-4: the object model by h5py, the bytes by us."""

from refmaker.scanners.hdf5.scan import scan

__all__ = ["scan"]
