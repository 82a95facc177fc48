"""The table of the models, and what remains of the marks."""

import json

import pytest

from tests.estimated_models import GIVEN, learn, learn_weights, write_data
from tests.ui.scripted import LEAVE, Scripted
from tests.ui.test_form import form
from tfm.core.runs.find_or_create import find_or_create_job, find_or_create_plan
from tfm.core.runs.plan import Step
from tfm.core.settings.presets import list_presets
from tfm.ui.list_state import ListState
from tfm.ui.prompts import ToMenu
from tfm.ui.screens.choose_models import COLUMNS, ModelChooser


@pytest.fixture
def workspace(workspace, empty_user_cache):
    return write_data(workspace)


def read_row(question, name):
    (choice,) = (choice for choice in question.choices if choice.value == name)
    return dict(zip(COLUMNS, choice.cells, strict=True)), choice


def test_each_model_says_what_it_would_cost_here(workspace):
    learn(workspace, "ResNet18_CFT")
    learn_weights("resnet18", 45)
    row, choice = read_row(ModelChooser(workspace, GIVEN).ask_several(()), "ResNet18_CFT")
    assert (row["params"], row["weights"]) == ("10.0 M", "45 MB")
    assert row["time"].startswith("≈ "), "it is scaled, not measured"
    assert row["memory"].endswith(" GB")
    assert "The usual first choice" in choice.card
    unknown, _ = read_row(ModelChooser(workspace, GIVEN).ask_several(()), "MammoCNN")
    assert (unknown["params"], unknown["time"]) == ("…", "…")


def test_a_model_whose_weights_cannot_be_reached_says_so_and_is_not_suggested(workspace):
    learn(workspace, "ResNet18_OPW")
    learn_weights("resnet18", None)
    question = ModelChooser(workspace, GIVEN).ask_several(())
    row, choice = read_row(question, "ResNet18_OPW")
    assert row["weights"] == "absent"
    assert "connect once" in choice.disabled
    state = ListState(question)
    state.mark(["ResNet18_OPW", "ResNet18_CFT"])
    assert "ResNet18_OPW" not in state.marked
    suggested = question.marks["s"][1]
    assert suggested
    assert "ResNet18_OPW" not in suggested
    assert question.default == suggested, "a beginner only has to continue"
    scratch = ModelChooser(workspace, GIVEN | {"weights": "none"}).ask_several(())
    assert not read_row(scratch, "ResNet18_OPW")[1].disabled, "it needs no weights then"


def test_the_classic_ten_are_marked_with_one_key_and_every_model_is_offered(workspace):
    (workspace.root / "models").mkdir()
    (workspace.root / "models" / "mine.yaml").write_text("title: My own\nabout: x\nstage: train\nsettings: {}\n")
    (workspace.root / "models" / "torn.yaml").write_text("title: [")
    question = ModelChooser(workspace, GIVEN).ask_several(())
    offered = [choice.value for choice in question.choices]
    assert sorted(offered) == sorted([*list_presets("models"), "mine", "torn"])
    assert len(question.marks["t"][1]) == 10
    assert offered[:10] == question.marks["t"][1]
    assert "cannot be read" in read_row(question, "torn")[1].disabled


def test_a_trained_model_is_not_marked_again(workspace):
    run = find_or_create_job(workspace, "train", GIVEN, ("MammoCNN",))
    run.update(state="done", result={"run": run.id})
    question = ModelChooser(workspace, GIVEN).ask_several(("MammoCNN", "ResNet18_CFT"))
    assert question.default == ["ResNet18_CFT"]
    assert read_row(question, "MammoCNN")[0][""] == "done"
    other = ModelChooser(workspace, {"dataset": "other"}).ask_several(("MammoCNN",))
    assert other.default == ["MammoCNN"], "on other images it is not trained"


def test_a_model_that_waits_or_runs_in_a_queue_says_so_and_is_not_marked(workspace):
    names = ("MammoCNN", "ResNet18_CFT", "ResNet18_OPW")
    steps = [Step(f"{name}-fold2", "train", GIVEN, name) for name in names]
    plan = find_or_create_plan(workspace, "train", steps)
    run = find_or_create_job(workspace, "train", GIVEN, ("MammoCNN",))
    plan.steps_folder.mkdir()
    (plan.steps_folder / "MammoCNN-fold2.json").write_text(json.dumps({"run": run.id}))
    plan.skip_step("ResNet18_OPW-fold2")
    with run.hold_lock():
        run.update(state="running")
        question = ModelChooser(workspace, GIVEN).ask_several(names)
    assert [read_row(question, name)[0][""] for name in names] == ["running", "queued", "skipped"]
    assert question.default == []
    other = ModelChooser(workspace, {"dataset": "other"}).ask_several(names)
    assert other.default == list(names), "on other images they are not begun"


@pytest.mark.parametrize("way_out", [LEAVE, "start"])
def test_the_marks_are_kept_after_ctrl_c_and_after_a_refusal(workspace, way_out):
    asked, _ = form("train", workspace, preset=["MammoCNN", "ResNet18_CFT"], review=way_out)
    if way_out is LEAVE:
        with pytest.raises(ToMenu):
            asked.fill()
    else:
        asked.fill()  # whatever becomes of it
    again, asker = form("train", workspace, review="start")
    again.fill()
    assert asker.asked[0].default == ["MammoCNN", "ResNet18_CFT"]


def test_marks_are_kept_although_ctrl_c_left_the_table_itself(workspace):
    class Impatient(Scripted):
        def ask(self, question):
            raise ToMenu(("MammoCNN",))

    asked, _ = form("train", workspace)
    asked.asker = Impatient({})
    with pytest.raises(ToMenu):
        asked.fill()
    again, asker = form("train", workspace, review="start")
    again.fill()
    assert asker.asked[0].default == ["MammoCNN"]


def test_tune_asks_for_its_model_in_the_same_table(workspace):
    asked, asker = form("tune", workspace, model="MammoCNN", review="start")
    assert asked.fill().given["model"] == "MammoCNN"
    question = asker.asked[0]
    assert (question.name, question.several, question.columns) == ("model", False, COLUMNS)
    assert "SwinMIM" not in [choice.value for choice in question.choices], "a plan has no settings to search"
    assert "DeepLabV3Plus" not in [choice.value for choice in question.choices]
