"""Fixtures that every floor's tests share."""

from pathlib import Path

import pytest

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
