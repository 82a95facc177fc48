"""From the last screen of a form, a few images first: as a run of its own, and back to the same screen."""

import io

import pytest
from rich.console import Console

from tests.ui.darkroom import write_presets
from tests.ui.scripted import BACK, Scripted, read_rows
from tfm.core.runs import lookup
from tfm.core.settings import presets
from tfm.ui.screens.home import Home

TOY = "develop"


@pytest.fixture(autouse=True)
def _darkroom(tmp_path, monkeypatch):
    monkeypatch.setattr(presets, "CONFIGS", write_presets(tmp_path / "configs"))


def done(workspace, **answers):
    """The form of the toy, filled, and what it started run to its end."""
    asker, file = Scripted(answers), io.StringIO()
    console = Console(file=file, width=100, force_terminal=True, color_system="truecolor")
    Home(workspace, asker, console).open(TOY)
    return asker, file.getvalue()


def test_a_trial_runs_with_the_shared_answers_and_returns_to_the_form(workspace):
    asker, shown = done(
        workspace, preset="warm", copies="4", paper="matt", baths=["developer", "toner"],
        review=("trial", "start"),
    )  # fmt: skip
    trial, own = lookup.list_runs(workspace)
    assert (trial.read_stage(), own.read_stage()) == ("proof", TOY)
    assert trial.read_preset() == own.read_preset() == "warm"
    assert trial.read_settings()["baths"] == {"developer": {"seconds": 30}, "toner": {"shade": 0.5}}
    assert trial.read_settings()["paper"] == "matt"
    assert own.read_status().result == {"baths": ["developer", "toner"], "copies": 4}
    assert "2 films on matt paper" in shown
    assert "▀" in shown
    assert asker.names[-4:] == ["review", "continue", "review", "next"], "back to the same screen, then on"


def test_a_repeated_trial_is_shown_without_running_again(workspace):
    done(workspace, review=("trial", "trial", BACK), baths=["stop"])
    assert [run.read_stage() for run in lookup.list_runs(workspace)] == ["proof"]


@pytest.mark.parametrize(("paper", "says"), [("gold", "there is no gold paper"), ("wet", "dry it first")])
def test_a_failed_trial_is_reported_and_returns_to_the_form(workspace, paper, says):
    asker, shown = done(workspace, paper=paper, review=("trial", "start"))
    assert says in shown
    assert "Traceback" not in shown
    assert lookup.list_runs(workspace)[-1].read_stage() == TOY
    assert lookup.list_runs(workspace)[-1].read_status().state == "done"
    assert asker.names[-4:] == ["review", "continue", "review", "next"]


def test_a_form_that_cannot_run_offers_no_trial(workspace):
    asker, _ = done(workspace, baths=([], ["stop"]), review=("baths", "start"))
    assert ["trial" in read_rows(review) for review in asker.find("review")] == [True, False, True]
