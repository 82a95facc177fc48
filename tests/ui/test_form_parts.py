"""A mapping whose parts are on or off is asked for as boxes to tick, and ends in the words of a command line."""

import io
import shlex

import pytest
from rich.console import Console

from tests.ui.darkroom import write_presets
from tests.ui.scripted import Scripted
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


def form(workspace, **answers):
    asker = Scripted({"review": "start"} | answers)
    file = io.StringIO()
    return Form(TOY, workspace, asker, Console(file=file, width=100), no_trial), asker, file


def asked_for(asker, name):
    return [question for question in asker.asked if question.name == name]


def settings_from_words(filled, workspace):
    """What the shown command means."""
    words = shlex.split(write_command(filled, workspace))
    given = dict(parse_assignment(words[index + 1]) for index, word in enumerate(words) if word == "--set")
    preset = words[words.index("--preset") + 1] if "--preset" in words else None
    return given, resolve_settings(workspace, TOY, given, find_preset(workspace, TOY, preset))


def test_parts_are_checkboxes_in_the_order_of_the_preset(workspace):
    asked, asker, _ = form(workspace, preset="warm")
    assert asked.fill().given == {}
    assert asker.names == ["preset", "paper", "copies", "baths", "review"]
    (question,) = asked_for(asker, "baths")
    assert question.several
    assert [(choice.value, choice.about) for choice in question.choices] == [
        ("developer", "Makes the picture visible."),
        ("toner", "Turns black into brown."),
        ("stop", "Stops the development."),
        ("fixer", "Makes the picture permanent."),
    ]
    assert question.default == ["developer", "toner", "fixer"]
    assert "--set toner=true" in question.why


def test_only_changes_to_the_preset_are_given_and_the_command_means_the_same(workspace):
    asked, _, _ = form(workspace, baths=["developer", "toner", "fixer"])
    filled = asked.fill()
    assert filled.given == {"stop": False, "toner": True}
    words, settings = settings_from_words(filled, workspace)
    assert words == {"stop": "false", "toner": "true"}
    assert settings == resolve_settings(workspace, TOY, filled.given, find_preset(workspace, TOY))
    assert settings.baths == {"developer": {"seconds": 90}, "toner": {"shade": 0.5}, "fixer": {"strength": "weak"}}


def test_settings_of_parts_that_are_on_can_be_changed(workspace):
    asked, asker, _ = form(
        workspace, baths=["developer", "toner"], review=("change", "start"), setting="developer.seconds",
        **{"developer.seconds": "5"},
    )  # fmt: skip
    assert asked.fill().given == {"fixer": False, "stop": False, "toner": True, "developer.seconds": 5}
    (question,) = asked_for(asker, "setting")
    assert [choice.title for choice in question.choices] == [
        "paper: glossy",
        "copies: 1",
        "baths: 2 of 4 on",
        "developer.seconds: 90",
        "toner.shade: 0.5",
    ]


def test_a_setting_of_a_part_has_its_own_question_choices_and_check(workspace):
    asked, asker, _ = form(
        workspace, baths=["developer", "fixer"], review=("change", "change", "start"),
        setting=("developer.seconds", "fixer.strength"), **{"developer.seconds": "90", "fixer.strength": "strong"},
    )  # fmt: skip
    assert asked.fill().given == {"stop": False, "fixer.strength": "strong"}
    (seconds,), (strength,) = asked_for(asker, "developer.seconds"), asked_for(asker, "fixer.strength")
    assert seconds.text == "How many seconds?"
    assert "greater than 0" in seconds.find_problem("0")
    assert "--set developer.seconds=" in seconds.why
    assert [choice.value for choice in strength.choices] == ["weak", "strong"]


def test_a_setting_of_a_part_that_is_off_is_kept_but_not_given(workspace):
    asked, asker, _ = form(
        workspace, review=("change", "change", "change", "start"), setting=("developer.seconds", "baths", "baths"),
        baths=(["developer", "stop"], ["stop"], ["developer", "stop"]), **{"developer.seconds": "5"},
    )  # fmt: skip
    assert asked.fill().given == {"fixer": False, "developer.seconds": 5}
    changeable = [[choice.value for choice in question.choices] for question in asked_for(asker, "setting")]
    assert [("developer.seconds" in names) for names in changeable] == [True, True, False]
    without, _, _ = form(workspace, baths=["stop"])
    assert without.fill().given == {"developer": False, "fixer": False}
    again, _, _ = form(workspace, baths=["developer", "stop"])
    assert again.fill().given == {"fixer": False, "developer.seconds": 5}, "on again, it has what was said of it"


def test_a_setting_of_a_part_does_not_switch_it_on(workspace):
    workspace.root.mkdir()
    workspace.answers_file.write_text(f"{TOY} plain: {{toner.shade: 0.9, copies: 2}}\n")
    asked, asker, _ = form(workspace)
    assert asked.fill().given == {"copies": 2}
    assert "toner" not in asked_for(asker, "baths")[0].default


def test_no_part_at_all_is_refused_and_asked_again(workspace):
    asked, asker, file = form(workspace, baths=([], ["stop"]), review=("mend", "start"))
    assert asked.fill().given == {"developer": False, "fixer": False}
    assert len(asked_for(asker, "baths")) == 2
    assert "a film needs a bath" in file.getvalue()
    first = asked_for(asker, "review")[0]
    assert "start" not in [choice.value for choice in first.choices]


def test_last_times_parts_are_selected_for_their_own_preset_only(workspace):
    form(workspace, preset="plain", baths=["developer"])[0].fill()
    again, asker, _ = form(workspace, preset="plain")
    assert again.fill().given == {"stop": False, "fixer": False}
    assert asked_for(asker, "baths")[0].default == ["developer"]
    other, asker, _ = form(workspace, preset="warm")
    assert other.fill().given == {}
    assert asked_for(asker, "baths")[0].default == ["developer", "toner", "fixer"]


def test_parts_in_which_presets_differ_keep_each_presets_value(workspace):
    draft = FormState(TOY, workspace, presets=("plain", "warm"))
    baths = next(field for field in draft.fields if field.name == "baths")
    question = build_question(baths, draft.get_value(baths), workspace)
    grey = {choice.value for choice in question.choices if choice.disabled}
    assert (grey, question.default) == ({"stop", "toner"}, ["developer", "fixer"])
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
