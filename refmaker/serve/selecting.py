"""Giving zarr our codec pipeline, where it has its default one.

zarr chooses its pipeline by a global setting, at the moment it opens an array; there is no other way to see a whole
selection than to be that pipeline. Ours leaves every store but ours to zarr's own code, so having it selected changes
nothing else; and whoever has chosen another pipeline keeps it.
"""

import sys

__all__ = ["PIPELINE", "select_pipeline"]

PIPELINE = "refmaker.serve.codec_pipeline.PlannedCodecPipeline"
DEFAULT = "zarr.core.codec_pipeline.BatchedCodecPipeline"


def select_pipeline() -> None:
    """Select ``PlannedCodecPipeline`` in this process unless zarr is not in use or has another one selected."""
    if "zarr" not in sys.modules:
        return
    from zarr.core.config import config

    if config.get("codec_pipeline.path") == DEFAULT:
        from refmaker.serve.codec_pipeline import register

        register()
        config.set({"codec_pipeline.path": PIPELINE})
