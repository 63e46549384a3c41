"""The README is followed: its code blocks run in order, in one shell, as a reader would paste them.

A block that begins with a file's name is that file. Only what installs is left out, because the packages are there.
"""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import tifffile
import xarray as xr
from h5py import h5d, h5p, h5s, h5t, h5z

from refmaker import ChunkReadError, SourceError, scan, write_references
from refmaker.serve.options import ServeOptions
from refmaker.serve.store import RefStore
from tests.samples import FOLDER, ROOT, make

README = (ROOT / "README.md").read_text()


@dataclass(frozen=True)
class Block:
    """A code block, and the line of the README at which it begins."""

    language: str
    code: str
    line: int

    @property
    def file(self) -> str:
        """The name of the file that it is, or ""."""
        found = re.match(r"# (\S+\.(?:py|toml))\n", self.code)
        return found[1] if found else ""


BLOCKS = [
    Block(found[1], found[2], README.count("\n", 0, found.start()) + 1)
    for found in re.finditer(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
]
SETUP, CHECKS, INSTALL, *TOUR = (block for block in BLOCKS if block.language != "text")
INSTALLS = re.compile(r"^(python3? -m (?:pip|venv) .*install .*|\. \.venv/bin/activate)\n", re.MULTILINE)
LONGEST = 600
"""Seconds after which a tour is given up."""
METADATA = "wheel/toy-1.dist-info"
"""What pip would make of the toy package, besides copying its module."""
PORT = "5001"
"""Where the README's own S3 listens."""


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def spelled(block: Block) -> str:
    """Return a block as a shell takes it."""
    if block.file:
        return f"mkdir -p {Path(block.file).parent}\ncat >{block.file} <<'END OF BLOCK'\n{block.code}END OF BLOCK\n"
    if block.language == "python":
        return f"python - <<'END OF BLOCK'\n{block.code}END OF BLOCK\n"
    return INSTALLS.sub(
        "",
        block.code.replace(".venv/s3/bin/", "").replace(
            "python -m pip install --quiet ./toy\n", f"mv {METADATA} toy\n"
        ),
    )


def run(script: str, folder: Path) -> str:
    """Run a shell script where this interpreter and its commands are found first; return what it prints."""
    found_first = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environment |= {"PATH": found_first, "PYTHONPATH": "toy", "PYTHONUNBUFFERED": "1"}
    done = subprocess.run(
        ["bash", "-eu"],
        cwd=folder,
        env=environment,
        input=script,
        capture_output=True,
        text=True,
        check=False,
        timeout=LONGEST,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def new_folder(path: Path) -> Path:
    """Make a folder like the repository's, in which the tour may write."""
    (path / "sample_data").mkdir()
    for sample in (ROOT / "sample_data").glob("*.*"):
        if sample.is_file():
            shutil.copy2(sample, path / "sample_data")
    return path


def write_toy_metadata(folder: Path) -> None:
    """Write what tells Python of the toy's entry points; the block that installs the toy moves it beside the module."""
    (block,) = (block for block in TOUR if block.file == "toy/pyproject.toml")
    project = tomllib.loads(block.code)["project"]
    lines = [
        line
        for group, entries in project["entry-points"].items()
        for line in (f"[{group}]", *(f"{name} = {value}" for name, value in entries.items()))
    ]
    (folder / METADATA).mkdir(parents=True)
    (folder / METADATA / "METADATA").write_text(f"Name: {project['name']}\nVersion: {project['version']}\n")
    (folder / METADATA / "entry_points.txt").write_text("\n".join(lines))


@pytest.fixture(scope="module")
def toured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[int, str]]:
    """The folder after the tour, and what each block printed, by its number in TOUR."""
    folder = new_folder(tmp_path_factory.mktemp("readme"))
    write_toy_metadata(folder)
    script = ["trap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n"]
    for number, block in enumerate(TOUR):
        script.append(f"echo '=== {number}' | tee /dev/stderr\n{spelled(block)}")
    printed = run("".join(script).replace(PORT, str(free_port())), folder)
    parts = re.split(r"^=== (\d+)\n", printed, flags=re.MULTILINE)[1:]
    return folder, {int(number): text for number, text in zip(parts[::2], parts[1::2], strict=True)}


def printed_by(words: str, toured: tuple[Path, dict[int, str]]) -> str:
    """Return what the block that holds these words printed."""
    (number,) = (number for number, block in enumerate(TOUR) if words in block.code)
    return toured[1][number]


def test_every_block_is_run_or_is_a_picture() -> None:
    assert {block.language for block in BLOCKS} == {"bash", "python", "text", "toml"}
    assert all("──" in block.code for block in BLOCKS if block.language == "text")
    assert len(TOUR) > 15
    assert [block.file for block in TOUR if block.language == "toml"] == ["toy/pyproject.toml"]


def test_nothing_but_installing_is_left_out() -> None:
    left_out = [line for block in (INSTALL, *TOUR) for line in INSTALLS.findall(block.code)]
    assert left_out == [*INSTALL.code.splitlines(), "python -m pip install --quiet ./toy"]
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    (wanted,) = re.findall(r"'\.\[(.*?)\]'", INSTALL.code)
    assert set(wanted.split(",")) <= extras.keys()
    (test,) = (one for one in extras["test"] if one.startswith("refmaker["))
    assert set(wanted.split(",")) <= set(re.findall(r"\w+", test))


def test_the_tour_runs_and_shows_what_it_says(toured: tuple[Path, dict[int, str]]) -> None:
    assert len(toured[1]) == len(TOUR)
    assert "[[10. 11. 12.]\n [20. 21. 22.]]" in printed_by("open_datatree", toured)
    assert "written to ensemble.json" in printed_by("--append", toured)
    assert printed_by("refmaker status", toured).count("done") >= 2
    assert "0 mismatches" in printed_by("refmaker verify ocean.json", toured)
    assert "0 mismatches" in printed_by("refmaker verify s3:", toured)
    assert "s3://bucket/archive/ocean.nc" in run("refmaker info moved.json.zst", toured[0])
    assert printed_by("refmaker.scan_many", toured).endswith("True\n")
    assert "no_such.nc: cannot be opened" in printed_by("refmaker.scan_many", toured)
    assert "longdouble dtype float128" in printed_by("refmaker.scan_many", toured)


def test_every_door_takes_the_options(toured: tuple[Path, dict[int, str]]) -> None:
    assert printed_by("ServeOptions", toured).count("'time': 2") == 4
    by_http, by_file = printed_by("remote_protocol", toured).splitlines()
    assert float(by_http) != float(by_file)


def test_the_extensions_work(toured: tuple[Path, dict[int, str]]) -> None:
    folder, _ = toured
    assert "[[0. 1. 2.]\n [3. 4. 5.]]" in printed_by("hill.toy", toured)
    assert printed_by("import xor", toured) == "b'hello'\n"
    lines = (folder / "ocean.csv").read_text().splitlines()
    assert len([line for line in lines if line.startswith("temp,")]) == 5


VALUES = np.arange(12, dtype="<i4").reshape(3, 4)


def hdf5_by_filter_300(path: Path) -> None:
    properties = h5p.create(h5p.DATASET_CREATE)
    properties.set_chunk(VALUES.shape)
    properties.set_filter(300, h5z.FLAG_OPTIONAL, (7,))
    with h5py.File(path, "w") as file:
        dataset = h5d.create(file.id, b"v", h5t.STD_I32LE, h5s.create_simple(VALUES.shape), properties)
        dataset.write_direct_chunk((0, 0), bytes(byte ^ 7 for byte in VALUES.tobytes()))


def tiff_by_compression_65000(path: Path) -> None:
    tifffile.imwrite(path, VALUES, metadata=None)
    with tifffile.TiffFile(path) as file:
        offset, length = file.pages[0].dataoffsets[0], file.pages[0].databytecounts[0]
        tag = file.pages[0].tags[259].valueoffset
    data = bytearray(path.read_bytes())
    data[offset : offset + length] = bytes(byte ^ 255 for byte in data[offset : offset + length])
    data[tag : tag + 2] = (65000).to_bytes(2, "little")
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("write", "name"), [(hdf5_by_filter_300, "v"), (tiff_by_compression_65000, "data")], ids=["HDF5", "TIFF"]
)
def test_the_filter_and_the_compression_read_files(
    write: Callable[[Path], None], name: str, toured: tuple[Path, dict[int, str]]
) -> None:
    folder, _ = toured
    write(folder / "turned")
    code = f"import xor, xarray; print(xarray.open_dataset('turned', engine='refmaker')['{name}'].values.tolist())"
    assert run(f'python -c "{code}"', folder) == f"{VALUES.tolist()}\n"


def test_the_first_command_is_one_line_and_runs_here_without_its_installation(tmp_path: Path) -> None:
    assert SETUP.code.count("\n") == 1
    install, main_job = SETUP.code.split("install --quiet . && ")
    assert install.startswith("python3 -m venv")
    assert "<xarray.Dataset>" in run(main_job.replace(".venv/bin/", ""), new_folder(tmp_path))


def test_the_second_command_runs_the_checks() -> None:
    assert CHECKS.code == "bash .ci/run\n"
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


def test_there_is_a_place_for_the_benchmarks() -> None:
    assert re.search(r"^<!-- benchmarks -->\n(.*\n)*<!-- /benchmarks -->$", README, re.MULTILINE)


def test_the_map_is_the_golden_one_and_reads_as_tifffile_reads_it() -> None:
    path = ROOT / "sample_data" / "map.tif"
    assert make.golden_references(path) == json.loads(make.golden_path(path).read_text())
    with xr.open_dataset(path, engine="refmaker", mask_and_scale=False) as opened:
        np.testing.assert_array_equal(opened["data"], tifffile.imread(path))
        assert (opened["x"].values[0], opened["y"].values[0]) == (23.505, 60.745)


TOKEN = {"headers": {"Authorization": "Bearer secret"}}


class Protected(BaseHTTPRequestHandler):
    """Gives files, and ranges of them, to those who show the token."""

    protocol_version = "HTTP/1.1"

    def __init__(self, folder: Path, *arguments: Any) -> None:
        self.folder = folder
        super().__init__(*arguments)

    def answer(self) -> None:
        data = (self.folder / self.path.lstrip("/")).read_bytes()
        allowed = self.headers.get("Authorization") == "Bearer secret"
        first, last = 0, len(data) - 1
        if span := self.headers.get("Range"):
            first, last = (int(end or last) for end in span.removeprefix("bytes=").split("-"))
            last = min(last, len(data) - 1)
        body = data[first : last + 1] if allowed else b"no"
        self.send_response(401 if not allowed else 206 if span else 200)
        self.send_header("Content-Range", f"bytes {first}-{last}/{len(data)}")
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_GET = do_HEAD = answer  # noqa: N815  http.server's names

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def protected(tmp_path: Path) -> Iterator[str]:
    """Serve a folder with a file, and with references to it, to those who show the token; yield the references' URL."""
    shutil.copy2(FOLDER / "ocean_1.nc", tmp_path)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Protected, tmp_path))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}"
    write_references(scan(f"{url}/ocean_1.nc", storage_options=TOKEN), tmp_path / "refs.json")
    yield f"{url}/refs.json"
    server.shutdown()
    thread.join()
    server.server_close()


def ref_store(document: str) -> RefStore:
    return RefStore(document, target_options=TOKEN, options=ServeOptions(source_options={"http": TOKEN}))


BOTH = {"target_options": TOKEN, "remote_options": TOKEN}
DOORS: dict[str, Callable[[str], xr.Dataset]] = {
    "engine": lambda document: xr.open_dataset(document, engine="refmaker", storage_options=BOTH),
    "engine, of a file": lambda document: xr.open_dataset(
        document.replace("refs.json", "ocean_1.nc"), engine="refmaker", storage_options=TOKEN
    ),
    "by protocol": lambda document: xr.open_dataset(
        document, engine="refmaker", storage_options={"target_options": TOKEN, "storage_options": {"http": TOKEN}}
    ),
    "refmaker://": lambda document: xr.open_zarr(f"refmaker://{document}", storage_options=BOTH),
    "RefStore": lambda document: xr.open_zarr(ref_store(document)),
    "reference://": lambda document: xr.open_zarr(
        "reference://",
        storage_options={
            "fo": document,
            "target_options": TOKEN,
            "remote_protocol": "http",
            "remote_options": {**TOKEN, "asynchronous": True},
        },
    ),
}
"""What the README's table of options says."""


@pytest.mark.parametrize("door", DOORS)
def test_a_server_that_wants_a_token_gets_it(door: str, protected: str) -> None:
    assert DOORS[door](protected)["temp"].load().shape == (2, 6, 8)


def test_commands_pass_a_token_on(protected: str, tmp_path: Path) -> None:
    option = f"--storage-option headers='{json.dumps(TOKEN['headers'])}'"
    assert "0 mismatches" in run(f"refmaker verify {protected} {option}", tmp_path)


def test_without_the_token_nothing_is_read(protected: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="401"):
        scan(protected.replace("refs.json", "ocean_1.nc"))
    with pytest.raises(SourceError, match=r"refs\.json"):
        xr.open_dataset(protected, engine="refmaker")
    with pytest.raises(ChunkReadError, match="401"):
        xr.open_dataset(tmp_path / "refs.json", engine="refmaker")["temp"].load()
