"""A forked child reads what its parent has open: it has its own loop, sessions and threads."""

import shutil
import subprocess
import sys
from pathlib import Path

from refmaker.references import write_references
from tests.servers import Faults
from tests.virtual import sample

PROGRAM = """
import os, sys
import numpy as np, xarray as xr, zarr
from tests.virtual import AIR

def read(refs):
    opened = xr.open_dataset(refs, engine="refmaker")
    np.testing.assert_array_equal(opened.air.values, AIR)
    np.testing.assert_array_equal(zarr.open_group(f"refmaker://{refs}", mode="r")["air"][...], AIR)
    return opened

kept = [read(refs) for refs in sys.argv[1:]]
child = os.fork()
if child == 0:
    for opened in kept:
        np.testing.assert_array_equal(opened.air.values, AIR)
    os._exit(0)
_, status = os.waitpid(child, 0)
sys.exit(os.waitstatus_to_exitcode(status))
"""


def test_a_forked_child_reads(tmp_path: Path, served: Faults) -> None:
    write_references(sample(tmp_path), tmp_path / "local.json")
    write_references(sample(tmp_path, f"{served.url}/data.bin"), tmp_path / "remote.json")
    shutil.copy(tmp_path / "data é.bin", served.folder / "data.bin")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM, str(tmp_path / "local.json"), str(tmp_path / "remote.json")],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
