"""References and sources broken by hand, one thing each: verification must notice, and say what it is."""

import base64
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import tifffile

from refmaker import BrokenReferencesError, UnsupportedError, scan, verify, write_references
from tests.samples import FOLDER, OCEAN

NETCDF3 = FOLDER / "netcdf3_records.nc"
Refs = dict[str, Any]


class Case(NamedTuple):
    """One thing broken.

    Attributes:
        name: what.
        break_it: is given the document's content and the source, and changes one of them.
        checks: what must be found; one of them is enough, and nothing else may be missing.
        source: the file that is scanned.
        native: whether the native library is needed to notice.
    """

    name: str
    break_it: Callable[[Any, Path], object]
    checks: set[str]
    source: str = "ocean"
    native: bool = True

    def __str__(self) -> str:
        return self.name


def moved(key: str, *, offset: int = 0, length: int = 0) -> Callable[[Any, Path], None]:
    def change(content: Any, _: Path) -> None:
        reference = content["refs"][key]
        reference[1] += offset
        reference[2] += length

    return change


def swapped(one: str, other: str) -> Callable[[Any, Path], None]:
    def change(content: Any, _: Path) -> None:
        refs = content["refs"]
        refs[one], refs[other] = refs[other], refs[one]

    return change


def metadata(key: str, **fields: Any) -> Callable[[Any, Path], None]:
    """Change fields of a JSON document in the references, and its copy in the consolidated metadata; None: remove."""

    def change(content: Any, _: Path) -> None:
        refs = content["refs"]
        consolidated = json.loads(refs[".zmetadata"])
        one = json.loads(refs[key])
        for name, value in fields.items():
            if value is REMOVED:
                del one[name]
            else:
                one[name] = value
        refs[key] = json.dumps(one)
        consolidated["metadata"][key] = one
        refs[".zmetadata"] = json.dumps(consolidated)

    return change


REMOVED = object()


def renamed(old: str, new: str) -> Callable[[Any, Path], None]:
    def change(content: Any, _: Path) -> None:
        refs = content["refs"]
        consolidated = json.loads(refs[".zmetadata"])
        for names in (refs, consolidated["metadata"]):
            for key in [key for key in names if key.startswith(f"{old}/")]:
                names[new + key.removeprefix(old)] = names.pop(key)
        refs[".zmetadata"] = json.dumps(consolidated)

    return change


def reference(key: str, value: Any) -> Callable[[Any, Path], None]:
    def change(content: Any, _: Path) -> None:
        content["refs"][key] = value(content["refs"]) if callable(value) else value

    return change


def without(key: str) -> Callable[[Any, Path], None]:
    return lambda content, _: content["refs"].pop(key)


def recorded(**facts: Any) -> Callable[[Any, Path], None]:
    return lambda content, _: content["refmaker"]["sources"][0].update(facts)


def forgotten(then: Callable[[Any, Path], object]) -> Callable[[Any, Path], None]:
    """Break a document of which nobody recorded what it was scanned from."""

    def change(content: Any, path: Path) -> None:
        del content["refmaker"]
        then(content, path)

    return change


def rewritten(change: Callable[[bytearray], object], *, keep_time: bool = True) -> Callable[[Any, Path], None]:
    """Change bytes of the source; its modification time may stay."""

    def write(_: Any, path: Path) -> None:
        status = path.stat()
        data = bytearray(path.read_bytes())
        change(data)
        path.write_bytes(data)
        if keep_time:
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        else:
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 5_000_000_000))

    return write


def flipped_in(key: str) -> Callable[[Any, Path], None]:
    def change(content: Any, path: Path) -> None:
        _, offset, length = content["refs"][key]

        def flip(data: bytearray) -> None:
            data[offset + length // 2] ^= 0xFF

        rewritten(flip)(content, path)

    return change


def beside(content: Any, path: Path) -> None:
    """Point a chunk to a file of the same bytes but the first ones."""
    other = path.with_name("other.bin")
    data = path.read_bytes()
    _, offset, _ = content["refs"]["temp/2.0.0.0"]
    other.write_bytes(data[: offset - 30] + bytes(300) + data[offset + 270 :])
    content["refs"]["temp/2.0.0.0"][0] = f"file://{other}"


def inlined_otherwise(content: Any, _: Path) -> None:
    text = content["refs"]["remark/0"]
    data = bytearray(base64.b64decode(text.removeprefix("base64:")) if text.startswith("base64:") else text.encode())
    data[-1] ^= 1
    content["refs"]["remark/0"] = f"base64:{base64.b64encode(data).decode()}"


CASES = [
    Case(
        "a compressed chunk's offset, by one byte", moved("temp/1.0.0.0", offset=1), {"overlap", "decode"}, native=False
    ),
    Case("a compressed chunk's length, by one byte", moved("temp/1.0.0.0", length=-1), {"decode"}, native=False),
    Case("a plain chunk's offset, by one element", moved("area/0.0", offset=8), {"values"}),
    Case("a plain chunk's length", moved("area/0.0", length=-8), {"decode"}, native=False),
    Case(
        "a range past the end of its source",
        forgotten(moved("area/0.0", offset=40_000)),
        {"range"},
        native=False,
    ),
    Case("two chunks swapped", swapped("temp/0.0.0.0", "temp/3.0.0.0"), {"values"}),
    Case("chunks of two arrays swapped", swapped("temp/0.0.0.0", "ssh/0.0.0"), {"decode"}, native=False),
    Case("one chunk for two", reference("temp/1.0.0.0", lambda refs: refs["temp/2.0.0.0"]), {"values"}),
    Case("a chunk that laps over another", moved("salt/0.0.1.0", offset=-8), {"overlap"}, native=False),
    Case("a chunk left out", without("temp/4.0.0.0"), {"values"}),
    Case("an inlined value changed", inlined_otherwise, {"values"}),
    Case("a chunk of another file", beside, {"decode"}, native=False),
    Case("another data type of the same size", metadata("area/.zarray", dtype="<i8"), {"dtype"}),
    Case("another byte order", metadata("area/.zarray", dtype=">f8"), {"values"}),
    Case("a data type too small", metadata("area/.zarray", dtype="<f4"), {"decode"}, native=False),
    Case("a shape cut short", metadata("area/.zarray", shape=[5, 8]), {"shape"}),
    Case("other chunks", metadata("area/.zarray", chunks=[3, 8]), {"decode"}, native=False),
    Case("no codec", metadata("temp/.zarray", compressor=None), {"decode"}, native=False),
    Case("another codec", metadata("temp/.zarray", compressor={"id": "zstd", "level": 1}), {"decode"}, native=False),
    Case("no shuffle", metadata("temp/.zarray", filters=None), {"values"}),
    Case("another fill value", metadata("temp/.zarray", fill_value=-1), {"fill"}),
    Case("another attribute", metadata("temp/.zattrs", scale_factor=0.1), {"attributes"}),
    Case(
        "dimensions in another order",
        metadata("ssh/.zattrs", _ARRAY_DIMENSIONS=["lon", "lat", "time"]),
        {"dimensions"},
    ),
    Case("an attribute missing", metadata("temp/.zattrs", units=REMOVED), {"attributes"}),
    Case("an attribute too many", metadata("temp/.zattrs", offset=3), {"attributes"}),
    Case("a group's attribute", metadata(".zattrs", Conventions="CF-1.0"), {"attributes"}),
    Case("an array under another name", renamed("temp", "temperature"), {"native"}),
    Case("the source gone", lambda _, path: path.unlink(), {"source"}, native=False),
    Case(
        "the source cut short",
        rewritten(lambda data: data.__delitem__(slice(40_000, None))),
        {"stale", "range"},
        native=False,
    ),
    Case("the source grown", rewritten(lambda data: data.extend(b"more")), {"stale"}, native=False),
    Case("the source touched", rewritten(lambda data: None, keep_time=False), {"stale"}, native=False),
    Case("a byte of a chunk, and nobody sees", flipped_in("temp/2.0.0.0"), {"decode"}, native=False),
    Case("a checksummed byte", flipped_in("salt/0.0.0.0"), {"decode"}, native=False),
    Case("the source's superblock", rewritten(lambda data: data.__setitem__(slice(0, 64), bytes(64))), {"native"}),
    Case("another size on record", recorded(size=62_438), {"stale"}, native=False),
    Case("another time on record", recorded(last_modified=1e9), {"stale"}, native=False),
    Case("a record off by one", moved("temperature/1.0.0", offset=4), {"values"}, "netcdf3"),
    Case("records swapped", swapped("time/0", "time/2"), {"values"}, "netcdf3"),
    Case("a dimension's name", metadata("x/.zattrs", _ARRAY_DIMENSIONS=["y"]), {"dimensions"}, "netcdf3"),
    Case("a fill value of none", metadata("byte/.zarray", fill_value=None), {"fill"}, "netcdf3"),
    Case("tiles swapped", swapped("data/0.0", "data/1.1"), {"values"}, "tiff"),
    Case("a tile left out", without("data/1.0"), {"values"}, "tiff"),
    Case("a TIFF's data type", metadata("data/.zarray", dtype="|i1"), {"dtype"}, "tiff"),
]


@pytest.fixture
def sources(tmp_path: Path) -> dict[str, Path]:
    found = {"ocean": tmp_path / "ocean.nc", "netcdf3": tmp_path / "records.nc", "tiff": tmp_path / "tiles.tif"}
    shutil.copyfile(OCEAN, found["ocean"])
    shutil.copyfile(NETCDF3, found["netcdf3"])
    values = np.arange(64 * 64, dtype="u1").reshape(64, 64) ** 2
    tifffile.imwrite(found["tiff"], values, tile=(32, 32), compression="zlib", photometric="minisblack")
    return found


def broken(case: Case, sources: dict[str, Path], folder: Path) -> Path:
    """Return a document with one thing broken in it, or in what it refers to."""
    source = sources[case.source]
    document = folder / "refs.json"
    write_references(scan(str(source)), document)
    assert verify(document, sample=None).ok
    content = json.loads(document.read_bytes())
    case.break_it(content, source)
    document = folder / "broken.json"
    document.write_text(json.dumps(content))
    return document


@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_is_broken_is_found(case: Case, sources: dict[str, Path], tmp_path: Path) -> None:
    document = broken(case, sources, tmp_path)
    found = {str(one.check) for one in verify(document, sample=None).mismatches}
    assert case.checks <= found
    without_native = {str(one.check) for one in verify(document, sample=None, native=False).mismatches}
    assert bool(without_native) != case.native


@pytest.mark.parametrize(
    ("name", "change", "error"),
    [
        ("a range past the size on record", moved("area/0.0", offset=1 << 30), BrokenReferencesError),
        ("a negative offset", moved("area/0.0", offset=-(1 << 30)), BrokenReferencesError),
        ("a codec that runs code", metadata("area/.zarray", filters=[{"id": "pickle"}]), UnsupportedError),
        ("metadata that is none", reference("area/.zarray", "{"), BrokenReferencesError),
    ],
)
def test_references_that_cannot_be_read_are_refused(
    name: str, change: Callable[[Any, Path], object], error: type[Exception], sources: dict[str, Path], tmp_path: Path
) -> None:
    document = broken(Case(name, change, set()), sources, tmp_path)
    with pytest.raises(error):
        verify(document)
