"""The program in other languages: the catalogues are complete, and finished texts are found in them."""

import io
import re

import pytest

from tests.toy_jobs import toy_run
from tests.ui.extract_messages import extract_messages, list_texts
from tests.ui.terminal import Terminal
from tests.ui.test_cli import wizard
from tfm.core import command_list
from tfm.ui.screens import show_job
from tfm.ui.text_console import TextConsole
from tfm.ui.translate import ENGLISH, LOCALE, Translator, find_language, read_catalogue, set_language

CATALOGUES = sorted(LOCALE.glob("*.po"))


def holes(text: str) -> list[str]:
    return sorted(set(re.findall(r"\{(\d+)(?::word)?\}", text)))


@pytest.fixture(scope="module")
def messages() -> dict[str, str]:
    return extract_messages()


@pytest.mark.parametrize("file", CATALOGUES, ids=lambda file: file.stem)
def test_every_text_is_translated_with_the_same_holes_and_none_is_stale(file, messages):
    """Mend it: python -m tests.ui.extract_messages, then fill in what is empty."""
    catalogue = read_catalogue(file)
    missing = [text for text in messages if text not in catalogue]
    assert missing == []
    assert sorted(catalogue.keys() - messages.keys()) == []
    assert [text for text, translated in catalogue.items() if holes(text) != holes(translated)] == []


@pytest.mark.parametrize("file", CATALOGUES, ids=lambda file: file.stem)
def test_the_summaries_of_commands_fit_into_their_lines(file):
    catalogue = read_catalogue(file)
    summaries = [catalogue[command_list.read_summary(name)] for name in command_list.list_commands()]
    assert [summary for summary in summaries if len(summary) > 60] == []


@pytest.mark.parametrize(
    ("planted", "texts"),
    [
        ('raise RunError("it is gone", hint=f"look at {place}")', ["it is gone", "look at {1}"]),
        ("Note(f\"{count} image{'s' if count > 1 else ''} left\")", ["{1} images left", "{1} image left"]),
        ('Table("Results", ["model", "AUC"], rows)', ["Results", "model", "AUC"]),
        ('hints.command("runs resume"); x = y["test images"] and "a"', ["test images"]),
    ],
)
def test_planted_texts_are_extracted(planted, texts):
    assert [text for text in list_texts(planted) if text != "AUC"] == [text for text in texts if text != "AUC"]


SPANISH = Translator(
    {
        "{1} is {2}": "{1} está {2:word}",
        "done": "terminada",
        "{1} is done, and {2} are left": "{1} ha terminado, y quedan {2}",
        "the images of {1}": "las imágenes de {1}",
        "Which fold?": "¿Qué fold?",
        "One.\nTwo lines.": "Una.\nDos líneas.",
        "choose {1}": "elige {1}",
        "{1} of {2}": "{1} de {2}",
        "{1}; over {2}": "{1}; sobre {2}",
    }
)


@pytest.mark.parametrize(
    ("text", "spanish"),
    [
        ("done", "terminada"),
        ("Done", "Terminada"),
        ("2024_done is done", "2024_done está terminada"),
        ("a is done, and the images of b are left", "a ha terminado, y quedan las imágenes de b"),
        ("Which fold? choose `setting: fold=1`", "¿Qué fold? elige `setting: fold=1`"),
        ("One.\nTwo lines.\nchoose x", "Una.\nDos líneas.\nelige x"),
        ("  done\n", "  terminada\n"),
        ("ResNet18_CFT", "ResNet18_CFT"),
        ("3 of 4; over A", "3 de 4; sobre A"),
        ("3 of 4; over pairs of patients", "3 of 4; over pairs of patients"),
        ("the images of a, the best of 3. Done", "the images of a, the best of 3. Terminada"),
        ("what of that: done", "what of that: done"),
        ("step 0 of 3 · done", "step 0 of 3 · terminada"),
        ("the images of 3,337,057; x=3,337", "las imágenes de 3\u00a0337\u00a0057; x=3,337"),
        ("", ""),
    ],
)
def test_a_sentence_is_translated_as_a_whole_or_not_at_all_and_names_stay(text, spanish):
    assert SPANISH.translate(text) == spanish


@pytest.mark.parametrize(
    ("environment", "language"),
    [
        ({"LANG": "es_ES.UTF-8"}, "es"),
        ({"LANG": "es_MX.UTF-8", "LC_ALL": "C"}, "en"),
        ({"LANG": "en_GB.UTF-8", "LC_MESSAGES": "es_ES"}, "es"),
        ({"LANG": "es_ES.UTF-8", "TFM_LANGUAGE": "en"}, "en"),
        ({"LANG": "tlh_KL"}, "en"),
        ({}, "en"),
    ],
)
def test_the_environment_chooses_the_language(environment, language):
    assert find_language(environment) == language


def test_a_spanish_terminal_shows_home_and_a_form_in_spanish(tmp_path):
    with Terminal(cwd=tmp_path, LANG="es_ES.UTF-8", TFM_LANGUAGE="") as terminal:
        screen = terminal.wait_for("¿Cómo quieres empezar?")
        assert "sin dataset" in screen
        assert "no diagnóstico" in screen
        terminal.press("down", "enter")
        terminal.wait_for("¿Qué carpeta contiene la descarga")


def test_help_and_errors_are_shown_in_the_language_of_an_option(run_main):
    told = wizard("organize", "--help", "--language", "es")
    assert "Organizar una descarga" in told.stdout
    assert "¿Qué carpeta contiene la descarga" in told.stdout
    assert "--val-share" in told.stdout, "names stay as they are"
    assert "[por defecto:" in told.stdout
    assert "there is no language called 'xx'" in run_main("organize", "--language", "xx").stderr


@pytest.fixture
def in_spanish():
    set_language("es")
    yield
    set_language(ENGLISH)


@pytest.mark.usefixtures("in_spanish")
def test_the_file_of_all_settings_is_shown_as_it_is(workspace):
    run, output = toy_run(workspace), io.StringIO()
    show_job.print_settings(run, TextConsole(file=output, width=200))
    assert output.getvalue() == run.settings_file.read_text(encoding="utf-8")
