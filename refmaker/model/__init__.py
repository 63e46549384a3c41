"""What a file holds, in Zarr's terms: numpy only, no I/O, no formats."""
