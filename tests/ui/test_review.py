"""The review of a form: where the cursor stands, what a row explains, and what a start would cost."""

import io

import pytest
from rich.console import Console

from tests.estimated_models import GIVEN, learn, write_data
from tests.ui.scripted import BACK, Scripted
from tfm.ui.equivalent_command_line import FilledForm
from tfm.ui.form import Form


@pytest.fixture
def workspace(workspace, empty_user_cache):
    return write_data(workspace)


def review(workspace, *presets, on=None, **answers):
    asker = Scripted({"review": "start"} | answers)
    form = Form("train", workspace, asker, Console(file=io.StringIO(), width=100), lambda filled: None)
    form.fill(FilledForm("train", presets, GIVEN, on=on))
    return asker


def test_the_cursor_stays_on_the_row_that_was_chosen(workspace):
    asker = review(workspace, "MammoCNN", epochs="7", review=("epochs", "command", "start"))
    assert [question.default for question in asker.find("review")] == ["start", "epochs", "epochs", "command"]
    asker = review(workspace, "MammoCNN", epochs=BACK, review=("start",))
    assert [question.default for question in asker.find("review")] == ["start", "epochs"]


def test_esc_at_a_setting_leads_back_to_the_list_of_settings(workspace):
    asker = review(
        workspace, "MammoCNN", review=("change", "start"), setting=("dropout", "dropout"), dropout=(BACK, "0")
    )
    assert asker.names == ["review", "setting", "dropout", "setting", "dropout", "review"]
    assert asker.find("setting")[1].default == "dropout"


def test_a_row_explains_its_setting_and_says_which_model_suggests_what(workspace):
    (question,) = review(workspace, "MammoCNN", "ResNet18_CFT").find("review")
    rows = {choice.value: choice for choice in question.choices}
    assert "none: MammoCNN\nimagenet: ResNet18_CFT" in rows["weights"].card
    assert "--weights" in rows["weights"].why
    assert rows["weights"].why.count("\n") == 2, "the lines of the source are joined"


def test_costs_follow_the_epochs_at_once_and_those_of_an_unknown_model_are_left_open(workspace):
    learn(workspace, "MammoCNN")
    asker = review(workspace, "MammoCNN", epochs="3", review=("epochs", "start"))
    before, after = (question.aside.split(" · ")[0] for question in asker.find("review")[:3:2])
    assert (before, after) == ("≈ 1.7 h", "≈ 5 min")
    asker = review(workspace, "MammoCNN", "DenseNet121_CFT", epochs="3", review=("epochs", "start"))
    assert asker.find("review")[-1].aside.startswith("≥ 5 min · ")


def test_of_a_start_on_a_cluster_only_the_disk_space_is_known_here(workspace):
    learn(workspace, "MammoCNN")
    (question,) = review(workspace, "MammoCNN", on="gpu").find("review")
    assert question.aside == "280 MB disk"
