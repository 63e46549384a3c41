"""Many inputs to one data set, on manifests: placed, checked, then laid out. ``refmaker.combine`` is the way in."""
