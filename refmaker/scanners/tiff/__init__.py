"""TIFF and its kin: BigTIFF, GeoTIFF, COG, OME-TIFF, ImageJ, SVS and what else tifffile knows.

tifffile says what the images of a file are (series, levels, axes); where their strips and tiles lie is read from the
file's own structures as numpy columns, after these have been checked (``directories``). See ``scan`` for the layout.
"""

from refmaker.scanners.tiff.scan import scan

__all__ = ["scan"]
