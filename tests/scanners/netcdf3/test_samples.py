"""The samples, each of which has one awkward thing, against netCDF4."""

from pathlib import Path

import numpy as np
import pytest

from refmaker.model.reference_set import Note
from tests.scanners.netcdf3.packing import Att, Var, pack, samples
from tests.scanners.netcdf3.reading import assert_reads_as_netcdf4_does, scanned, values_of

SAMPLES = samples()
NATIVE_READS_WRONG = {"netcdf3_streaming.nc"}
"""netCDF-C does not know the streaming record count: it reports 4,294,967,295 records."""


@pytest.mark.parametrize("name", sorted(SAMPLES.keys() - NATIVE_READS_WRONG))
@pytest.mark.parametrize("chunk_bytes", [None, 1, 7, 16])
def test_a_sample_reads_as_netcdf4_reads_it(name: str, chunk_bytes: int | None, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(SAMPLES[name])
    assert_reads_as_netcdf4_does(path, chunk_bytes=chunk_bytes)


def test_attributes_keep_their_numbers_and_lose_closing_nuls() -> None:
    attributes = dict(scanned(SAMPLES["netcdf3_records.nc"]).root.attributes)
    doubles = attributes.pop("doubles")
    np.testing.assert_array_equal(doubles, [0.1, np.nan, np.inf, -0.0])
    assert attributes == {
        "title": "records of several types",
        "latin": "Températures à l'équateur",
        "utf8": "Temperaturen in °C",
        "closed": "with a NUL",
        "empty": "",
        "byte": -1,
        "shorts": [1, -2, 3],
        "int": 2_000_000_000,
        "float": float(np.float32(0.1)),
        "none": [],
    }


def test_a_fill_value_is_used_only_when_it_has_the_variables_type() -> None:
    result = scanned(SAMPLES["netcdf3_records.nc"])
    fills = {name: array.metadata.fill_value for name, array in result.root.arrays.items()}
    assert {name: fill for name, fill in fills.items() if fill is not None} == {
        "byte": 7,
        "short": -1,
        "temperature": 9.0,
    }
    temperature = result.root.arrays["temperature"].metadata
    assert temperature.attributes == {"_FillValue": 9.0, "missing_value": 8.0}
    assert result.root.arrays["wrong_fill"].metadata.attributes == {"_FillValue": 1.0}
    assert result.report.notes == (
        Note(
            "wrong_fill",
            "fill-value",
            "_FillValue is 1 of NC_FLOAT, not one NC_INT: kept as an attribute, not used as fill value",
        ),
    )


def test_a_fill_value_of_characters_is_bytes() -> None:
    variable = Var("c", [0], 2, [b"a", b"b"], [Att("_FillValue", 2, b"b")])
    metadata = scanned(pack(1, [("x", 2)], (), [variable])).root.arrays["c"].metadata
    assert (metadata.fill_value, metadata.attributes) == (b"b", {"_FillValue": "b"})


@pytest.mark.parametrize("version", [1, 2, 5])
@pytest.mark.parametrize("last_padding", [True, False])
def test_streaming_records_are_counted_by_the_files_size(version: int, last_padding: bool) -> None:
    variables = [Var("a", [0], 3, range(7)), Var("b", [0, 1], 1, np.arange(21).reshape(7, 3))]
    dims = [("time", 0), ("y", 3)]
    data = pack(version, dims, (), variables, numrecs=7, numrecs_field=-1, last_padding=last_padding)
    arrays = scanned(data).root.arrays
    np.testing.assert_array_equal(values_of(arrays["a"], data), np.arange(7))
    np.testing.assert_array_equal(values_of(arrays["b"], data), np.arange(21).reshape(7, 3))
    assert scanned(data[:-4]).root.arrays["b"].metadata.shape == (6, 3)  # a record cut short is none


def test_streaming_without_records_is_zero_records() -> None:
    data = pack(1, [("time", 0)], (), [Var("a", [0], 3, [])], numrecs_field=-1)
    assert scanned(data).root.arrays["a"].metadata.shape == (0,)
    assert scanned(pack(1, [("time", 0)], numrecs_field=-1)).root.arrays == {}


def test_the_second_attribute_of_a_name_is_reported() -> None:
    result = scanned(pack(1, attributes=[Att("a", 4, [1]), Att("a", 4, [2])]))
    assert result.root.attributes == {"a": 1}
    assert [(note.path, note.code) for note in result.report.notes] == [("", "attribute")]
