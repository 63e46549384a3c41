"""The structures of an HDF5 file, walked only to learn which bytes a scan will read.

The truth about objects comes from h5py, and where chunks lie from ``chunk_index``; over a network each of their reads
would be a wait. So before them this walker follows every pointer of the format that they will follow, all objects side
by side, and wishes for what the pointers point to. Nothing it reads is used for anything else: what it does not
understand, it leaves out, and h5py fetches that on demand.
"""

from refmaker.scanners.hdf5.walk.objects import walk

__all__ = ["walk"]
