"""Bytes by range: the only layer that touches disk or network."""
