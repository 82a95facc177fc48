"""A form leaves out settings that have no effect."""

from tests.ui.scripted import BACK, read_rows
from tests.ui.test_form import form, with_products


def test_a_form_shows_only_settings_that_have_an_effect(workspace):
    with_products(workspace)
    filled_form, asker = form("train", workspace, preset=["ResNet18_OPW"], review=("change", "start"), setting=BACK)
    filled_form.fill()
    rows, changeable = read_rows(asker.asked[-1]).keys(), read_rows(asker.find("setting")[0]).keys()
    assert "weights" in rows
    assert not {"epochs", "learning_rate", "seeds"} & rows
    assert {"trained", "tta", "precision"} <= changeable
    assert not {"patience", "ema", "rotation", "accumulate"} & changeable


def test_an_answer_without_effect_is_kept_for_later(workspace):
    with_products(workspace)
    answers = {"preset": ["ResNet18_CFT"], "epochs": "5", "review": ("change", "start"), "setting": "trained"}
    filled_form, _ = form("train", workspace, **answers, trained="none")
    filled = filled_form.fill()
    assert filled.given["trained"] == "none"
    assert "epochs" not in filled.given
    assert filled_form.state.answers["epochs"] == 5


def test_a_form_offers_only_the_values_that_a_step_uses(workspace):
    with_products(workspace)
    filled_form, _ = form("preprocess", workspace)
    state = filled_form.state
    state.answers = {"blur": True}
    steps = next(field for field in state.fields if field.parts)
    assert {"blur.sigma_color", "intensity.low"} & state.ineffective == {"blur.sigma_color"}
    assert "blur.size" in {field.name for field in state.list_part_fields(steps)}
    state.answers = {"blur": True, "blur.filter": "bilateral"}
    assert "blur.sigma_color" not in state.ineffective
