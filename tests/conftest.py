"""Fixtures that every floor's tests share."""

from pathlib import Path

import pytest

from tests.data.official_tree import write_official_tree
from tfm.core.workspace import Workspace

PROJECT = Path(__file__).resolve().parent.parent


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real data that lies beside the project on some machines; nothing of it is ever copied in."""
    folder = PROJECT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the shared real data is not on this machine")
    return folder


@pytest.fixture(scope="session")
def official_tree(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole collection as a tree of small files."""
    folder = tmp_path_factory.mktemp("official")
    assert write_official_tree(shared_data / "csv", folder) == 10239
    return folder
