"""The question that asks for a setting offers what can be taken, and nothing else."""

import pytest

from tests.estimated_models import GIVEN, write_data
from tests.toy_jobs import finish, toy_run
from tests.ui.scripted import read_rows
from tfm.core import registry
from tfm.core.errors import SettingsError
from tfm.core.runs.inputs import check_inputs
from tfm.core.settings.fields import find_field
from tfm.core.settings.resolve import resolve
from tfm.ui.field_prompts import WEIGHTS_FILE, build_question

TRAIN = registry.find_command("train").settings


def test_weights_are_taken_only_from_runs_that_trained_a_network(workspace):
    write_data(workspace)
    trained, counted = toy_run(workspace, target=5), toy_run(workspace, target=6)
    for run in (trained, counted):
        finish(run)
    trained.update(result={"model": "MammoCNN"})
    trained.checkpoints_folder.mkdir(exist_ok=True)
    trained.best_checkpoint.touch()
    offered = read_rows(build_question(find_field(TRAIN, "weights"), "none", workspace))
    assert list(offered) == ["none", "imagenet", f"run:{trained.id}", WEIGHTS_FILE]
    assert offered[f"run:{trained.id}"] == "MammoCNN"
    given = GIVEN | {"weights": f"run:{counted.id}"}
    with pytest.raises(SettingsError, match=f"{counted.id} has no best checkpoint") as refused:
        check_inputs(workspace, resolve(TRAIN, {}, given))
    assert refused.value.fields == ("weights",)
