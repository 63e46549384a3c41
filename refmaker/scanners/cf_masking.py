"""Where readers of Zarr mask other values than the file says."""

from refmaker.model.array import ArrayMetadata

__all__ = ["wrong_mask"]


def wrong_mask(metadata: ArrayMetadata) -> str | None:
    """Return what is wrong with the masking that xarray will do, as a sentence, or None.

    xarray's decoding of ``_Unsigned`` views the fill value's bytes in the array's byte order, but takes the value in
    the machine's own: of big-endian integers it masks those with their bytes swapped (CF conventions appendix A,
    ``_Unsigned`` of the netCDF user's guide; seen with xarray 2026.9).
    """
    swapped = metadata.data_type.str[0] == ">" and metadata.data_type.kind in "iu"
    if not swapped or metadata.fill_value is None or str(metadata.attributes.get("_Unsigned")).lower() != "true":
        return None
    return (
        "big-endian _Unsigned integers: xarray masks values whose bytes are the fill value's swapped; "
        "open with mask_and_scale=False and mask by hand"
    )
