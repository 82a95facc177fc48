"""Fixtures that every floor's tests share, and how tests run beside each other."""

import atexit
import gc
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:  # before torch reads it: a process a core, and a thread a process
    os.environ.setdefault("OMP_NUM_THREADS", "1")

if "PYTEST_XDIST_WORKER" not in os.environ:  # its workers inherit this
    user_caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    os.environ.setdefault("MPLCONFIGDIR", str(user_caches / "matplotlib"))  # making a list of fonts takes seconds
    os.environ.setdefault("HF_HOME", str(user_caches / "huggingface"))
    os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(prefix="tfm-caches-")
    atexit.register(shutil.rmtree, os.environ["XDG_CACHE_HOME"], ignore_errors=True)

os.environ["TFM_PROBE"] = "off"  # the tests need the cores
os.environ["TFM_COMMANDS"] = "tests.toys"  # the toy commands, found by name here and in the workers
os.environ["TFM_LANGUAGE"] = "en"  # whatever the language of this machine

from tests.alone import taking_part
from tests.data.official_tree import write_official_tree
from tests.faults.disks import mount_small_disk
from tests.one_node_slurm import OneNodeSlurm, is_installed, run_slurm
from tfm.core.runs.workspace import Workspace

PROJECT = Path(__file__).resolve().parent.parent


def pytest_collection_finish() -> None:
    """Leave the modules and the list of tests out of later garbage collections, which each training ends with."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    with taking_part(alone=item.get_closest_marker("alone") is not None):
        return (yield)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


@pytest.fixture
def empty_user_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is known of this machine's speed and of the weights that it can reach."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user-cache"))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MB."""
    with mount_small_disk(tmp_path / "disk", "1m") as folder:
        yield folder


@pytest.fixture(scope="session")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OneNodeSlurm]:
    """A real Slurm of one node."""
    if not is_installed():
        pytest.skip("Slurm and munge are not installed, or this is not root")
    with run_slurm(tmp_path_factory.mktemp("slurm")) as slurm:
        yield slurm


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
