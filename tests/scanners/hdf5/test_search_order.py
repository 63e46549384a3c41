"""Files that other files name are found where libhdf5 finds them, and what cannot be read is never taken for absent."""

import errno
import os
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from refmaker import BrokenFileError, RefmakerError, SourceError, UnsupportedError, scan
from refmaker.cli import run
from refmaker.cli.failures import ExitCode
from refmaker.source.policy import Transfer
from refmaker.source.retries import HttpStatusError, is_absent
from tests.scanners.hdf5.comparing import outcomes, through_references

Make = Callable[[h5py.File, str], None]


def link(file: h5py.File, name: str) -> None:
    """``d``, a dataset of another file."""
    file["d"] = h5py.ExternalLink(name, "/d")


def virtual(file: h5py.File, name: str) -> None:
    """``d``, all of a dataset of another file."""
    layout = h5py.VirtualLayout((4,), "<i4")
    layout[:] = h5py.VirtualSource(name, "d", (4,), "<i4")
    file.create_virtual_dataset("d", layout, fillvalue=-1)


def unaligned(file: h5py.File, name: str) -> None:
    """``d``, of which libhdf5 must read the values."""
    layout = h5py.VirtualLayout((4,), "<i4")
    layout[1:] = h5py.VirtualSource(name, "d", (4,), "<i4")[:3]
    file.create_virtual_dataset("d", layout, fillvalue=-1)


def text(file: h5py.File, name: str) -> None:
    """``d``, text of variable length: its values are read by libhdf5 too."""
    layout = h5py.VirtualLayout((4,), h5py.string_dtype())
    layout[:] = h5py.VirtualSource(name, "d", (4,), h5py.string_dtype())
    file.create_virtual_dataset("d", layout)


def raw(file: h5py.File, name: str) -> None:
    """``d``, the bytes of another file."""
    file.create_dataset("d", (4,), "<i4", external=[(name, 0, h5py.h5f.UNLIMITED)])


def written(path: Path, make: Make, name: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w", libver="latest") as file:
        make(file, name)
    return path


def put(path: Path, value: int, *, is_raw: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.full(4, value, "<i4")
    if is_raw:
        path.write_bytes(values.tobytes())
        return
    with h5py.File(path, "w") as file:
        file.create_dataset("d", data=values, chunks=(4,))


# -- where it is found -------------------------------------------------------------------------------------------------
NAMES = ["s.h5", "sub/s.h5", "../up/s.h5", "{root}/absolute/s.h5"]
PREFIXES = ["", "{root}/first:{root}/second", "${{ORIGIN}}/../first"]


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("make", "variable"), [(link, "HDF5_EXT_PREFIX"), (virtual, "HDF5_VDS_PREFIX")], ids=["link", "virtual"]
)
def test_hdf5_files_are_found_in_the_order_of_libhdf5(
    make: Make, variable: str, name: str, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One place after the other loses its file; h5py and the references read the same to the end.

    libhdf5 reads the variables when it is loaded or used, so h5py's answers come from the order measured with it.
    """
    name, prefix = name.format(root=tmp_path), prefix.format(root=tmp_path)
    is_absolute = name.startswith("/")
    first = [tmp_path / "first", tmp_path / "second"] if ":" in prefix else []
    if make is virtual and "ORIGIN" in prefix:
        first = [tmp_path / "first"]
    folders = [*first, tmp_path / "opened", tmp_path / "cwd", tmp_path / "target"]
    wanted = [Path(name)] if is_absolute else []
    wanted += [Path(os.path.normpath(folder / (Path(name).name if is_absolute else name))) for folder in folders]
    wanted = list(dict.fromkeys(wanted))
    written(tmp_path / "target/main.h5", make, name)
    for folder in ("opened", "cwd", "first", "second"):
        (tmp_path / folder).mkdir(exist_ok=True)
    (tmp_path / "opened/main.h5").symlink_to("../target/main.h5")
    monkeypatch.chdir(tmp_path / "cwd")
    if prefix:
        monkeypatch.setenv(variable, prefix)
    for number, place in enumerate(wanted):
        put(place, number)
    for number, place in enumerate(wanted):
        references = scan("../opened/main.h5")
        assert through_references(references)["d"].tolist() == [number] * 4
        assert references.sources[-1].url == f"file://{place}"
        if not prefix:
            with h5py.File("../opened/main.h5") as file:
                assert file["d"][...].tolist() == [number] * 4
        place.unlink()
    (note,) = (note for note in scan("../opened/main.h5").report.notes if note.code != "fill-value")
    assert note.path == "d"
    assert note.code == ("dangling-link" if make is link else "missing-source")
    assert Path(name).name in note.sentence


@pytest.mark.parametrize("place", ["cwd", "opened", "target"])
def test_raw_files_are_found_in_the_working_directory_or_beside_the_file(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path / "target/main.h5", raw, "s.raw")
    for folder in ("opened", "cwd"):
        (tmp_path / folder).mkdir()
    (tmp_path / "opened/main.h5").symlink_to("../target/main.h5")
    monkeypatch.chdir(tmp_path / "cwd")
    put(tmp_path / place / "s.raw", 5, is_raw=True)
    references = scan("../opened/main.h5")
    assert references.sources[-1].url == f"file://{tmp_path / place / 's.raw'}"
    assert through_references(references)["d"].tolist() == [5] * 4
    put(tmp_path / ("opened" if place == "cwd" else "cwd") / "s.raw", 6, is_raw=True)
    with pytest.raises(UnsupportedError, match="which is meant"):
        scan("../opened/main.h5")


@pytest.mark.parametrize(
    ("prefix", "folder"), [("${{ORIGIN}}/../first", "first"), ("{root}/first", "first"), (".", "")]
)
def test_raw_files_are_found_in_the_folder_of_the_variable_only(
    prefix: str, folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path / "opened/main.h5", raw, "s.raw")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HDF5_EXTFILE_PREFIX", prefix.format(root=tmp_path))
    put(tmp_path / "opened/s.raw", 1, is_raw=True)
    if folder:
        with pytest.raises(RefmakerError, match="no linked file"):
            scan("opened/main.h5")
        put(tmp_path / folder / "s.raw", 2, is_raw=True)
    assert set(through_references(scan("opened/main.h5"))["d"].tolist()) == {2 if folder else 1}


def test_the_parent_of_a_linked_folder_is_that_of_the_folder_meant(tmp_path: Path) -> None:
    written(tmp_path / "far/deep/main.h5", link, "../s.h5")
    (tmp_path / "near").symlink_to("far/deep")
    put(tmp_path / "far/s.h5", 1)
    put(tmp_path / "s.h5", 2)
    path = tmp_path / "near/main.h5"
    with h5py.File(path) as file:
        assert file["d"][...].tolist() == [1] * 4
    assert through_references(scan(str(path)))["d"].tolist() == [1] * 4


# -- what cannot be read -----------------------------------------------------------------------------------------------
def truncated(path: Path) -> None:
    put(path, 1)
    path.write_bytes(path.read_bytes()[:700])


def damaged(path: Path) -> None:
    """The dataset's header is gone."""
    put(path, 1)
    with h5py.File(path) as file:
        address = h5py.h5o.get_info(file["d"].id).addr
    data = bytearray(path.read_bytes())
    data[address : address + 16] = b"\xff" * 16
    path.write_bytes(data)


UNREADABLE = {
    "truncated": truncated,
    "no HDF5": lambda path: path.write_text("something else"),
    "empty": lambda path: path.write_bytes(b""),
    "a pipe": os.mkfifo,
    "damaged": damaged,
    "a folder": Path.mkdir,
}


@pytest.mark.parametrize("make", [link, virtual, unaligned, text], ids=lambda make: make.__name__)
@pytest.mark.parametrize("spoil", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_a_file_that_is_there_and_cannot_be_read_is_an_error(
    spoil: Callable[[Path], Any], make: Make, tmp_path: Path
) -> None:
    path = written(tmp_path / "main.h5", make, "s.h5")
    spoil(tmp_path / "s.h5")
    with pytest.raises((BrokenFileError, UnsupportedError, SourceError), match=r"s\.h5"):
        scan(str(path))
    references = scan(str(path), on_unsupported="skip")
    (skipped,) = references.report.skipped
    assert skipped.path == "d"
    assert "s.h5" in skipped.reason
    assert not references.report.notes
    assert list(references.root.arrays) == []
    others = [source for source in references.sources if source.url != f"file://{path}"]
    assert len(others) == (spoil is damaged)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
@pytest.mark.parametrize("make", [link, virtual, raw], ids=lambda make: make.__name__)
def test_a_file_that_may_not_be_read_is_an_error(make: Make, tmp_path: Path) -> None:
    path = written(tmp_path / "main.h5", make, "s.h5")
    put(tmp_path / "s.h5", 1)
    (tmp_path / "s.h5").chmod(0)
    with pytest.raises(SourceError, match=r"s\.h5"):
        scan(str(path))


def forbidden(monkeypatch: pytest.MonkeyPatch, end: str = "s.h5") -> None:
    """Have the system refuse files whose paths end so, as it does not for root."""
    usual = os.open

    def opened(path: Any, *args: Any, **kwargs: Any) -> int:
        if str(path).endswith(end):
            raise PermissionError(13, "Permission denied")
        return usual(path, *args, **kwargs)

    monkeypatch.setattr(os, "open", opened)


@pytest.mark.parametrize("make", [link, virtual, raw], ids=lambda make: make.__name__)
def test_a_refusal_by_the_system_is_an_error(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "main.h5", make, "s.h5")
    put(tmp_path / "s.h5", 1)
    forbidden(monkeypatch)
    with pytest.raises(SourceError, match="Permission denied"):
        scan(str(path))
    assert outcomes(scan(str(path), on_unsupported="skip")) == {"d": "skipped: source"}


@pytest.mark.parametrize("make", [link, virtual], ids=lambda make: make.__name__)
def test_what_may_not_be_read_is_passed_over_where_another_may(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As libhdf5 does."""
    path = written(tmp_path / "folder/main.h5", make, "s.h5")
    put(tmp_path / "folder/s.h5", 1)
    put(tmp_path / "s.h5", 7)
    monkeypatch.chdir(tmp_path)
    forbidden(monkeypatch, "folder/s.h5")
    assert through_references(scan(str(path)))["d"].tolist() == [7] * 4


@pytest.mark.parametrize("make", [link, virtual], ids=lambda make: make.__name__)
def test_what_is_not_hdf5_ends_the_search(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "folder/main.h5", make, "s.h5")
    (tmp_path / "folder/s.h5").write_text("no HDF5")
    put(tmp_path / "s.h5", 7)
    monkeypatch.chdir(tmp_path)
    with h5py.File(path) as file, pytest.raises((OSError, KeyError), match="signature not found"):
        file["d"][...]
    with pytest.raises((BrokenFileError, UnsupportedError), match="signature not found"):
        scan(str(path))


def test_the_command_says_that_a_link_could_not_be_followed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path / "main.h5", link, "s.h5")
    with h5py.File(path, "a") as file:
        file["fine"] = 1
    truncated(tmp_path / "s.h5")
    out = str(tmp_path / "out.json")
    assert run(["scan", str(path), "-o", out]) == ExitCode.NOTHING_DONE
    assert run(["scan", str(path), "-o", out, "--on-unsupported", "skip"]) == ExitCode.DONE_IN_PART
    assert "s.h5" in capsys.readouterr().err


def test_sources_of_sources_are_looked_for_too(tmp_path: Path) -> None:
    """Where libhdf5 reads the values of a virtual dataset of a virtual dataset."""
    written(tmp_path / "middle.h5", virtual, "s.h5")
    path = written(tmp_path / "main.h5", virtual, "middle.h5")
    references = scan(str(path))
    assert sorted({note.code for note in references.report.notes}) == ["missing-source", "virtual-dataset"]
    assert through_references(references)["d"].tolist() == [-1] * 4
    truncated(tmp_path / "s.h5")
    with pytest.raises(UnsupportedError, match=r"s\.h5"):
        scan(str(path))


def test_a_note_names_some_of_many_missing_sources(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "main.h5", "w", libver="latest") as file:
        layout = h5py.VirtualLayout((40,), "<i4")
        for i in range(10):
            layout[4 * i : 4 * i + 4] = h5py.VirtualSource(f"{i}.h5", "d", (4,), "<i4")
        file.create_virtual_dataset("d", layout)
    (note,) = scan(str(tmp_path / "main.h5")).report.notes
    assert note.sentence.startswith("10 sources do not exist")
    assert "d in 0.h5, d in 1.h5" in note.sentence
    assert "9.h5" not in note.sentence


# -- in a store --------------------------------------------------------------------------------------------------------
STATUSES = [401, 403, 404, 410, 500, 503]


class Server:
    """Serves a folder by HTTP with ranges; ``s.h5`` is answered with ``status`` as often as ``times`` says."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.status = 0
        self.times = -1
        self.asked = 0
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                owner.answer(self)

            def do_HEAD(self) -> None:
                owner.answer(self)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        path = self.folder / request.path.lstrip("/")
        status, data = 206, b""
        if path.name == "s.h5":
            self.asked += 1
            if self.status and self.times:
                status, self.times = self.status, self.times - 1
        if status == 206 and not path.exists():
            status = 404
        if status == 206:
            data = path.read_bytes()
        first, last = (int(n) for n in request.headers.get("Range", "bytes=0-99999999")[6:].split("-"))
        part = data[first : last + 1]
        request.send_response(status)
        request.send_header("Content-Length", str(len(part)))
        request.send_header("Content-Range", f"bytes {first}-{first + len(part) - 1}/{len(data)}")
        request.end_headers()
        if request.command == "GET":
            request.wfile.write(part)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr("refmaker.scanners.hdf5.file_table.Transfer", lambda: Transfer(first_delay=0.01))
    (tmp_path / "www").mkdir()
    server = Server(tmp_path / "www")
    yield server
    server.http.shutdown()
    server.http.server_close()


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("make", [link, virtual, raw], ids=lambda make: make.__name__)
def test_only_what_a_store_does_not_have_is_absent(make: Make, status: int, server: Server) -> None:
    written(server.folder / "main.h5", make, "s.h5")
    put(server.folder / "s.h5", 3)
    server.status = status
    url = f"{server.url}/main.h5"
    if status in {404, 410} and make is not raw:
        references = scan(url)
        (note,) = (note for note in references.report.notes if note.code != "fill-value")
        assert note.code == ("dangling-link" if make is link else "missing-source")
        assert "s.h5" in note.sentence
        return
    with pytest.raises((SourceError, UnsupportedError), match=r"s\.h5"):
        scan(url)
    references = scan(url, on_unsupported="skip")
    assert outcomes(references) == {"d": "skipped: missing-file" if status in {404, 410} else "skipped: source"}
    assert "s.h5" in references.report.skipped[0].reason or str(status) in references.report.skipped[0].reason


@pytest.mark.parametrize("make", [link, virtual, raw], ids=lambda make: make.__name__)
def test_a_store_that_answers_later_is_asked_again(make: Make, server: Server) -> None:
    written(server.folder / "main.h5", make, "s.h5")
    put(server.folder / "s.h5", 3, is_raw=make is raw)
    server.status, server.times = 503, 2
    assert through_references(scan(f"{server.url}/main.h5"))["d"].tolist() == [3] * 4


def test_a_missing_file_is_asked_for_once(server: Server) -> None:
    with h5py.File(server.folder / "main.h5", "w") as file:
        for number in range(20):
            file[f"d{number}"] = h5py.ExternalLink("s.h5", f"/{number}")
    scan(f"{server.url}/main.h5")
    assert server.asked == 1


@pytest.mark.parametrize(
    ("name", "found"), [("../s.h5", "a/s.h5"), ("./x/../s.h5", "a/b/s.h5"), ("/far/s.h5", "a/b/s.h5")]
)
def test_names_lead_through_the_folders_of_a_store(name: str, found: str, server: Server) -> None:
    written(server.folder / "a/b/main.h5", virtual, name)
    put(server.folder / found, 4)
    references = scan(f"{server.url}/a/b/main.h5")
    assert references.sources[-1].url == f"{server.url}/{found}"
    assert through_references(references)["d"].tolist() == [4] * 4


@pytest.mark.parametrize("make", [unaligned, text], ids=lambda make: make.__name__)
def test_values_of_sources_in_a_store_are_never_guessed(make: Make, server: Server, tmp_path: Path) -> None:
    """libhdf5 would take the file itself for its source, and find a dataset of that name there."""
    path = written(server.folder / "main.h5", make, "s.h5")
    with h5py.File(path, "a") as file:
        file["e"] = file["d"]
        del file["d"]
        file["d"] = np.full(4, 77, "<i4")
    put(server.folder / "s.h5", 1)
    with pytest.raises(UnsupportedError, match="local files only"):
        scan(f"{server.url}/main.h5")
    assert outcomes(scan(f"{server.url}/main.h5", on_unsupported="skip")) == {
        "d": "referenced",
        "e": "skipped: virtual-dataset",
    }


def test_shapes_that_follow_sources_in_a_store_are_never_guessed(server: Server) -> None:
    put(server.folder / "s.h5", 1)
    with h5py.File(server.folder / "main.h5", "w", libver="latest") as file:
        every = h5py.h5s.UNLIMITED
        layout = h5py.VirtualLayout((4,), "<i4", maxshape=(None,))
        layout[:every] = h5py.VirtualSource("s.h5", "d", (4,), "<i4", maxshape=(None,))[:every]
        file.create_virtual_dataset("d", layout)
    with pytest.raises(UnsupportedError, match="local files only"):
        scan(f"{server.url}/main.h5")


def test_values_of_raw_files_are_never_read_from_this_machine(server: Server, tmp_path: Path) -> None:
    """A compound type's values are mended by reading them, if the file is a local one."""
    dtype = np.dtype({"names": ["x"], "formats": ["<i4"], "offsets": [4], "itemsize": 8})
    secret = tmp_path / "s.raw"
    secret.write_bytes(b"secret!!" * 4)
    with h5py.File(server.folder / "main.h5", "w") as file:
        file.create_dataset("d", (4,), "?", external=[(str(secret), 0, h5py.h5f.UNLIMITED)])
        file.create_dataset("e", (4,), dtype, external=[(str(secret), 0, h5py.h5f.UNLIMITED)])
    (server.folder / "s.raw").write_bytes(bytes(32))
    references = scan(f"{server.url}/main.h5", on_unsupported="skip")
    assert not any(values.any() for values in map(np.asarray, through_references(references).values()))


def caused(*errors: Exception) -> Exception:
    """Return the first of some errors, each caused by the next."""
    for error, cause in pairwise(errors):
        error.__cause__ = cause
    return errors[0]


@pytest.mark.parametrize(
    ("error", "is_so"),
    [
        (FileNotFoundError("x"), True),
        (caused(FileNotFoundError("x"), KeyError("x")), True),
        (caused(SourceError("x"), NotADirectoryError("x")), True),
        (caused(FileNotFoundError("x"), HttpStatusError(404, "")), True),
        (caused(FileNotFoundError("x"), HttpStatusError(410, "")), True),
        (caused(FileNotFoundError("x"), HttpStatusError(401, "")), False),
        (caused(FileNotFoundError("x"), HttpStatusError(503, "")), False),
        (caused(FileNotFoundError("x"), ConnectionResetError("x")), False),
        (caused(FileNotFoundError("x"), TimeoutError("x")), False),
        (caused(SourceError("x"), OSError(errno.ENAMETOOLONG, "x")), True),
        (PermissionError("x"), False),
        (SourceError("x"), False),
        (ValueError("x"), False),
    ],
    ids=repr,
)
def test_absent_is_what_the_innermost_cause_says(error: Exception, is_so: bool) -> None:
    """fsspec's HTTP filesystem makes FileNotFoundError of every failure."""
    assert is_absent(error) is is_so
