"""Chunks as the real HDF5 filters write them (h5py, hdf5plugin), beside the values that libhdf5 reads back."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any

import h5py
import numpy as np

from refmaker.codecs import CODECS

NAMES = count()


@dataclass(frozen=True, slots=True)
class Chunk:
    """One filtered chunk; ``values`` is what h5py reads from it, ``decoded`` those bytes."""

    raw: bytes
    mask: int
    cd_values: tuple[int, ...]
    values: np.ndarray
    tid: h5py.h5t.TypeID

    @property
    def decoded(self) -> bytes:
        return self.values.tobytes()


def written(
    values: Any,
    *,
    tid: h5py.h5t.TypeID | None = None,
    setup: Callable[[h5py.h5p.PropDCID], None] | None = None,
    memory: h5py.h5t.TypeID | None = None,
    **options: Any,
) -> Chunk:
    """Write ``values`` as one chunk and return it: filters by h5py keywords, or by ``setup`` on the property list.

    ``tid`` is the type in the file; ``memory`` that of ``values`` where numpy's does not say it.
    """
    values = np.ascontiguousarray(values)
    name = f"oracle-{next(NAMES)}.h5"
    with h5py.File(name, "w", driver="core", backing_store=False) as file:
        if setup is None and tid is None:
            dataset = file.create_dataset("x", data=values, chunks=values.shape, **options)
        else:
            plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            plist.set_chunk(values.shape)
            if setup is not None:
                setup(plist)
            stored = tid or h5py.h5t.py_create(values.dtype, logical=True)
            ident = h5py.h5d.create(file.id, b"x", stored, h5py.h5s.create_simple(values.shape), plist)
            ident.write(h5py.h5s.ALL, h5py.h5s.ALL, values, memory)
            dataset = h5py.Dataset(ident)
        file.flush()
        plist = dataset.id.get_create_plist()
        cd_values = plist.get_filter(0)[2] if plist.get_nfilters() else ()
        mask, raw = dataset.id.read_direct_chunk((0,) * values.ndim)
        return Chunk(bytes(raw), mask, tuple(cd_values), dataset[...], dataset.id.get_type().copy())


def pattern(dtype: Any, shape: tuple[int, ...] = (37, 53), *, seed: int = 0) -> np.ndarray:
    """Return values that compress but are not trivial: a noisy ramp over part of the type's range."""
    kind = np.dtype(dtype)
    rng = np.random.default_rng(seed)
    size = int(np.prod(shape))
    ramp = np.linspace(0, 100, size) + rng.normal(0, 3, size)
    if kind.kind == "i":
        ramp -= 50
    if kind.kind in "iu":
        limits = np.iinfo(kind)
        ramp = np.clip(ramp.round(), limits.min, limits.max)
    return ramp.astype(kind).reshape(shape)


def register_with_numcodecs() -> None:
    """Register every codec, as the entry points do where refmaker is installed."""
    import numcodecs

    from refmaker.codecs import codec_class

    for codec_id in CODECS:
        numcodecs.register_codec(codec_class(codec_id))
