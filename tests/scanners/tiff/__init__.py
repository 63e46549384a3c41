"""Tests of the TIFF scanner."""
