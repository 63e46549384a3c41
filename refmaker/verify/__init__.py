"""References held against the files that they point into."""
