"""The end of a job in the menu: what came out on one screen, and what to do next."""

import io
from functools import partial

import pytest
from rich.console import Console

from tests.toys.count import COMMAND as COUNT
from tests.ui.scripted import BACK, Scripted
from tests.ui.test_next_steps import finish, make_products
from tfm.core.events import Note, Result, StateChange, Table
from tfm.core.runs.find_or_create import find_or_create_job, find_or_create_plan
from tfm.core.runs.plan import Step
from tfm.core.runs.worker import execute_plan
from tfm.ui.prompts import Pressed
from tfm.ui.screens import job_menu
from tfm.ui.screens.home import Home
from tfm.ui.screens.result_screen import show_result
from tfm.ui.screens.show_pages import show_pages

OUTCOME = "ResNet18_CFT has the highest AUC. This test cannot tell it from MammoCNN (difference 0.013)."
WARNINGS = ["clinic differs from d, which the models were trained on:\n  vendor: B; in d: A", "d has 7 images only"]
PROTOCOL = "dataset d; test, per image: 243 images of 180 patients; 95 % intervals over patients"
COSTS = {"runs": 1, "weights": "ImageNet", "parameters": 11_200_000, "minutes": 12.34, "patients_needed": None}


def compared_row(rank, model, run, **values):
    values = {"auc": 0.85, "auc_low": 0.8, "auc_high": 0.9, "like_the_best": True, "epochs": [40]} | values
    return {"rank": rank, "model": model, "run_ids": [run], "protocol": PROTOCOL, **COSTS, **values}


@pytest.fixture
def comparison(workspace):
    make_products(workspace)
    runs = [finish(workspace, "train", {}, {}, name) for name in ("ResNet18_CFT", "MammoCNN", "DenseNet121_CFT")]
    rows = [
        compared_row(1, "ResNet18_CFT", runs[0].id, sensitivity=0.8, holm_p=None),
        compared_row(
            2, "MammoCNN", runs[1].id, difference=-0.013, difference_low=-0.036, difference_high=0.01, holm_p=0.26,
            sensitivity=0.9,
        ),
        compared_row(3, "DenseNet121_CFT", runs[2].id, like_the_best=False, holm_p=0.0004, difference=-0.2),
    ]  # fmt: skip
    rows.append(compared_row(None, "mean of 3 models", "", run_ids=None, like_the_best=None))
    run = finish(workspace, "compare", {"runs": [run.id for run in runs]}, {"models": rows})
    with run.open_event_log():
        for event in (StateChange("running"), *map(partial(Note, level="warning"), WARNINGS), Result({}, [], OUTCOME)):
            run.record(event)
    return run, runs


def draw(question, width=80):
    console = Console(file=io.StringIO(), width=width)
    console.print(question.head)
    return console.file.getvalue()


def show(job, answers, width=80, height=24):
    asker = Scripted(answers)
    return show_result(job, asker, Console(file=io.StringIO(), width=width, height=height)), asker.asked


def test_a_comparison_says_its_outcome_and_marks_the_best_models(comparison):
    run, runs = comparison
    step, (question, chosen) = show(run, {})
    assert question.text == "3 models", "the mean is none"
    assert OUTCOME in " ".join(draw(question).split())
    assert [choice.cells[0] for choice in question.choices] == ["1*", "2*", "3", "–"]
    assert [choice.title for choice in question.choices if choice.disabled] == ["mean of 3 models"]
    assert question.choices[1].cells[2:5] == ["0.850 (0.800 to 0.900)", "−0.013 (−0.036 to 0.010)", "0.260"]
    assert question.choices[2].cells[4] == "< 0.001"
    assert "40 epochs, 12.3 min" in question.choices[0].card
    assert chosen.text == "ResNet18_CFT", "Enter opens the best"
    assert (step.stage, step.given) == ("evaluate", {"runs": [runs[0].id]})


def test_a_comparison_warns_in_one_line(comparison):
    _, (question, *_) = show(comparison[0], {})
    assert "! (+1) clinic differs from d, which the models were trained on:\n" in draw(question)


def test_a_comparison_leads_to_others_and_to_a_report(comparison):
    run, runs = comparison
    ids = [one.id for one in runs]
    for key, stage, given in [
        ("x", "compare", {"runs": [ids[0], ids[2]]}),
        ("w", "report", {"runs": ids}),
        ("t", "report", {"runs": ids, "thesis": True}),
    ]:
        step, _ = show(run, {"comparison": Pressed(key, 1)})
        assert (step.stage, step.given) == (stage, given)


def test_a_comparison_is_sorted_by_a_column(comparison):
    _, asked = show(comparison[0], {"comparison": (Pressed("s", 0), Pressed("w", 0))})
    assert [choice.title for choice in asked[1].choices[:2]] == ["MammoCNN", "ResNet18_CFT"]
    assert asked[1].aside == "sorted by sensitivity"
    assert asked[1].columns[2] == "sens.", "a narrow window shows it"
    assert asked[1].choices[0].cells[2] == "0.90"


def test_esc_from_the_form_of_a_comparison_leads_back_to_it(comparison, workspace):
    run, _ = comparison
    asker = Scripted({"command": f"job {run.id}", "comparison": (Pressed("x", 1), BACK), "review": BACK})
    Home(workspace, asker, Console(file=io.StringIO(), width=80, height=24)).open("results")
    assert asker.names == ["command", "comparison", "review", "comparison"]


def test_a_long_text_is_shown_from_its_start():
    asker = Scripted({"continue": BACK})
    console = Console(file=io.StringIO(), width=80, height=24, force_terminal=True, highlight=False)
    show_pages(lambda console: console.print("\n".join(f"line {number}" for number in range(60))), asker, console)
    assert "line 0" in console.file.getvalue()
    assert "line 23" not in console.file.getvalue()
    assert "1 of 3" in asker.asked[0].text


def test_a_comparison_keeps_two_models(comparison):
    run, runs = comparison
    settings = run.read_settings() | {"runs": [one.id for one in runs[:2]]}
    pair = finish(run.workspace, "compare", settings, {**run.read_status().result, "note": 1})
    step, asked = show(pair, {"comparison": (Pressed("x", 1), BACK)})
    assert step is None
    assert [question.name for question in asked] == ["comparison", "continue", "comparison"]


def test_a_long_result_leaves_room_for_the_next_step(workspace, tmp_path_factory):
    make_products(workspace)
    run = finish(
        workspace, "organize", {"download": [str(tmp_path_factory.mktemp("download"))], "name": "e"}, {"dataset": "d"}
    )
    rows = [[str(number), "1"] for number in range(40)]
    with run.open_event_log():
        for event in (StateChange("running"), Table("Images", ["split", "images"], rows, "Protocol. " * 40)):
            run.record(event)
        run.record(Result({}, [], "The dataset d has 40 images."))
    step, (question,) = show(run, {})
    head = draw(question)
    assert head.startswith("The dataset d has 40 images.")
    assert len(head.splitlines()) + len(question.choices) + 2 <= 24
    assert "more lines: press p" in head
    assert (step.stage, step.given) == ("preprocess", {"dataset": "d"})


def test_a_queue_with_a_failure_shows_what_finished_and_offers_to_try_again(workspace):
    steps = [Step("good", COUNT.name, {"target": 3}), Step("bad", COUNT.name, {"target": 3, "fail_at": 2})]
    plan = find_or_create_plan(workspace, "two", steps)
    assert execute_plan(plan) == "failed"
    _, (question,) = show(plan, {"next": "home"})
    head = draw(question)
    assert "1 of 2 runs are done. bad failed." in head
    assert "the toy was told to fail" in head
    assert [line.split()[:2] for line in head.splitlines() if line.startswith(("good", "bad"))][-2:] == [
        ["good", "done"], ["bad", "failed"],
    ]  # fmt: skip
    assert [choice.title for choice in question.choices] == ["Try again", "Dismiss", "Home"]
    show(plan, {"next": "dismiss"})
    assert plan.is_dismissed()


def test_the_models_of_a_queue_that_finished_are_compared(workspace):
    make_products(workspace)
    queue = find_or_create_job(workspace, "train", {}, ("MammoCNN", "ResNet18_CFT", "DenseNet121_CFT"))
    runs = [finish(workspace, "train", {}, {}, name) for name in ("MammoCNN", "ResNet18_CFT")]
    for step, run in zip(queue.read_steps(), runs, strict=False):
        queue.record_step(step.name, run.id)
    queue.record_step_failure("DenseNet121_CFT", "its weights cannot be reached", "train from scratch")
    queue.update(state="failed", message="DenseNet121_CFT: its weights cannot be reached", hint="train from scratch")
    step, _ = show(queue, {})
    assert (step.stage, step.given) == ("compare", {"runs": [run.id for run in runs]})


def test_a_model_that_guesses_says_so_with_three_decimals(workspace):
    make_products(workspace)
    run = finish(workspace, "train", {}, {"val_auc": 0.380952}, "MammoCNN")
    with run.open_event_log():
        run.record(StateChange("running"))
        run.record(Result({}, [], "MammoCNN is trained."))
    head = draw(show(run, {"next": "home"})[1][0])
    assert "It is no better than guessing on validation." in head
    assert "0.381" in head


def test_a_queue_whose_worker_died_is_resumed_first_and_tells_its_steps_apart(workspace):
    make_products(workspace)
    names = ("MammoCNN", "ResNet18_CFT", "DenseNet121_CFT")
    queue = find_or_create_job(workspace, "train", {}, names)
    runs = [finish(workspace, "train", {}, {}, name) for name in names[:2]]
    for step, run in zip(queue.read_steps(), runs, strict=False):
        queue.record_step(step.name, run.id)
    runs[1].update(state="running")  # as kill -9 leaves both
    queue.update(state="running")
    queue.skip_step(queue.read_steps()[2].name)
    _, (question,) = show(queue, {"next": "home"})
    states = {line.split()[0]: line.split()[1] for line in draw(question).splitlines() if line.startswith(names)}
    assert states == {"MammoCNN": "done", "ResNet18_CFT": "halted", "DenseNet121_CFT": "skipped"}
    assert question.choices[0].title == "Resume"
    assert question.default == "resume"


def test_a_job_that_a_person_stopped_says_so_and_can_be_resumed(workspace):
    run = find_or_create_job(workspace, COUNT.name, {"target": 3})
    run.update(state="paused", message="You stopped it. It goes on from its last checkpoint when it is resumed")
    asker = Scripted({"next": ("resume", "home")})
    job_menu.review_job(run, job_menu.find_executor(run), asker, Console(file=io.StringIO(), width=80, height=24))
    first, second = asker.asked
    assert "You stopped it." in draw(first)
    assert first.choices[0].title == "Resume"
    assert run.read_status().state == "done", "resumed"
    assert "Resume" not in [choice.title for choice in second.choices]


def test_the_last_comparison_is_opened_again_from_home(comparison, workspace):
    run, _ = comparison
    asker = Scripted({"command": f"job {run.id}", "comparison": BACK})
    Home(workspace, asker, Console(file=io.StringIO(), width=80, height=24)).open("results")
    assert asker.names == ["command", "comparison"]
