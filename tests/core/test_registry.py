"""Only registered commands are imported, whatever names a workspace contains."""

import pytest
import yaml

from tests.toy_jobs import finish, toy_run
from tfm.core import command_list
from tfm.core.errors import SettingsError
from tfm.core.python_path import build_python_path
from tfm.core.registry import EXTRA_COMMANDS, find_command, import_object
from tfm.core.runs.find_or_create import find_or_create_job
from tfm.core.settings import presets

COMMANDS = command_list.list_commands()


@pytest.fixture
def planted(workspace, monkeypatch):
    """Names of a module in the workspace that leaves a file behind when it is imported."""
    package = workspace.root / "planted"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "stage.py").write_text(f"open({str(package / 'imported')!r}, 'w').close()\n")
    monkeypatch.chdir(workspace.root)
    monkeypatch.syspath_prepend(str(workspace.root))
    yield ["planted.stage", "planted.stage:COMMAND", "planted/stage", "../../planted/stage"]
    assert not (package / "imported").exists()


def test_a_dotted_command_in_a_run_imports_nothing(workspace, planted):
    run = toy_run(workspace, target=3)
    written = yaml.safe_load(run.settings_file.read_text())
    for name in planted:
        run.settings_file.write_text(yaml.safe_dump(written | {"stage": name}))
        finish(run)
        assert run.read_status().state == "failed"
        assert name in run.read_status().message


def test_a_dotted_command_in_a_preset_imports_nothing(workspace, planted):
    folder = workspace.root / "models"
    folder.mkdir()
    for name in planted:
        preset = {"title": "t", "about": "a", "stage": name, "settings": {}}
        (folder / "Mine.yaml").write_text(yaml.safe_dump(preset))
        with pytest.raises(SettingsError, match="there is no command called"):
            find_or_create_job(workspace, "train", {"dataset": "d", "cache": "c"}, ["Mine"])


def test_a_relative_python_path_does_not_reach_the_worker(workspace, planted, monkeypatch):
    """Beside the workspace, an empty or relative entry would let its modules shadow installed ones."""
    (workspace.root / "yaml.py").write_text("open('planted/imported', 'w').close()\n")
    monkeypatch.setenv("PYTHONPATH", ":.:relative")
    run = toy_run(workspace, target=3)
    finish(run)
    assert run.read_status().state == "done"


def test_the_environment_adds_a_package_of_commands(monkeypatch):
    assert find_command("look-at-dataset").name == "look-at-dataset"
    monkeypatch.delenv(EXTRA_COMMANDS)
    with pytest.raises(SettingsError, match="there is no command called 'look-at-dataset'"):
        find_command("look-at-dataset")


def test_an_added_command_cannot_replace_a_shipped_one(tmp_path, monkeypatch):
    (tmp_path / "extra_commands_of_a_test").mkdir()
    (tmp_path / "extra_commands_of_a_test" / "train.py").write_text("raise AssertionError\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv(EXTRA_COMMANDS, "extra_commands_of_a_test")
    assert find_command("train").settings.__module__ == "tfm.commands.train"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_names_code_that_exists(name):
    command = find_command(name)
    assert command.name == name
    hooks = [getattr(command, hook, None) for hook in ("inspect", "preview", "extra_inputs")]
    limits = [repeat.at_most for repeat in getattr(command, "repeats", ())]
    for path in filter(None, [command.pipeline, *hooks, *limits]):
        assert callable(import_object(path))
    if getattr(command, "trial", None):
        assert find_command(command.trial).name == command.trial


def test_the_python_path_of_a_worker_has_the_project_and_absolute_paths_only(monkeypatch, tmp_path):
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:.")
    assert build_python_path() == f"{presets.PROJECT}:{tmp_path}"
