"""The HDF5 scanner."""
