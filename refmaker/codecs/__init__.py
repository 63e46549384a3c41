"""Decoders that stock numcodecs lacks, one per file, registered by the entry points ``numcodecs.codecs``."""
