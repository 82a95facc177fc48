"""The official collection as a tree of small files: made once, read by many tests."""

from pathlib import Path

import pytest

from tests.data.official_tree import write_official_tree


@pytest.fixture(scope="session")
def official_tree(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("official")
    assert write_official_tree(shared_data / "csv", folder) == 10239
    return folder
