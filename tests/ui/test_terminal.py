"""The wizard in a real terminal, with real keys."""

import re
import tempfile
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.data.real_mammograms import needs_mammograms
from tests.ui.draw_picture import CONTACT_SHEET, PICTURES, contact_sheet, organize
from tests.ui.terminal import Terminal, choose, open_form, read_question


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (200, 50)])
def test_the_first_start_offers_three_ways_in_small_and_large_terminals(tmp_path, columns, rows):
    with Terminal(columns=columns, rows=rows, cwd=tmp_path) as terminal:
        lines = terminal.wait_for("Ctrl-C quits").splitlines()
        assert "workspace" in lines[0]
        begin = next(number for number, line in enumerate(lines) if "How do you want to begin?" in line)
        assert [line.strip(" »").split("  ")[0] for line in lines[begin + 1 : begin + 4]] == [
            "See it work", "Use my download", "Get the data",
        ]  # fmt: skip
        assert "enter choose" in lines[begin + 4]
        terminal.press("ctrl-c")
        assert terminal.wait_for_end() == 0
    assert list(tmp_path.iterdir()) == [], "looking makes nothing"


def test_a_person_answers_goes_back_corrects_and_leaves_with_answers_kept(tmp_path):
    with Terminal(cwd=tmp_path) as terminal:
        open_form(terminal, "phantom")
        terminal.wait_for(read_question("phantom", "out"))
        terminal.press("?")
        terminal.wait_for("A new or empty folder")
        terminal.press("out", "enter", "enter", "enter")  # the last two are typed before the review is there
        terminal.wait_for("» Start")
        terminal.press("escape")
        terminal.wait_for(read_question("phantom", "out"))
        assert "Start" not in terminal.text, "old screens do not stay beside new ones"
        terminal.press("2", "enter")
        terminal.wait_for("» Start")
        assert re.search(r"Out +\S*out2$", terminal.text, re.MULTILINE), "a path is continued"
        choose(terminal, "Train women")
        terminal.wait_for(f"? {read_question('phantom', 'train_women')}")
        terminal.press("7", "enter")
        terminal.wait_for("» Train women")
        assert re.search(r"Train women +7$", terminal.text, re.MULTILINE), "a number is replaced"
        choose(terminal, "Train women")
        terminal.wait_for(f"? {read_question('phantom', 'train_women')}")
        terminal.press("none", "enter")
        terminal.wait_for("must be a whole number")
        terminal.press("ctrl-c")
        terminal.wait_for("How do you want to begin?")
        answers = (tmp_path / "workspace" / "answers.yaml").read_text()
        assert "out2" in answers
        assert "train_women: 7" in answers
        assert not (tmp_path / "workspace" / "runs").exists()


def test_a_run_is_watched_paused_and_resumed_from_the_menu(tmp_path):
    (tmp_path / "workspace").mkdir()
    (tmp_path / "workspace" / "answers.yaml").write_text("phantom: {train_women: 24, test_women: 2, height: 512}")
    with Terminal(columns=100, rows=30, cwd=tmp_path) as terminal:
        terminal.wait_for("» See it work")
        terminal.press("enter")
        terminal.wait_for("» All at once")
        terminal.press("down", "enter")
        terminal.wait_for("» Start")
        terminal.press("enter")
        terminal.wait_for("images/s")
        terminal.press("ctrl-c")
        terminal.wait_for("is running")
        terminal.press("down", "enter")  # pause
        terminal.wait_for("» Resume")
        terminal.press("escape")
        terminal.wait_for("Ctrl-C quits")
        assert re.search(r"‖ phantom: paused, \d+ %", terminal.text)
        assert re.search(r"» Resume +phantom: paused, \d+ %", terminal.text)
        terminal.press("enter")
        terminal.wait_for("» Organize")
        assert "52 synthetic mammograms" in terminal.text.replace("\n", " ")


def test_a_wrong_path_is_reported_and_asked_again(tmp_path):
    (tmp_path / "empty").mkdir()
    with Terminal(cwd=tmp_path) as terminal:
        open_form(terminal, "organize")
        terminal.wait_for(read_question("organize", "download"))
        terminal.wait_for("tab complete · enter continue · ? help · esc back")
        terminal.press("[", "enter")
        terminal.wait_for("cannot be read")
        terminal.press("\x15", "empty", "enter")  # Ctrl-U clears the line
        terminal.wait_for("no mammograms")
        terminal.press("escape")
        terminal.wait_for("How do you want to begin?")


def test_parts_are_selected_with_the_space_bar(tmp_path):
    dataset = tmp_path / "workspace" / "dataset" / "d"
    dataset.mkdir(parents=True)
    (dataset / "manifest.csv").touch()
    with Terminal(columns=120, rows=40, cwd=tmp_path) as terminal:
        open_form(terminal, "preprocess")
        terminal.wait_for("» Start")
        terminal.press("up", "up", "up")
        terminal.wait_for("» Steps")
        terminal.press("enter")
        screen = terminal.wait_for("space mark")
        (first,) = re.findall(r"» [○◉] (\w+)", screen)
        was_on = f"» ◉ {first}" in screen
        terminal.press("space")
        terminal.wait_for(f"» {'○' if was_on else '◉'} {first}")
        terminal.press("enter")
        terminal.wait_for("» S")
        terminal.press("end", "enter")
        terminal.wait_for(f"--set {first}={'false' if was_on else 'true'}")


@pytest.mark.parametrize("how", [{"TERM": "dumb"}, {"TFM_ACCESSIBLE": "1"}])
def test_a_plain_terminal_gets_numbered_lines_without_boxes_or_escape_codes(how, tmp_path):
    with Terminal(rows=40, cwd=tmp_path, **how) as terminal:
        terminal.wait_for("m: every command) >")
        terminal.press("9", "enter")
        terminal.wait_for("9 is not one of the numbers")
        assert terminal.text.count("See it work") == 1, "an error does not read the list again"
        terminal.press("m", "enter")
        terminal.wait_for("list again) >")
        assert "needs a dataset" in " ".join(terminal.text.split())
        terminal.press("2", "enter")
        terminal.wait_for(read_question("phantom", "out"))
        terminal.press("<", "enter")
        terminal.wait_for("How do you want to begin?")
        assert b"\x1b" not in terminal.received
        assert not set("╭│╰┌─━▁█") & set(terminal.text)


def test_a_command_in_a_plain_terminal_lists_its_results_by_name_without_escape_codes(tmp_path):
    size = ["--train-women", "2", "--test-women", "1", "--height", "256"]
    with Terminal("phantom", "out", *size, "--accessible", rows=40, cwd=tmp_path) as terminal:
        assert terminal.wait_for_end() == 0
        assert "6 synthetic mammograms" in " ".join(terminal.text.split())
        assert b"\x1b" not in terminal.received


def test_a_terminal_without_unicode_shows_similar_letters(tmp_path):
    with Terminal(cwd=tmp_path, LC_ALL="C", PYTHONCOERCECLOCALE="0", PYTHONUTF8="0", NO_COLOR="1") as terminal:
        screen = terminal.wait_for("How do you want to begin?")
        assert "> See it work" in screen
        assert "+- TFM - workspace" in screen
        assert screen.count("?") == 2, "one question, and the key of the help"
        assert terminal.received.isascii()


def read_words(picture: str) -> set[str]:
    texts = re.findall(r">([^<]+)</text>", (PICTURES / f"{picture}.svg").read_text())
    return set(unescape(" ".join(texts)).split())


@pytest.mark.long
def test_readme_picture_matches_the_form_of_organize():
    with tempfile.TemporaryDirectory(prefix="s") as place:  # a long one would break lines elsewhere
        shown = unescape(" ".join(re.findall(r">([^<]+)</text>", organize(Path(place)))))
    assert {"Found", "Start", "Organize"} <= set(shown.split())
    missing = {word for word in set(shown.split()) - read_words("organize") if not word.startswith(("/", "download"))}
    assert not missing, "draw the pictures anew: python -m tests.ui.draw_picture"


@pytest.mark.parametrize(
    ("picture", "words"),
    [
        ("home", {"What", "next?", "Data", "Images", "Models", "Results"}),
        ("models", {"Which", "models?", "EfficientNetLite0_OPW", "suggested"}),
        ("training", {"MammoCNN", "epoch", "pause", "checkpoint"}),
        ("comparison", {"AUC", "difference", "MammoCNN"}),
    ],
)
def test_readme_has_the_pictures_of_the_main_screens(picture, words):
    assert words <= read_words(picture)


@pytest.mark.long
@needs_mammograms
def test_readme_contact_sheet_matches_the_program(tmp_path):
    now, then = (np.asarray(Image.open(path)).astype(int) for path in (contact_sheet(tmp_path), CONTACT_SHEET))
    assert now.shape == then.shape, "draw the pictures anew: python -m tests.ui.draw_picture"
    apart = (np.abs(now - then) > 30).any(axis=2).mean()
    assert apart < 0.0005, "draw the pictures anew: python -m tests.ui.draw_picture"
