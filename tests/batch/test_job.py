"""Job files: what the schema allows is what is read, and nothing else."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from refmaker.batch.job import SECTIONS, TOP, JobKeywords, job_of, read_job_file
from refmaker.combine.placement import FromName
from refmaker.errors import OptionError
from tests.samples import ROOT

SCHEMA = json.loads((ROOT / "schemas/job.schema.json").read_text())

WHOLE = """
inputs = ["data/*.nc"]
output = "all.parq"
separate = "refs"
job = "job"

[scan]
on_unsupported = "skip"
exclude = ["junk*"]

[combine]
concat = ["time", "member"]
place.member = { name = 'member(\\d+)' }

[write]
relative = true

[run]
on_error = "skip"
timeout = 60
dask = "tcp://127.0.0.1:8786"

[storage_options]
anon = true
"""


def test_the_schema_has_the_keys_that_are_read() -> None:
    assert set(SCHEMA["properties"]) == {*TOP, *SECTIONS, "storage_options"}
    for section, names in SECTIONS.items():
        assert set(SCHEMA["properties"][section]["properties"]) == set(names)


def test_the_api_has_the_keys_of_job_files() -> None:
    assert set(JobKeywords.__annotations__) == {name for names in SECTIONS.values() for name in names} | {
        "storage_options"
    }


def test_a_job_file_says_what_keywords_say(tmp_path: Path) -> None:
    path = tmp_path / "job.toml"
    path.write_text(WHOLE)
    found = read_job_file(str(path))
    top = {name: found.pop(name) for name in TOP}
    job = job_of(**top, options=found)
    assert job.inputs == ("data/*.nc",)
    assert job.combine.concat == ("time", "member")
    assert job.combine.place["member"] == FromName(r"member(\d+)")
    assert (job.on_error, job.max_failures, job.dask) == ("skip", None, "tcp://127.0.0.1:8786")
    assert job.scan.options.exclude == ("junk*",)
    assert job.scan.options.storage_options == {"anon": True}
    assert job.write.relative


def test_toml_and_json_say_the_same(tmp_path: Path) -> None:
    import tomllib

    content = tomllib.loads(WHOLE)
    jsonschema.validate(content, SCHEMA)
    (tmp_path / "job.toml").write_text(WHOLE)
    (tmp_path / "job.json").write_text(json.dumps(content))
    assert read_job_file(str(tmp_path / "job.toml")) == read_job_file(str(tmp_path / "job.json"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"input": ["x"]}, "'input' is not a key of a job; did you mean 'inputs'"),
        ({"run": {"on_errors": "skip"}}, r"'on_errors' is not a key of \[run\]; did you mean 'on_error'"),
        ({"combine": {"place": {"t": {"nme": "x"}}}}, "did you mean 'name'"),
        ({"run": {"workers": "two"}}, "'workers' is 'two'"),
        ({"run": {"workers": True}}, "wrong kind"),
        ({"write": {"relative": 1}}, "wrong kind"),
        ({"scan": "fast"}, "'scan' is a section"),
        ([], "a job is an object"),
    ],
)
def test_what_is_not_known_is_refused(tmp_path: Path, content: Any, message: str) -> None:
    path = tmp_path / "job.json"
    path.write_text(json.dumps(content))
    with pytest.raises(OptionError, match=message):
        job_of("x", "y.json", options=read_job_file(str(path)))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(content, SCHEMA)


def test_a_file_that_is_no_job_is_named(tmp_path: Path) -> None:
    (tmp_path / "job.toml").write_text("inputs = [")
    with pytest.raises(OptionError, match=r"job\.toml: the job file cannot be read"):
        read_job_file(str(tmp_path / "job.toml"))


def test_remote_outputs_need_a_local_job(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="--job DIR"):
        job_of("x", "s3://bucket/all.parq", options={})
    assert job_of("x", "s3://bucket/all.parq", job=str(tmp_path), options={}).directory == tmp_path


def test_no_credentials_are_kept(tmp_path: Path) -> None:
    plain, secret = (
        job_of("x", "y.json", options={"storage_options": options}) for options in (None, {"key": "hunter2"})
    )
    assert plain.scan_digest == secret.scan_digest
    assert plain.output_digest == secret.output_digest
