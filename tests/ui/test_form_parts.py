"""A mapping whose parts are on or off is asked for as boxes to tick, and ends in the words of a command line."""

import io
import shlex

import pytest
from rich.console import Console

from tests.ui.darkroom import write_presets
from tests.ui.scripted import Scripted, read_head, read_rows
from tests.ui.test_form import no_trial
from tfm.core.runs.resolve_command_settings import find_preset, resolve_settings
from tfm.core.settings import presets as offers
from tfm.ui.chosen_presets import VARIES
from tfm.ui.cli import parse_assignment
from tfm.ui.equivalent_command_line import write_command
from tfm.ui.field_prompts import build_question
from tfm.ui.form import Form
from tfm.ui.form_state import FormState
from tfm.ui.plain_asker import PlainAsker

TOY = "develop"


@pytest.fixture(autouse=True)
def _darkroom(tmp_path, monkeypatch):
    monkeypatch.setattr(offers, "CONFIGS", write_presets(tmp_path / "configs"))


def fill(workspace, **answers):
    asker = Scripted({"review": "start"} | answers)
    return Form(TOY, workspace, asker, Console(file=io.StringIO(), width=100), no_trial).fill(), asker


def settings_from_words(filled, workspace):
    """What the shown command means."""
    words = shlex.split(write_command(filled, workspace))
    given = dict(parse_assignment(words[index + 1]) for index, word in enumerate(words) if word == "--set")
    preset = words[words.index("--preset") + 1] if "--preset" in words else None
    return given, resolve_settings(workspace, TOY, given, find_preset(workspace, TOY, preset))


def test_parts_are_checkboxes_in_the_order_of_the_preset(workspace):
    filled, asker = fill(workspace, preset="warm", baths=["developer", "toner", "fixer"])
    assert filled.given == {}
    assert read_rows(asker.asked[-1])["baths"] == "3 of 4"
    (question,) = asker.find("baths")
    assert question.several
    assert list(read_rows(question).items()) == [
        ("developer", "Makes the picture visible."),
        ("toner", "Turns black into brown."),
        ("stop", "Stops the development."),
        ("fixer", "Makes the picture permanent."),
    ]
    assert question.default == ["developer", "toner", "fixer"]
    assert "--set toner=true" in question.why


def test_only_changes_to_the_preset_are_given_and_the_command_means_the_same(workspace):
    filled, _ = fill(workspace, baths=["developer", "toner", "fixer"])
    assert filled.given == {"stop": False, "toner": True}
    words, settings = settings_from_words(filled, workspace)
    assert words == {"stop": "false", "toner": "true"}
    assert settings == resolve_settings(workspace, TOY, filled.given, find_preset(workspace, TOY))
    assert settings.baths == {"developer": {"seconds": 90}, "toner": {"shade": 0.5}, "fixer": {"strength": "weak"}}


def test_a_setting_of_a_part_that_is_on_has_its_own_question_choices_and_check(workspace):
    filled, asker = fill(
        workspace, baths=["developer", "fixer"], review=("change", "change", "start"),
        setting=("developer.seconds", "fixer.strength"), **{"developer.seconds": "5", "fixer.strength": "strong"},
    )  # fmt: skip
    assert filled.given == {"stop": False, "developer.seconds": 5, "fixer.strength": "strong"}
    assert list(read_rows(asker.find("setting")[0])) == [
        "paper", "copies", "baths", "developer.seconds", "fixer.strength"
    ]  # fmt: skip
    (seconds,), (strength,) = asker.find("developer.seconds"), asker.find("fixer.strength")
    assert (seconds.text, seconds.default) == ("How many seconds?", "90"), "the value of the preset"
    assert "greater than 0" in seconds.find_problem("0")
    assert "--set developer.seconds=" in seconds.why
    assert list(read_rows(strength)) == ["weak", "strong"]


def test_a_setting_of_a_part_that_is_off_is_kept_but_not_given(workspace):
    filled, _ = fill(workspace, review=("change", "baths", "start"), setting="developer.seconds",
                     baths=(["developer", "stop"], ["stop"]), **{"developer.seconds": "5"})  # fmt: skip
    assert filled.given == {"developer": False, "fixer": False}
    again, _ = fill(workspace, baths=["developer", "stop"])
    assert again.given == {"fixer": False, "developer.seconds": 5}, "on again, it has what was said of it"


def test_a_setting_of_a_part_does_not_switch_it_on(workspace):
    workspace.root.mkdir()
    workspace.answers_file.write_text(f"{TOY} plain: {{toner.shade: 0.9, copies: 2}}\n")
    filled, asker = fill(workspace)
    assert filled.given == {"copies": 2}
    assert read_rows(asker.asked[-1])["baths"] == "3 of 4"


def test_no_part_at_all_is_refused_and_its_row_is_marked(workspace):
    filled, asker = fill(workspace, baths=([], ["stop"]), review=("baths", "start"))
    assert filled.given == {"developer": False, "fixer": False}
    refused = asker.find("review")[1]
    assert "a film needs a bath" in read_head(refused)
    assert refused.default == "baths"
    assert "start" not in read_rows(refused)


def test_last_times_parts_are_selected_for_their_own_preset_only(workspace):
    fill(workspace, preset="plain", baths=["developer"])
    again, asker = fill(workspace, preset="plain")
    assert again.given == {"stop": False, "fixer": False}
    assert read_rows(asker.asked[-1])["baths"] == "1 of 4"
    assert fill(workspace, preset="warm")[0].given == {}


def test_parts_in_which_presets_differ_keep_each_presets_value(workspace):
    draft = FormState(TOY, workspace, presets=("plain", "warm"))
    baths = next(field for field in draft.fields if field.name == "baths")
    question = build_question(baths, draft.get_value(baths), workspace)
    assert (read_rows(question).keys(), question.default) == ({"developer", "fixer"}, ["developer", "fixer"])
    values = {field.name: draft.get_value(field) for field in draft.list_part_fields(baths)}
    assert values == {"developer.seconds": VARIES, "fixer.strength": VARIES}
    draft.answer(baths, ["fixer"])
    assert draft.given == {"developer": False}
    assert [list(settings.baths) for settings in draft.resolve()] == [["stop", "fixer"], ["toner", "fixer"]]


def test_plain_lines_mark_the_selected_choices(workspace, monkeypatch):
    draft = FormState(TOY, workspace, presets=("plain",))
    baths = next(field for field in draft.fields if field.name == "baths")
    file = io.StringIO()
    monkeypatch.setattr("builtins.input", lambda _: "1 4")
    chosen = PlainAsker(Console(file=file, width=100)).ask(build_question(baths, draft.get_value(baths), workspace))
    assert chosen == ["developer", "fixer"]
    told = [line for line in file.getvalue().splitlines() if line.lstrip()[:1].isdigit()]
    assert [line.endswith("(selected)") for line in told] == [True, True, False, True]
