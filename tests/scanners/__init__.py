"""Scanners, one folder per format."""
