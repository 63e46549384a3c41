"""What every codec promises: any buffer in, contiguous uint8 or ``out`` back, JSON configuration, typed errors."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numcodecs.abc
import numpy as np
import pytest
from codec_oracle import register_with_numcodecs

from refmaker.codecs import CODECS, base, codec_class, get_codec
from refmaker.errors import BrokenFileError, MissingDependencyError, OptionError, UnsupportedError

CASES = json.loads(Path(__file__).with_name("golden.json").read_text())
every_case = pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
BOUNDARY = {"refmaker_hdf5_szip": "imagecodecs", "refmaker_hdf5_lzf": "imagecodecs"} | {
    "refmaker_hdf5_zfp": "imagecodecs",
    "refmaker_hdf5_blosc2": "blosc2",
    **{
        f"refmaker_tiff_{name}": "imagecodecs"
        for name in ("ccitt", "jpeg", "jpeg2k", "jpegxl", "jpegxr", "lerc", "lzw", "png", "webp")
    },
}


@every_case
def test_any_buffer_decodes_and_stays_as_it_was(case: dict[str, Any]) -> None:
    codec = get_codec(case["config"])
    encoded = bytes.fromhex(case["encoded"])
    changeable = bytearray(encoded)
    unaligned = np.frombuffer(b"x" + encoded, "u1")[1:]
    for buffer in (encoded, memoryview(encoded), changeable, np.frombuffer(encoded, "i1"), unaligned):
        decoded = codec.decode(buffer)
        assert (decoded.dtype, decoded.ndim, decoded.flags.c_contiguous) == (np.uint8, 1, True)
        assert decoded.tobytes().hex() == case["decoded"]
    assert changeable == encoded


@every_case
def test_out_is_filled_or_refused(case: dict[str, Any]) -> None:
    codec = get_codec(case["config"])
    expected = bytes.fromhex(case["decoded"])
    out = np.empty((len(expected) // 2, 2), "i1") if len(expected) % 2 == 0 else np.empty(len(expected), "V1")
    assert codec.decode(bytes.fromhex(case["encoded"]), out=out) is out
    assert out.tobytes() == expected
    with pytest.raises(BrokenFileError, match="expected"):
        codec.decode(bytes.fromhex(case["encoded"]), out=np.empty(len(expected) + 1, "u1"))


@every_case
def test_configuration_is_json_and_comes_back_equal(case: dict[str, Any]) -> None:
    codec = get_codec(case["config"])
    again = get_codec(json.loads(json.dumps(codec.get_config())))
    assert again == codec
    assert again.get_config() == codec.get_config()
    assert codec.get_config()["id"] == case["config"]["id"]
    assert codec != get_codec({"id": "refmaker_pad", "nbytes": 123})


@every_case
def test_encoding_is_the_inverse_or_refused(case: dict[str, Any]) -> None:
    codec = get_codec(case["config"])
    decoded = bytes.fromhex(case["decoded"])
    if type(codec).encode_bytes is base.BytesCodec.encode_bytes:
        with pytest.raises(UnsupportedError, match="read-only"):
            codec.encode(decoded)
    else:
        assert codec.decode(codec.encode(decoded)).tobytes() == decoded


@pytest.mark.parametrize("codec_id", CODECS)
def test_table_names_numcodecs_classes_of_that_id(codec_id: str) -> None:
    found = codec_class(codec_id)
    assert issubclass(found, numcodecs.abc.Codec)
    assert found.codec_id == codec_id


def test_entry_points_repeat_the_table() -> None:
    project = tomllib.loads(Path(__file__).parents[2].joinpath("pyproject.toml").read_text())["project"]
    points = project["entry-points"]
    ours = {
        name: target for name, target in points["numcodecs.codecs"].items() if target.startswith("refmaker.codecs.")
    }
    assert ours == CODECS
    v3 = {f"numcodecs.{codec_id}": "refmaker.codecs.zarr_v3:RefmakerCodec" for codec_id in CODECS}
    assert points["zarr.codecs"] == v3


@pytest.mark.parametrize("codec_id", ["pickle", "json2", "vlen-utf8", "nonesuch", None])
def test_codecs_that_make_objects_are_refused(codec_id: str | None) -> None:
    with pytest.raises(UnsupportedError, match="bytes into bytes"):
        get_codec({"id": "refmaker_optional", "codecs": [{"id": codec_id}], "nbytes": 4})


def test_importing_the_package_imports_no_codec() -> None:
    script = "import sys, refmaker.codecs; print([m for m in ('numcodecs', 'numpy', 'zarr') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, check=True).stdout.strip() == b"[]"


@pytest.mark.parametrize(("codec_id", "package"), BOUNDARY.items())
def test_missing_packages_are_named(codec_id: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    case = next(case for case in CASES if case["config"]["id"] == codec_id)
    codec = get_codec(case["config"])
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingDependencyError, match=rf"'{package}' package; pip install 'refmaker\[codecs\]'"):
        codec.decode(bytes.fromhex(case["encoded"]))


BROKEN_CONFIGURATIONS = [
    ({"id": "refmaker_pad", "nbytes": -1}, OptionError),
    ({"id": "refmaker_optional", "codecs": [], "nbytes": 1}, OptionError),
    ({"id": "refmaker_hdf5_shuffle", "itemsize": 0}, BrokenFileError),
    ({"id": "refmaker_hdf5_bitshuffle", "itemsize": 0}, BrokenFileError),
    ({"id": "refmaker_hdf5_bitshuffle", "itemsize": 4, "block_size": 7}, BrokenFileError),
    ({"id": "refmaker_hdf5_bitshuffle", "itemsize": 4, "compression": "lzma"}, UnsupportedError),
    ({"id": "refmaker_hdf5_scaleoffset", "cd_values": [2, 0, 3]}, BrokenFileError),
    ({"id": "refmaker_hdf5_scaleoffset", "cd_values": [1, 3, 8, 1, 4, *[0] * 15]}, UnsupportedError),
    ({"id": "refmaker_hdf5_scaleoffset", "cd_values": [2, 3, 8, 0, 3, *[0] * 15]}, UnsupportedError),
    ({"id": "refmaker_hdf5_nbit", "cd_values": []}, BrokenFileError),
    ({"id": "refmaker_hdf5_nbit", "cd_values": [8, 0, 5, 1, 2, 0, 12]}, BrokenFileError),
    ({"id": "refmaker_hdf5_nbit", "cd_values": [8, 0, 5, 1, 2, 0, 12, 5]}, BrokenFileError),
    ({"id": "refmaker_hdf5_nbit", "cd_values": [8, 0, 5, 9, 2, 0, 12, 0]}, BrokenFileError),
    ({"id": "refmaker_hdf5_nbit", "cd_values": [9, 0, 5, 3, 2, 1, 1, 1, 2, 0, 12, 0]}, BrokenFileError),
    ({"id": "refmaker_hdf5_nbit", "cd_values": [9, 0, 5, 2, 1 << 30, 1, 1, 0, 4, 0]}, UnsupportedError),
    ({"id": "refmaker_hdf5_nbit", "cd_values": [99, 0, 5, *[2, 8] * 40, 1, 1, 0, 4, 0]}, UnsupportedError),
    ({"id": "refmaker_hdf5_lzf", "nbytes": 0}, BrokenFileError),
    ({"id": "refmaker_hdf5_blosc2", "nbytes": 0}, BrokenFileError),
    ({"id": "refmaker_hdf5_zfp", "cd_values": [1, 2]}, BrokenFileError),
    ({"id": "refmaker_hdf5_zfp", "cd_values": [1, 2, 3, 4]}, UnsupportedError),
    ({"id": "refmaker_hdf5_string", "itemsize": 0, "fields": [[0, 1, "space"]]}, BrokenFileError),
    ({"id": "refmaker_hdf5_string", "itemsize": 4, "fields": [[2, 3, "space"]]}, BrokenFileError),
    ({"id": "refmaker_hdf5_string", "itemsize": 4, "fields": []}, BrokenFileError),
    ({"id": "refmaker_hdf5_string", "itemsize": 4, "fields": [[0, 4, "null-pad"]]}, UnsupportedError),
    ({"id": "refmaker_hdf5_compound", "itemsize": 4, "fields": [[0, 2], [1, 2]]}, BrokenFileError),
    ({"id": "refmaker_hdf5_compound", "itemsize": 4, "fields": [[0, 2], [3, 2]]}, BrokenFileError),
    ({"id": "refmaker_hdf5_compound", "itemsize": 4, "fields": []}, BrokenFileError),
    ({"id": "refmaker_tiff_lzw", "nbytes": 0}, BrokenFileError),
    ({"id": "refmaker_tiff_lerc", "nbytes": 0}, BrokenFileError),
    ({"id": "refmaker_tiff_ccitt", "scheme": 5, "rows": 1, "width": 1}, BrokenFileError),
    ({"id": "refmaker_tiff_ccitt", "scheme": 4, "rows": 1 << 20, "width": 1 << 20}, BrokenFileError),
    ({"id": "refmaker_tiff_bitunpack", "bits": 9, "length": 4, "itemsize": 1}, BrokenFileError),
    ({"id": "refmaker_tiff_complexint", "itemsize": 8, "byteorder": "little"}, BrokenFileError),
    ({"id": "refmaker_tiff_float24", "byteorder": "="}, BrokenFileError),
    ({"id": "refmaker_tiff_predictor2", "itemsize": 3, "byteorder": "big", "width": 1, "samples": 1}, BrokenFileError),
    ({"id": "refmaker_tiff_predictor3", "itemsize": 1, "width": 1, "samples": 1}, BrokenFileError),
    ({"id": "refmaker_tiff_png", "shape": [1, 1], "itemsize": 1}, BrokenFileError),
    ({"id": "refmaker_tiff_webp", "shape": [1 << 20, 1 << 20, 4], "itemsize": 1}, BrokenFileError),
    ({"id": "refmaker_tiff_jpeg", "shape": [1, 1, 1], "itemsize": 1, "tables": "no base64"}, BrokenFileError),
]


@pytest.mark.parametrize(("config", "error"), BROKEN_CONFIGURATIONS, ids=str)
def test_impossible_parameters_are_refused_at_once(config: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error, match=config["id"]):
        get_codec(config)


def test_zfp_expert_mode_is_refused() -> None:
    words = [269504785, 91252346, 805307156, 4293918721, 3234299904, 493476]
    with pytest.raises(UnsupportedError, match="expert"):
        get_codec({"id": "refmaker_hdf5_zfp", "cd_values": words})


def test_base_is_abstract_about_both_ways() -> None:
    class Nothing(base.BytesCodec):
        codec_id = "nothing"

    with pytest.raises(NotImplementedError):
        Nothing().decode(b"")
    with pytest.raises(UnsupportedError):
        Nothing().encode(b"")


def test_numcodecs_finds_registered_codecs() -> None:
    register_with_numcodecs()
    assert numcodecs.get_codec({"id": "refmaker_pad", "nbytes": 3}).decode(b"a").tobytes() == b"a\0\0"
