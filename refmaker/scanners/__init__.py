"""FILE -> ReferenceSet: one folder per format, each exporting ``scan``; ``registry`` finds the right one."""
