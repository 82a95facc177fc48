"""Settings of train that have no effect with some models."""

import pytest

from tests.ui.test_form import with_products
from tfm.core.errors import RunError, SettingsError
from tfm.core.runs.expand_repeats import split_values_by_preset
from tfm.core.runs.find_or_create import find_or_create_job
from tfm.core.runs.resolve_command_settings import resolve_settings
from tfm.core.runs.restart_or_extend import extend_run, restart_run


def test_a_regression_has_no_epochs_and_can_be_restarted(workspace):
    with_products(workspace)
    (workspace.dataset_folder("d") / ".arrangement").write_text("x")
    (workspace.cache_folder("c") / "settings.yaml").write_text("x")
    with pytest.raises(SettingsError, match="epochs has no effect when trained is none"):
        find_or_create_job(workspace, "train", {"epochs": "5", "weights": "none"}, ["ResNet18_OPW"])
    run = find_or_create_job(workspace, "train", {"weights": "none"}, ["ResNet18_OPW"])
    assert restart_run(run).read_status().key == run.read_status().key
    with pytest.raises(RunError, match="cannot be extended"):
        extend_run(run, 5)
    same = find_or_create_job(
        workspace, "train", {"weights": "none", "trained": "none", "batch_size": 32}, ["ResNet18_PFT"]
    )
    assert same.read_status().key == run.read_status().key


def resolve_with_seed(workspace, seed=None, **given):
    given |= {"trained": "none"} | ({"seed": seed} if seed else {})
    return resolve_settings(workspace, "train", given, workspace.load_preset("models", "ResNet18_OPW"))


def test_only_a_regression_on_fixed_weights_and_labels_has_no_seed(workspace):
    with_products(workspace)
    with pytest.raises(SettingsError, match="seed has no effect when trained is none and weights is not none"):
        resolve_with_seed(workspace, 8)
    assert resolve_with_seed(workspace, 8, weights="none").seed == 8
    assert resolve_with_seed(workspace, 8, label_percent=50).seed == 8


def test_seeds_without_effect_are_refused_and_in_a_queue_such_a_model_runs_once(workspace):
    with_products(workspace)
    with pytest.raises(SettingsError, match="seed has no effect here, so all 3 runs would be the same") as refusal:
        find_or_create_job(workspace, "train", {"seeds": "3"}, ["ResNet18_OPW"])
    assert refusal.value.fields == ("seeds",)
    plan = find_or_create_job(workspace, "train", {"seeds": "2"}, ["ResNet18_OPW", "ResNet18_CFT"])
    *trained, last = (step.name for step in plan.read_steps())
    assert trained == ["ResNet18_OPW", "ResNet18_CFT-seed7", "ResNet18_CFT-seed8"]
    assert last == "compare"


def test_a_queue_gives_epochs_only_to_models_that_have_them(workspace):
    with_products(workspace)
    pair = ["ResNet18_OPW", "ResNet18_CFT"]
    given = [own for _, own in split_values_by_preset(workspace, "train", {"epochs": 5, "weights": "none"}, pair)]
    assert given == [{"weights": "none"}, {"epochs": 5, "weights": "none"}]
    plan = find_or_create_job(workspace, "train", {"epochs": 5, "weights": "none", "dataset": "d", "cache": "c"}, pair)
    assert [step.settings.get("epochs") for step in plan.read_steps()] == [None, 5]
    alone = [
        own for _, own in split_values_by_preset(workspace, "train", {"epochs": 5}, ["ResNet18_OPW", "DenseNet121_OPW"])
    ]
    assert alone == [{"epochs": 5}, {"epochs": 5}], "no model has epochs: the value is kept, and refused later"
    preset = workspace.load_preset("models", "ResNet18_OPW")
    with pytest.raises(SettingsError, match="epochs has no effect"):
        resolve_settings(workspace, "train", alone[0] | {"dataset": "d", "cache": "c"}, preset)
