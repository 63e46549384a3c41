"""The sample files: where they are and the program that makes them."""

import importlib.util
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "sample_data"


def _load_make() -> ModuleType:
    """Import ``sample_data/make.py``, which is a program and in no package."""
    spec = importlib.util.spec_from_file_location("sample_data_make", FOLDER / "make.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


make = _load_make()
SAMPLES = tuple(FOLDER / name for name in make.SAMPLES)
COMPARABLE = tuple(path for path in SAMPLES if path.name != "netcdf3_streaming.nc")
"""The samples that the native library reads right: netCDF-C does not know the streaming record count."""
OCEAN, LAB, ODD = (FOLDER / name for name in ("ocean.nc", "lab.h5", "odd.h5"))
