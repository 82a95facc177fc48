"""A key changes with the work and its inputs, and with nothing else."""

import os

import pytest

from tests.toy_jobs import finish, toy_run
from tfm.core.errors import DataError
from tfm.core.runs.keys import compute_key
from tfm.core.runs.restart_or_extend import restart_run
from tfm.core.runs.workspace import Workspace
from tfm.core.settings.base import CacheName, DatasetWithFiles, InputPath, Settings
from tfm.core.settings.resolve import resolve


class Chain(Settings):
    steps: dict[str, int] = {}  # noqa: RUF012


class Reader(Settings):
    dataset: DatasetWithFiles = "d"


class CacheReader(Settings):
    cache: CacheName = "c"


class FolderReader(Settings):
    folder: InputPath


def write_dataset(root):
    workspace = Workspace(root)
    folder = workspace.dataset_folder("d")
    (folder / "train").mkdir(parents=True)
    for name in ("manifest.csv", ".arrangement", "train/a.png"):
        (folder / name).write_text(name)
    os.utime(folder / "train" / "a.png", (1000, 1000))
    return workspace


def test_the_command_its_version_and_the_order_of_a_mapping_change_the_key(workspace):
    first, second = (resolve(Chain, {}, {"steps": steps}) for steps in ({"a": 1, "b": 2}, {"b": 2, "a": 1}))
    keys = [compute_key(workspace, name, version, first) for name, version in (("x", 1), ("y", 1), ("x", 2))]
    keys.append(compute_key(workspace, "x", 1, second))
    assert len(set(keys)) == 4
    assert compute_key(workspace, "x", 1, first) == keys[0]


def test_a_moved_workspace_keeps_its_keys(tmp_path):
    keys = {compute_key(write_dataset(tmp_path / name), "x", 1, Reader()) for name in ("here", "there")}
    assert len(keys) == 1


@pytest.mark.parametrize("name", ["manifest.csv", "train/a.png", "train/b.png"])
def test_a_changed_dataset_changes_the_key(tmp_path, name):
    workspace = write_dataset(tmp_path)
    before = compute_key(workspace, "x", 1, Reader())
    (workspace.dataset_folder("d") / name).write_text("something else")
    assert compute_key(workspace, "x", 1, Reader()) != before


def test_an_incomplete_input_is_refused(workspace):
    with pytest.raises(DataError, match="the cache c"):
        compute_key(workspace, "x", 1, CacheReader())


def test_a_file_in_a_read_folder_changes_the_key(workspace, tmp_path):
    folder = tmp_path / "download"
    folder.mkdir()
    settings = resolve(FolderReader, {}, {"folder": str(folder)})
    before = compute_key(workspace, "x", 1, settings)
    assert compute_key(workspace, "x", 1, settings, [folder]) != before
    (folder / "a.dcm").touch()
    assert compute_key(workspace, "x", 1, settings) != before


def test_a_restarted_input_run_changes_the_key(workspace):
    old = toy_run(workspace, target=5)
    finish(old)
    reader = toy_run(workspace, target=6, start_from=old.id)
    finish(reader)
    new = restart_run(old)
    finish(new)
    assert toy_run(workspace, target=6, start_from=old.id).id == reader.id
    assert toy_run(workspace, target=6, start_from=new.id).id != reader.id
