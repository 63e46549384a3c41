"""Worker processes and programs started by these tests know the scanner that does harm."""

import os
from pathlib import Path

import pytest

from tests.batch.archive import install_plugin


@pytest.fixture
def trouble(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("plugin")
    install_plugin(folder)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")])))
    return folder
