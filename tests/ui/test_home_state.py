"""The state of the work, from the folders of a workspace alone."""

from tests.training.small_dataset import make_small_dataset
from tests.ui.test_next_steps import finish
from tfm.core.events import Progress
from tfm.core.runs.find_or_create import find_or_create_job
from tfm.ui.home_state import LINES, HomeReader


def texts(state, line):
    return [fact.text for fact in state.facts[line]]


def train(workspace, *names):
    return [finish(workspace, "train", {}, {"model": name}, name) for name in names]


def test_an_empty_workspace_has_nothing_yet(workspace):
    state = HomeReader(workspace).read()
    assert state.is_empty
    assert {fact.state for line in LINES for fact in state.facts[line]} == {"missing"}
    assert not state.steps


def test_the_lines_say_how_far_the_work_is_and_the_next_step_follows(workspace):
    make_small_dataset(workspace)
    (dataset,) = workspace.list_products("dataset")
    reader = HomeReader(workspace)
    state = reader.read()
    assert texts(state, "Data")[0].startswith(f"{dataset}: ")
    assert " patients" in texts(state, "Data")[0]
    assert texts(state, "Images")[0].endswith(" pixels")
    assert state.steps[0].stage == "train"
    train(workspace, "MammoCNN")
    assert texts(reader.read(), "Models") == ["1 trained"]
    assert reader.read().steps[0].stage == "train", "one model cannot be compared"
    train(workspace, "ResNet18_CFT")
    runs = [run.id for run in reader.read().trained]
    assert (reader.read().steps[0].stage, reader.read().steps[0].given) == ("compare", {"runs": runs})
    finish(workspace, "compare", {"runs": runs}, {})
    assert texts(reader.read(), "Results") == ["compared: MammoCNN, ResNet18_CFT"]
    assert reader.read().steps[0].stage == "report"
    train(workspace, "ResNet18_OPW")
    assert reader.read().steps[0].stage == "compare", "one more model is not compared yet"
    assert texts(reader.read(), "Results") == ["compared: MammoCNN, ResNet18_CFT (1 more trained)"]


def test_a_report_of_an_earlier_comparison_is_not_told_as_a_report_of_the_newest(workspace):
    make_small_dataset(workspace)
    first, second = (train(workspace, name)[0].id for name in ("MammoCNN", "ResNet18_CFT"))
    for stage, runs in (("compare", [first]), ("report", [first])):
        finish(workspace, stage, {"runs": runs}, {})
    reader = HomeReader(workspace)
    assert texts(reader.read(), "Results") == ["compared: MammoCNN (1 more trained)", "report"]
    finish(workspace, "compare", {"runs": [first, second]}, {})
    assert texts(reader.read(), "Results") == ["compared: MammoCNN, ResNet18_CFT", "report of an earlier comparison"]


def test_a_run_that_stopped_says_where(workspace):
    make_small_dataset(workspace)
    run = find_or_create_job(workspace, "train", {}, ("MammoCNN",))
    reader = HomeReader(workspace)
    with run.hold_lock(), run.open_event_log():
        run.update(state="running")
        run.record(Progress("epoch", 7, 40, "epochs"))
        assert texts(reader.read(), "Models") == ["MammoCNN epoch 7 of 40"]
        assert [one.job.id for one in reader.read().running] == [run.id]
    assert texts(reader.read(), "Models") == ["MammoCNN: halted, epoch 7 of 40"]
    assert [one.job.id for one in reader.read().stopped] == [run.id]


def test_a_failed_run_stays_until_it_is_dismissed(workspace):
    make_small_dataset(workspace)
    run = find_or_create_job(workspace, "train", {}, ("MammoCNN",))
    run.update(state="failed", message="the disk is full")
    reader = HomeReader(workspace)
    assert texts(reader.read(), "Models") == ["MammoCNN failed"]
    run.dismiss()
    assert texts(reader.read(), "Models") == ["no model yet"]
    assert not reader.read().failed
