"""A dataset of 24 small phantoms, its whole cache, and a copy of it that a test may spoil."""

import shutil
from pathlib import Path

import pytest

from tests.data.caches import build, chain, contents, dataset_of, small_download
from tfm.data.dataset.dataset import Dataset


@pytest.fixture(scope="module")
def download(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_download(tmp_path_factory.mktemp("download"))


@pytest.fixture(scope="module")
def whole(download: Path) -> Dataset:
    return dataset_of(download, download.with_name("whole"))


@pytest.fixture(scope="module")
def made(whole: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """By an undisturbed build; to be copied."""
    folder = tmp_path_factory.mktemp("made") / "c"
    build(folder, whole, chain())
    return folder


@pytest.fixture(scope="module")
def fresh(made: Path) -> dict[str, bytes]:
    return contents(made)


@pytest.fixture
def copied(made: Path, tmp_path: Path) -> Path:
    """The whole cache once more, which may be damaged or made again."""
    return Path(shutil.copytree(made, tmp_path / "c"))


@pytest.fixture
def dataset(whole: Dataset, tmp_path: Path) -> Dataset:
    """Its files may be damaged: they are nobody else's."""
    shutil.copytree(whole.folder, tmp_path / "dataset" / whole.folder.name)
    return Dataset.open(tmp_path / "dataset" / whole.folder.name)
