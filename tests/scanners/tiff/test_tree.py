"""Where series, levels, masks and coordinates go, and what the options leave of them."""

from pathlib import Path
from typing import Any

import pytest

from refmaker.errors import OptionError
from refmaker.model.group import walk_arrays
from tests.scanners.tiff.reading import group_at, scanned
from tests.scanners.tiff.samples import SAMPLES


def paths(name: str, folder: Path, **options: Any) -> list[str]:
    path = folder / f"{name}.tif"
    SAMPLES[name](path)
    return [found for found, _ in walk_arrays(scanned(path, **options).root)]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("tiles", ["data"]),
        ("stack-compressed", ["data"]),
        ("two-series", ["series_0/data", "series_1/data"]),
        ("pyramid-pages", ["data", "level_1/data", "level_2/data"]),
        ("pyramid-subifds", ["data", "level_1/data", "level_2/data"]),
        ("ome-pyramid", ["Image0", "level_1/Image0"]),
        ("mask-beside", ["data", "mask/data"]),
        ("thumbnail-beside", ["data", "reduced/data"]),
    ],
)
def test_the_image_is_in_the_root_and_what_belongs_to_it_in_groups(
    name: str, expected: list[str], tmp_path: Path
) -> None:
    assert paths(name, tmp_path) == expected


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"levels": (0,)}, ["data"]),
        ({"levels": (1, 2)}, ["data", "level_2/data"]),
        ({"series": (0,), "levels": (2,)}, ["data"]),
        ({"group": "level_1"}, ["data"]),
        ({"include": ("level_*",)}, ["level_1/data", "level_2/data"]),
        ({"exclude": ("level_2/*",)}, ["data", "level_1/data"]),
    ],
    ids=str,
)
def test_options_choose_levels(options: dict[str, Any], expected: list[str], tmp_path: Path) -> None:
    assert paths("pyramid-pages", tmp_path, **options) == expected


@pytest.mark.parametrize("number", [0, 1])
def test_one_series_of_several_is_in_the_root(number: int, tmp_path: Path) -> None:
    assert paths("two-series", tmp_path, series=(number,)) == ["data"]


@pytest.mark.parametrize("options", [{"series": (7,)}, {"levels": (7,)}, {"group": "elsewhere"}], ids=str)
def test_what_is_not_there_is_an_option_error(options: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="no "):
        paths("two-series", tmp_path, **options)


@pytest.mark.parametrize("options", [{"geo": "on"}, {"series": 1}, {"series": (-1,)}, {"levels": ("0",)}], ids=str)
def test_options_of_the_wrong_kind_are_refused(options: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(OptionError):
        paths("tiles", tmp_path, **options)


def test_a_pyramid_has_multiscales_metadata(tmp_path: Path) -> None:
    path = tmp_path / "pyramid.tif"
    SAMPLES["pyramid-pages"](path)
    (found,) = scanned(path).root.attributes["multiscales"]  # type: ignore[misc]
    assert found == {
        "version": "0.4",
        "name": "data",
        "axes": [{"name": "y", "type": "space"}, {"name": "x", "type": "space"}],
        "datasets": [
            {"path": path, "coordinateTransformations": [{"type": "scale", "scale": [scale, scale]}]}
            for path, scale in (("data", 1.0), ("level_1/data", 2.0), ("level_2/data", 4.0))
        ],
    }


def test_a_single_level_has_none(tmp_path: Path) -> None:
    path = tmp_path / "single.tif"
    SAMPLES["tiles"](path)
    assert "multiscales" not in group_at(scanned(path), "").attributes
