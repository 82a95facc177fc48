"""A form shows an inspection of the inputs, which limits the choices, and a preview before the start."""

import io
import shlex

import pytest
import yaml
from rich.console import Console

from tests.toys import look as toy
from tests.ui.scripted import BACK, Scripted, read_head, read_rows
from tests.ui.test_form import no_trial
from tfm.core.errors import DataError
from tfm.core.events import Note, Progress
from tfm.core.registry import InspectionResult
from tfm.core.runs.resolve_command_settings import resolve_settings
from tfm.ui.equivalent_command_line import write_command
from tfm.ui.form import Form
from tfm.ui.prompts import Pressed, ToMenu
from tfm.ui.watch_preview import watch_preview

TOY = "look"
MASSES = ("mass-train-1", "mass-train-2", "mass-train-3")
WHOLE = ("mass-train-1", "mass-test-1", "calc-train-1")


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
        return str(folder)

    return filled


def fill(workspace, **answers):
    asker = Scripted({"review": "start"} | answers)
    filled = Form(TOY, workspace, asker, Console(file=io.StringIO(), width=100), no_trial).fill()
    return filled, asker


def describe_reviews(asker):
    """What stood above each review."""
    return [read_head(review) for review in asker.find("review")]


def test_what_was_found_in_the_input_stands_above_the_review_and_its_rows(workspace, box):
    folder = box(*WHOLE)
    _, asker = fill(workspace, box=folder, label="x")
    assert asker.names == ["box", "review", "label", "review"]
    assert [str(path) for path in toy.inspected] == [folder]
    assert "In the box" not in read_head(asker.asked[0])
    for question in asker.asked[1:]:
        assert "In the box" in read_head(question)
        assert "3 films" in read_head(question)


@pytest.mark.parametrize(
    ("height", "shown"), [(40, ["In the box", "What it will contain"]), (18, ["What it will contain"])]
)
def test_a_small_terminal_shows_what_a_start_does_and_the_rest_behind_a_key(workspace, box, height, shown):
    asker, file = Scripted({"box": box(*WHOLE), "review": (Pressed("d", "start"), "start")}), io.StringIO()
    console = Console(file=file, width=80, height=height, force_terminal=True)
    Form(TOY, workspace, asker, console, no_trial).fill()
    head = read_head(asker.find("review")[0])
    assert [words for words in ("In the box", "What it will contain") if words in head] == shown
    assert asker.names == ["box", "review", "continue", "review"]
    assert "In the box" in file.getvalue(), "it is printed before Enter goes back"


def test_a_value_that_was_found_is_shown_and_is_part_of_the_command(workspace, box):
    folder = box(*MASSES)
    filled, asker = fill(workspace, box=folder)
    assert filled.given == {"box": folder, "split": "random", "lesions": "mass"}
    assert read_rows(asker.asked[-1])["split"] == "random  (found in the data)"
    words = shlex.split(write_command(filled, workspace))
    assert words[2:4] == [TOY, folder]
    options = dict(zip(words[4::2], words[5::2], strict=True))
    assert options == {"--lesions": "mass", "--split": "random", "--workspace": str(workspace.root)}
    assert resolve_settings(workspace, TOY, filled.given, None).split == "random"


def test_a_found_value_replaces_last_times_answer_and_is_not_saved(workspace, box):
    whole, masses = box(*WHOLE, called="whole"), box(*MASSES, called="masses")
    workspace.root.mkdir()
    workspace.answers_file.write_text(f"{TOY}: {{box: {whole}, split: official, label: mine}}\n")
    assert fill(workspace, box=masses)[0].given["split"] == "random"
    kept = yaml.safe_load(workspace.answers_file.read_text())[TOY]
    assert kept == {"box": masses, "split": "official", "label": "mine"}
    _, asker = fill(workspace, box=whole)
    assert read_rows(asker.asked[-1])["split"] == "official", "the answer before the inspection replaced it"


def test_an_answer_replaces_a_found_value_until_it_is_reset(workspace, box):
    filled, asker = fill(workspace, box=box(*MASSES), split="official")
    assert asker.find("split")[0].default == "random", "it starts from what holds"
    assert resolve_settings(workspace, TOY, filled.given, None).split == "official"
    assert toy.previewed[-1].split == "official"
    filled, _ = fill(workspace, review=(Pressed("r", "start"), "start"))
    assert filled.given["split"] == "random"


def test_confirming_a_found_value_saves_no_answer(workspace, box):
    filled, _ = fill(workspace, box=box(*MASSES), split="random")
    assert filled.given["split"] == "random"
    assert "split" not in yaml.safe_load(workspace.answers_file.read_text())[TOY]


def test_an_input_is_inspected_once_and_again_only_if_it_changes(workspace, box):
    masses, whole = box(*MASSES, called="masses"), box(*WHOLE, called="whole")
    filled, _ = fill(workspace, box=(masses, masses, whole), label="mine", review=("box", "box", "start"))
    assert [str(path) for path in toy.inspected] == [masses, whole]
    assert "split" not in filled.given, "what was found in the first is open in the second"


def test_choices_that_the_inspection_excludes_are_disabled_with_the_reason(workspace, box):
    filled, asker = fill(workspace, box=box(*MASSES), lesions="mass")
    assert filled.given["lesions"] == "mass", "the default cannot be, so the first that can"
    assert "lesions" not in yaml.safe_load(workspace.answers_file.read_text())[TOY], "of this box, no wish"
    assert {choice.value: choice.disabled for choice in asker.find("lesions")[0].choices} == {
        "mass": None, "calc": "no calc in the box", "both": "no calc in the box",
    }  # fmt: skip


def test_an_answer_that_a_new_inspection_excludes_is_marked_with_the_reason(workspace, box):
    whole, masses = box(*WHOLE, called="whole"), box(*MASSES, called="masses")
    filled, asker = fill(workspace, box=(whole, masses), lesions=("calc", "mass"), review=("box", "lesions", "start"))
    assert filled.given["lesions"] == "mass"
    refused = next(review for review in asker.find("review") if "start" not in read_rows(review))
    assert "no calc in the box" in read_head(refused)
    assert "start" not in read_rows(refused)


def test_a_refused_input_is_asked_again_with_the_reason(workspace, box):
    empty, masses = box(called="empty"), box(*MASSES)
    filled, asker = fill(workspace, box=(empty, empty, masses))
    assert filled.given["box"] == masses
    assert asker.names == ["box", "box", "box", "review"]
    says = ["choose the folder that holds the .dcm files" in read_head(question) for question in asker.asked]
    assert says == [False, True, True, False]
    assert len(toy.inspected) == 3, "a refused folder may have been repaired, so it is inspected again"


def test_an_inspection_can_ask_for_another_setting(workspace, box, tmp_path):
    hint, films = box(called="hint"), box(*MASSES)
    (tmp_path / "hint" / "elsewhere.txt").touch()
    filled, asker = fill(workspace, box=hint, more=(hint, films))
    assert filled.given["more"] == [films]
    assert asker.names[:3] == ["box", "more", "more"]
    assert "name that folder" in read_head(asker.asked[1])
    _, asker = fill(workspace)
    assert asker.names == ["box", "review"], "saved answers are inspected without asking"


def test_an_optional_input_is_passed_to_the_inspection(workspace, box):
    masses, whole = box(*MASSES, called="masses"), box(*WHOLE, called="whole")
    filled, asker = fill(workspace, box=masses, review=("change", "start"), setting="more", more=whole)
    assert "split" not in filled.given, "with these films nothing is fixed"
    assert ["6 films" in head for head in describe_reviews(asker)] == [False, True]


@pytest.mark.parametrize("way", ["box", BACK])
def test_an_input_changed_to_a_wrong_one_can_be_answered_again(workspace, box, way):
    empty, masses = box(called="empty"), box(*MASSES)
    filled, asker = fill(workspace, box=(masses, empty, masses), review=("box", way, "start"))
    assert filled.given["box"] == masses
    refused = asker.find("review")[1]
    assert (refused.default, "start" in read_rows(refused)) == ("box", False)
    assert "no films in" in read_head(refused)
    assert "no films in" not in read_head(asker.asked[-1])


def test_a_preview_is_shown_before_the_start_and_updated_after_a_change(workspace, box):
    _, asker = fill(
        workspace, box=box(*MASSES), review=("change", "change", "start"), setting=("at_most", BACK), at_most="3"
    )
    assert [settings.at_most for settings in toy.previewed] == [2, 3], "the same settings are previewed once"
    assert [head.split("What it will contain")[1].split()[-1] for head in describe_reviews(asker)] == ["2", "3", "3"]


def test_a_setting_that_the_preview_refuses_is_marked_with_the_reason(workspace, box):
    filled, asker = fill(
        workspace, box=box(*MASSES), review=("change", "at_most", "start"), setting="at_most", at_most=("9", "1")
    )
    assert filled.given["at_most"] == 1
    heads = describe_reviews(asker)
    assert ["there are 3 films only" in head for head in heads] == [False, True, False]
    assert ["What it will contain" in head for head in heads] == [True, False, True]
    assert asker.find("review")[1].default == "at_most"


def test_an_error_that_names_no_setting_leaves_all_of_them_to_change(workspace, box):
    workspace.dataset_folder("films").mkdir(parents=True)
    filled, asker = fill(workspace, box=box(*MASSES), review=("change", "start"), setting="label", label="x")
    assert filled.given["label"] == "x"
    refused = asker.find("review")[0]
    assert "start" not in read_rows(refused)
    assert "give this one another name" in read_head(refused)


def test_invalid_settings_are_not_previewed(workspace, box):
    workspace.root.mkdir()
    workspace.answers_file.write_text(f"{TOY}: {{box: {box(*MASSES)}, at_most: -1}}\n")
    _, asker = fill(workspace, at_most="1")
    assert [settings.at_most for settings in toy.previewed] == [1]
    assert "greater than 0" in describe_reviews(asker)[0]


def test_ctrl_c_during_an_inspection_closes_it_and_returns_to_the_menu_with_answers_kept(workspace, box, tmp_path):
    folder = box(*MASSES)
    (tmp_path / "box" / "ctrl-c.txt").touch()
    console = Console(file=io.StringIO(), width=100, force_terminal=True)
    with pytest.raises(ToMenu) as left:
        Form(TOY, workspace, Scripted({"box": folder}), console, no_trial).fill()
    assert [str(path) for path in toy.closed] == [folder], f"the inspection is closed in spite of {left}"
    assert yaml.safe_load(workspace.answers_file.read_text())[TOY] == {"box": folder}


def test_a_progress_bar_is_shown_and_removed(workspace, box):
    file = io.StringIO()
    console = Console(file=file, width=100, force_terminal=True)
    Form(TOY, workspace, Scripted({"box": box(*MASSES), "review": "start"}), console, no_trial).fill()
    assert "1/3" in file.getvalue()
    assert "1/3" not in file.getvalue().rpartition("\x1b[2K")[2], "no bar is left"


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
    asker = Scripted({})
    with pytest.raises(DataError, match="dataset d is not whole"):
        Form("look-at-dataset", workspace, asker, Console(file=io.StringIO()), no_trial).fill()
    assert asker.names == []
