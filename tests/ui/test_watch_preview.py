"""A form shows an inspection of the inputs, which limits the choices, and a preview before the start."""

import io
import shlex

import pytest
import yaml
from rich.console import Console

from tests.toys import look as toy
from tests.ui.scripted import BACK, LEAVE, Scripted
from tests.ui.test_form import no_trial
from tfm.core.errors import DataError
from tfm.core.events import Note, Progress
from tfm.core.registry import InspectionResult
from tfm.core.runs.resolve_command_settings import resolve_settings
from tfm.ui.equivalent_command_line import write_command
from tfm.ui.form import Form
from tfm.ui.prompts import ToMenu
from tfm.ui.watch_preview import watch_preview

TOY = "look"
MASSES = ("mass-train-1", "mass-train-2", "mass-train-3")
WHOLE = ("mass-train-1", "mass-test-1", "calc-train-1")


class Screens(Scripted):
    """Remembers what was on the screen at each question, as the person sees it."""

    def __init__(self, answers):
        super().__init__(answers)
        self.file = io.StringIO()
        self.seen = []

    def ask(self, question):
        self.seen.append((question.name, self.file.getvalue()))
        self.file.seek(0)
        self.file.truncate()
        return super().ask(question)

    def at(self, name):
        return [screen for asked, screen in self.seen if asked == name]


@pytest.fixture(autouse=True)
def _clear_toy():
    for kept in (toy.inspected, toy.previewed, toy.closed):
        kept.clear()


@pytest.fixture
def box(tmp_path):
    def filled(*names, called="box"):
        folder = tmp_path / called
        folder.mkdir()
        for name in names:
            (folder / f"{name}.dcm").touch()
        return folder

    return filled


def form(workspace, **answers):
    asker = Screens({"review": "start"} | {name: _words(answer) for name, answer in answers.items()})
    return Form(TOY, workspace, asker, Console(file=asker.file, width=100), no_trial), asker


def _words(answer):
    """A folder as it is typed."""
    if isinstance(answer, tuple):
        return tuple(map(_words, answer))
    return answer if answer in (BACK, LEAVE) else str(answer)


def test_required_settings_are_asked_first_and_the_inspection_is_shown_above_the_rest(workspace, box):
    folder = box(*WHOLE)
    asked, asker = form(workspace, box=folder)
    asked.fill()
    assert asker.names == ["box", "label", "lesions", "split", "review"]
    assert toy.inspected == [folder]
    assert "In the box" not in asker.at("box")[0]
    for name in ("label", "lesions", "split", "review"):
        assert "In the box" in asker.at(name)[0], f"what was found stays above {name}"
        assert "3 films" in asker.at(name)[0]


def test_a_fixed_value_is_not_asked_and_is_part_of_the_command(workspace, box):
    folder = box(*MASSES)
    asked, asker = form(workspace, box=folder)
    filled = asked.fill()
    assert "split" not in asker.names
    assert filled.given["split"] == "random"
    assert "split: random" in asker.at("label")[0]
    assert "--split random" in write_command(filled, workspace)
    assert resolve_settings(workspace, TOY, filled.given, None).split == "random"


def test_a_fixed_value_replaces_last_times_answer_and_is_not_saved(workspace, box):
    whole, masses = box(*WHOLE, called="whole"), box(*MASSES, called="masses")
    workspace.root.mkdir()
    workspace.answers_file.write_text(f"{TOY}: {{box: {whole}, split: official, label: mine}}\n")
    assert form(workspace, box=masses)[0].fill().given["split"] == "random"
    kept = yaml.safe_load(workspace.answers_file.read_text())[TOY]
    assert kept == {"box": str(masses), "split": "official", "label": "mine"}
    asked, asker = form(workspace, box=whole, lesions="both")
    asked.fill()
    question = next(question for question in asker.asked if question.name == "split")
    assert question.default == "official", "what was answered before the inspection fixed it is remembered"


def test_an_answer_replaces_a_fixed_value(workspace, box):
    asked, asker = form(
        workspace, box=box(*MASSES), review=("change", "change", BACK, "start"), setting=("split", "at_most"),
        split="official", at_most="1",
    )  # fmt: skip
    filled = asked.fill()
    question = next(question for question in asker.asked if question.name == "split")
    assert question.default == "random", "it starts from what holds"
    assert resolve_settings(workspace, TOY, filled.given, None).split == "official"
    assert toy.previewed[-1].split == "official"
    assert asker.names.count("split") == 1, "changed once, it is not asked again on the way"


def test_confirming_a_fixed_value_keeps_it_fixed(workspace, box):
    asked, _ = form(workspace, box=box(*MASSES), review=("change", "start"), setting="split")
    assert asked.fill().given["split"] == "random"
    assert "split" not in yaml.safe_load(workspace.answers_file.read_text())[TOY]


def test_reset_restores_the_fixed_values(workspace, box):
    folder = box(*MASSES)
    asked, asker = form(
        workspace, box=folder, label="x", review=("change", "reset", "start"), setting="split", split="official"
    )
    assert asked.fill().given == {"box": str(folder), "split": "random", "lesions": "mass"}
    assert "cannot start" not in asker.at("review")[2]


def test_a_look_runs_once_for_each_answer(workspace, box):
    masses, whole = box(*MASSES, called="masses"), box(*WHOLE, called="whole")
    asked, asker = form(workspace, box=(masses, masses, whole), label=(BACK, BACK, "mine"))
    filled = asked.fill()
    assert asker.names[:6] == ["box", "label", "box", "label", "box", "label"]
    assert toy.inspected == [masses, whole]
    assert "split" in asker.names, "what the first box fixed is open in the second"
    assert "split" not in filled.given


def test_back_skips_the_inspection(workspace, box):
    asked, asker = form(workspace, box=box(*MASSES), lesions=(BACK, "mass"), label=("a", "b"))
    assert asked.fill().given["label"] == "b"
    assert asker.names[:5] == ["box", "label", "lesions", "label", "lesions"]


def test_choices_that_the_inspection_excludes_are_disabled_with_the_reason(workspace, box):
    asked, asker = form(workspace, box=box(*MASSES))
    assert asked.fill().given["lesions"] == "mass", "the default cannot be, so the first that can"
    assert "lesions" not in yaml.safe_load(workspace.answers_file.read_text())[TOY], "of this box, no wish"
    question = next(question for question in asker.asked if question.name == "lesions")
    assert {choice.value: choice.disabled for choice in question.choices} == {
        "mass": None, "calc": "no calc in the box", "both": "no calc in the box",
    }  # fmt: skip


def test_an_answer_that_a_new_inspection_excludes_is_asked_again(workspace, box):
    whole, masses = box(*WHOLE, called="whole"), box(*MASSES, called="masses")
    asked, asker = form(
        workspace, box=(whole, masses), lesions=("calc", "mass"), review=("change", "mend", "start"), setting="box"
    )
    assert asked.fill().given["lesions"] == "mass"
    assert "no calc in the box" in asker.at("review")[1]


def test_a_refused_input_is_asked_again_with_the_reason(workspace, box):
    empty, masses = box(called="empty"), box(*MASSES)
    asked, asker = form(workspace, box=(empty, empty, masses))
    assert asked.fill().given["box"] == str(masses)
    assert asker.names[:4] == ["box", "box", "box", "label"]
    first, second, third = asker.at("box")
    assert "no films in" not in first
    assert "choose the folder that holds the .dcm files" in second
    assert "choose the folder that holds the .dcm files" in third
    assert "no films in" not in asker.at("label")[0]
    assert toy.inspected == [empty, empty, masses], "a refused folder may have been repaired, so it is inspected again"


def test_an_inspection_can_ask_for_another_setting(workspace, box):
    hint, films = box(called="hint"), box(*MASSES)
    (hint / "elsewhere.txt").touch()
    asked, asker = form(workspace, box=hint, more=(hint, films, films), label=(BACK, "x"))
    assert asked.fill().given["more"] == [str(films)]
    assert asker.names[:6] == ["box", "more", "more", "label", "more", "label"]
    assert "name that folder" in asker.at("more")[0]
    assert toy.inspected == [hint, hint, hint]
    again, asker = form(workspace)
    again.fill()
    assert asker.names[:2] == ["box", "label"], "saved answers are inspected without asking"


def test_an_optional_input_is_passed_to_the_inspection(workspace, box):
    masses, whole = box(*MASSES, called="masses"), box(*WHOLE, called="whole")
    asked, asker = form(workspace, box=masses, review=("change", "start"), setting="more", more=whole)
    assert "split" not in asked.fill().given, "with these films nothing is fixed"
    assert "6 films" in asker.at("review")[1]


def test_an_input_changed_to_a_wrong_one_can_be_answered_again(workspace, box):
    empty, masses = box(called="empty"), box(*MASSES)
    asked, asker = form(workspace, box=(masses, empty, masses), review=("change", "mend", "start"), setting="box")
    assert asked.fill().given["box"] == str(masses)
    offered = [choice.value for choice in [one for one in asker.asked if one.name == "review"][1].choices]
    assert "start" not in offered
    asked, asker = form(workspace, box=(masses, empty, masses), review=("change", BACK, "start"), setting="box")
    assert asked.fill().given["box"] == str(masses)
    assert asker.names[-4:] == ["box", "label", "lesions", "review"], "back leads to what was refused"


def test_a_preview_is_shown_before_the_start_and_updated_after_a_change(workspace, box):
    asked, asker = form(
        workspace, box=box(*MASSES), review=("change", "change", "start"), setting=("at_most", BACK), at_most="3"
    )
    asked.fill()
    assert [settings.at_most for settings in toy.previewed] == [2, 3], "the same settings are previewed once"
    first, second, third = asker.at("review")
    assert all("What it will contain" in screen for screen in (first, second, third))
    assert second.split("What it will contain")[1].split()[-1] == "3"
    assert "What it will contain" not in asker.at("setting")[0]


def test_a_setting_that_the_preview_refuses_is_asked_again(workspace, box):
    asked, asker = form(
        workspace, box=box(*MASSES), review=("change", "mend", "start"), setting="at_most", at_most=("9", "1")
    )
    assert asked.fill().given["at_most"] == 1
    assert "there are 3 films only" in asker.at("review")[1]
    assert "What it will contain" not in asker.at("review")[1]
    assert "What it will contain" in asker.at("review")[2]


def test_an_error_without_fields_leaves_change_and_reset(workspace, box):
    workspace.dataset_folder("films").mkdir(parents=True)
    asked, asker = form(workspace, box=box(*MASSES), review=("change", "start"), setting="label", label=("films", "x"))
    assert asked.fill().given["label"] == "x"
    refused = next(question for question in asker.asked if question.name == "review")
    assert {choice.value for choice in refused.choices} == {"change", "reset"}
    assert "give this one another name" in asker.at("review")[0]


def test_invalid_settings_are_not_previewed(workspace, box):
    workspace.root.mkdir()
    folder = box(*MASSES)
    workspace.answers_file.write_text(f"{TOY}: {{box: {folder}, at_most: -1}}\n")
    asked, asker = form(workspace, review=("mend", "start"), at_most="1")
    asked.fill()
    assert [settings.at_most for settings in toy.previewed] == [1]
    assert "greater than 0" in asker.at("review")[0]


def test_ctrl_c_during_an_inspection_closes_it_and_returns_to_the_menu_with_answers_kept(workspace, box):
    folder = box(*MASSES)
    (folder / "ctrl-c.txt").touch()
    console = Console(file=io.StringIO(), width=100, force_terminal=True)
    with pytest.raises(ToMenu) as left:
        Form(TOY, workspace, Scripted({"box": str(folder)}), console, no_trial).fill()
    assert toy.closed == [folder], f"the inspection is closed in spite of {left}"
    assert yaml.safe_load(workspace.answers_file.read_text())[TOY] == {"box": str(folder)}


def test_a_progress_bar_is_shown_and_removed(workspace, box):
    file = io.StringIO()
    console = Console(file=file, width=100, force_terminal=True)
    Form(TOY, workspace, Scripted({"box": str(box(*MASSES)), "review": "start"}), console, no_trial).fill()
    assert "1/3" in file.getvalue()
    assert "1/3" not in file.getvalue().rpartition("\x1b[2J")[2], "the last screen has no bar left"


def test_the_accessible_form_prints_one_line_during_an_inspection():
    file = io.StringIO()
    events = [Progress("films", 1, 3), Note("one film"), InspectionResult(fixed={"split": "random"})]
    seen = watch_preview(
        (event for event in events), Console(file=file, width=100, force_terminal=True, color_system=None), moving=False
    )
    assert file.getvalue() == "Reading … (Ctrl-C: to the menu)\n"
    assert (seen.shown, seen.inspection) == ([events[1]], events[2])


def test_an_error_that_no_question_can_solve_is_raised(workspace):
    folder = workspace.dataset_folder("d")
    folder.mkdir(parents=True)
    (folder / "manifest.csv").touch()
    asker = Screens({})
    with pytest.raises(DataError, match="dataset d is not whole"):
        Form("look-at-dataset", workspace, asker, Console(file=asker.file), no_trial).fill()
    assert asker.names == []


def test_the_shown_command_gives_the_same_settings(workspace, box):
    folder = box(*MASSES)
    filled = form(workspace, box=folder)[0].fill()
    words = shlex.split(write_command(filled, workspace))
    assert words[2:4] == [TOY, str(folder)]
    options = dict(zip(words[4::2], words[5::2], strict=True))
    assert options == {"--lesions": "mass", "--split": "random", "--workspace": str(workspace.root)}
