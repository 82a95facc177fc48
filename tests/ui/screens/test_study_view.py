"""A study as it is watched, started and followed up: its table of trials, a preset that is a plan, and the winner."""

import io
import time
from statistics import median

from rich.console import Console

from tests.training.small_dataset import make_small_dataset
from tests.training.studies import create_study_run
from tests.ui.screens.drawn_jobs import TOY, on_screen
from tests.ui.scripted import BACK, Scripted, read_rows
from tests.ui.test_form import form, with_products
from tfm.core.events import StateChange, TableRow
from tfm.core.runs import lookup
from tfm.core.runs.find_or_create import find_or_create_job
from tfm.ui.equivalent_command_line import FilledForm, write_command
from tfm.ui.job_view import JobView
from tfm.ui.next_steps import NextStep, train_winner
from tfm.ui.screens.draw_job import draw_job
from tfm.ui.screens.home import Home

COLUMNS = ["trial", "state", "val AUC", "epochs", *(f"a setting of {number}" for number in range(9))]
TOLD_EACH = 4  # lines


def study_at_work(workspace, trials):
    run = find_or_create_job(workspace, TOY, {"pages": trials})
    with run.hold_lock(), run.open_event_log():
        run.update(state="running")
        run.record(StateChange("running"))
        for trial in range(trials):
            for epoch in range(TOLD_EACH):
                state = "done" if epoch == TOLD_EACH - 1 else "running"
                run.record(TableRow("Trials", COLUMNS, [str(trial), state, "0.8123", str(epoch), *["0.0123"] * 9]))
    return run


def test_the_last_of_many_trials_are_shown_with_their_latest_state(workspace):
    run = study_at_work(workspace, 60)
    for columns, rows in ((80, 24), (40, 16), (200, 50)):
        lines = on_screen(run, columns, rows)
        assert len(lines) <= rows
        assert max(map(len, lines)) <= columns
        told = [line.split()[1] for line in lines if " done " in line]
        assert told == [str(trial) for trial in range(60 - len(told), 60)]
        assert len(told) >= rows // 2
        assert any("val AUC" in line for line in lines)
        assert not any(" running " in line for line in lines[1:-1]), "frame aside"


def test_few_trials_are_shown_completely(workspace):
    told = [line for line in on_screen(study_at_work(workspace, 3), 200, 40) if "0.8123" in line]
    assert len(told) == 3
    assert all("0.0123" in line for line in told)


def test_five_hundred_trials_are_drawn_as_fast_as_fifty(workspace):
    def seconds(trials):
        view = JobView(study_at_work(workspace, trials))
        console = Console(file=io.StringIO(), width=120, height=40, force_terminal=True)
        view.refresh()
        taken = []
        for _ in range(15):
            begun = time.process_time()
            view.refresh()
            list(console.render(draw_job(view, console, "")))
            taken.append(time.process_time() - begun)
        return median(taken)

    assert seconds(500) < 2 * seconds(50)


def test_a_preset_that_starts_a_plan_asks_the_questions_of_the_plan(workspace):
    with_products(workspace)
    asked, asker = form("train", workspace, preset=["EfficientNetB3_Optuna"], trials="30")
    filled = asked.fill()
    assert filled == FilledForm("train", ("EfficientNetB3_Optuna",), {"trials": 30})
    assert "epochs" not in asker.names
    assert " train EfficientNetB3_Optuna --trials 30" in write_command(filled, workspace)


def test_home_offers_to_train_the_winner_of_a_finished_study(workspace):
    home = Home(workspace, Scripted({}), Console(file=io.StringIO()))
    study = find_or_create_job(workspace, TOY, {})

    def offered():
        return [choice.value.given for choice in home.build_question().choices if isinstance(choice.value, NextStep)]

    assert {"study": study.id} not in offered()
    study.update(state="done", result={"model": "ResNet18_CFT", "winner": {"learning_rate": 0.1}})
    assert {"study": study.id} in offered()


def test_the_winners_training_is_shown_with_its_settings_and_data_before_it_starts(workspace):
    make_small_dataset(workspace)
    study, data = create_study_run(workspace, 1), {"dataset": "pocket", "cache": "pocket"}
    study.update(state="done", result={"model": "ResNet18_CFT", "winner": {"learning_rate": 0.0123}, "data": data})
    make_small_dataset(workspace, "newer")
    asker = Scripted({"review": BACK})
    Home(workspace, asker, Console(file=io.StringIO())).open(train_winner(study))
    assert asker.names == ["review"]
    rows = read_rows(asker.asked[0])
    assert (rows["preset"], rows["study"], rows["learning_rate"]) == ("ResNet18_CFT", study.id, "0.0123")
    assert rows["cache"] == "pocket", "the cache of the study, not the newest one"
    assert [run.id for run in lookup.list_runs(workspace)] == [study.id]
