"""A setting that does nothing with the others as they are is not asked, refused where it is given, part of no key."""

from typing import Annotated, Literal

import pytest

from tests.ui.test_form import form, with_products
from tfm.core import command_list, registry
from tfm.core.errors import RunError, SettingsError
from tfm.core.runs.command_settings import resolve_settings
from tfm.core.runs.launch import find_or_create_job
from tfm.core.runs.queue import split_values_by_preset
from tfm.core.runs.restart import extend_run, restart_run
from tfm.core.settings.fields import list_fields
from tfm.core.settings.resolve import resolve
from tfm.core.settings.schema import NoEffectWhen, Settings
from tfm.core.settings.serialize import collect_key_values
from tfm.imaging.settings import ChainSettings


class Edge(Settings):
    steep: float = 1.0
    """How steep"""
    wide: Annotated[int, NoEffectWhen("steep", 0)] = 3
    """How wide"""


class Filter(Settings):
    kind: Literal["plain", "edges"] = "plain"
    """Which filter"""
    edge: Annotated[Edge, NoEffectWhen("kind", "plain")] = Edge()


def test_what_has_no_effect_is_refused_in_words_and_nothing_else_is():
    with pytest.raises(SettingsError, match=r"^steep has no effect when kind is plain$") as refusal:
        resolve(Filter, {}, {"steep": "0.5"})
    assert refusal.value.hint == "leave out steep, or choose another value for kind"
    assert refusal.value.fields == ("steep",)
    assert resolve(Filter, {}, {"steep": "0.5", "kind": "edges"}).edge.steep == 0.5
    with pytest.raises(SettingsError, match="wide has no effect when steep is 0"):
        resolve(Filter, {}, {"steep": "0", "kind": "edges", "wide": 4})


def test_what_a_preset_says_without_effect_stays_out_of_the_settings_and_of_the_key():
    preset = {"kind": "edges", "steep": 0.5}
    assert collect_key_values(resolve(Filter, preset, {})) == {"kind": "edges", "steep": 0.5}
    assert collect_key_values(resolve(Filter, preset, {"kind": "plain"})) == {}


def test_its_explanation_says_when_it_does_nothing():
    steep = next(field for field in list_fields(Filter) if field.name == "steep")
    assert steep.explanation == "It has no effect when kind is plain."
    wide = next(field for field in list_fields(Filter) if field.name == "wide")
    assert wide.explanation == "It has no effect when kind is plain, or when steep is 0."


@pytest.mark.parametrize(
    ("step", "value"),
    [("blur.sigma_color", "30"), ("border.share", "0.1"), ("intensity.low", "2")],
)
def test_the_value_of_a_step_that_it_does_not_use_is_refused(step, value):
    idle = {"blur.filter": "gaussian", "border.cut": "found", "intensity.stretch": "maximum", "resize": True}
    with pytest.raises(SettingsError, match=rf"{step.partition('.')[2].replace('_', '-')} has no effect when"):
        resolve(ChainSettings, {}, idle | {step: value})


@pytest.mark.parametrize("name", command_list.list_commands())
def test_every_mark_names_a_setting_that_decides_in_the_stages_that_have_it(name):
    """Unless it came with a group of settings that other stages have too."""
    found = list_fields(registry.find_command(name).settings)
    classes = [found, *(field.list_part_fields(part) for field in found for part in field.parts)]
    for group in classes:
        names = {field.name.rpartition(".")[2] for field in group}
        assert {mark.setting for field in group for mark in field.no_effect} - names <= {"trained"}
    if name == "train":
        assert "trained" in {field.name for field in found}


def test_a_run_of_a_regression_takes_no_epochs_and_can_be_repeated_from_its_own_file(workspace):
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


def of_seed(workspace, seed=None, **given):
    given |= {"trained": "none"} | ({"seed": seed} if seed else {})
    return resolve_settings(workspace, "train", given, workspace.load_preset("models", "ResNet18_OPW"))


def test_a_regression_on_given_weights_and_labels_has_no_seed_and_any_other_one_has(workspace):
    with_products(workspace)
    with pytest.raises(SettingsError, match="seed has no effect when trained is none and weights is not none"):
        of_seed(workspace, 8)
    assert of_seed(workspace, 8, weights="none").seed == 8
    assert of_seed(workspace, 8, label_percent=50).seed == 8


def test_seeds_that_would_all_be_the_same_run_are_refused_and_among_others_such_a_model_is_run_once(workspace):
    with_products(workspace)
    with pytest.raises(SettingsError, match="seed has no effect here, so all 3 runs would be the same") as refusal:
        find_or_create_job(workspace, "train", {"seeds": "3"}, ["ResNet18_OPW"])
    assert refusal.value.fields == ("seeds",)
    plan = find_or_create_job(workspace, "train", {"seeds": "2"}, ["ResNet18_OPW", "ResNet18_CFT"])
    assert [step.name for step in plan.read_steps()] == ["ResNet18_OPW", "ResNet18_CFT-seed7", "ResNet18_CFT-seed8"]
    asked, asker = form("train", workspace, preset=["ResNet18_OPW"])
    asked.fill()
    assert "seeds" not in asker.names


def test_of_several_models_only_those_are_told_of_epochs_that_take_some(workspace):
    with_products(workspace)
    pair = ["ResNet18_OPW", "ResNet18_CFT"]
    given = [own for _, own in split_values_by_preset(workspace, "train", {"epochs": 5, "weights": "none"}, pair)]
    assert given == [{"weights": "none"}, {"epochs": 5, "weights": "none"}]
    plan = find_or_create_job(workspace, "train", {"epochs": 5, "weights": "none", "dataset": "d", "cache": "c"}, pair)
    assert [step.settings.get("epochs") for step in plan.read_steps()] == [None, 5]
    alone = [
        own for _, own in split_values_by_preset(workspace, "train", {"epochs": 5}, ["ResNet18_OPW", "DenseNet121_OPW"])
    ]
    assert alone == [{"epochs": 5}, {"epochs": 5}], "with none of them: there it is refused"
    preset = workspace.load_preset("models", "ResNet18_OPW")
    with pytest.raises(SettingsError, match="epochs has no effect"):
        resolve_settings(workspace, "train", alone[0] | {"dataset": "d", "cache": "c"}, preset)


def test_a_form_asks_only_for_what_has_an_effect(workspace):
    with_products(workspace)
    asked, asker = form("train", workspace, preset=["ResNet18_OPW"])
    asked.fill()
    assert not {"epochs", "learning_rate"} & set(asker.names)
    assert "weights" in asker.names
    changeable = {choice.value for _, choice in asked._list_changeable()}
    assert {"trained", "tta", "precision"} <= changeable
    assert not {"patience", "ema", "rotation", "accumulate"} & changeable


def test_what_was_answered_waits_while_it_has_no_effect(workspace):
    with_products(workspace)
    answers = {"preset": ["ResNet18_CFT"], "epochs": "5", "what_now": ("change", "start"), "setting": "trained"}
    asked, _ = form("train", workspace, **answers, trained="none")
    filled = asked.fill()
    assert filled.given["trained"] == "none"
    assert "epochs" not in filled.given
    assert asked.state.answers["epochs"] == 5


def test_a_form_offers_of_a_step_only_the_values_it_uses(workspace):
    with_products(workspace)
    asked, _ = form("preprocess", workspace)
    draft = asked.state
    draft.answers = {"blur": True}
    steps = next(field for field in draft.fields if field.parts)
    assert {"blur.sigma_color", "intensity.low"} & draft.ineffective == {"blur.sigma_color"}
    assert "blur.size" in {field.name for field in draft.list_part_fields(steps)}
    draft.answers = {"blur": True, "blur.filter": "bilateral"}
    assert "blur.sigma_color" not in draft.ineffective
