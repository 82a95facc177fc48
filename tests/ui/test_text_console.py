"""What is printed for screen readers, and in other languages."""

from collections.abc import Iterator

import pytest
from rich.panel import Panel
from rich.text import Text

from tfm.core.events import Table
from tfm.ui import render
from tfm.ui.reader import take_reader_options


@pytest.fixture(autouse=True)
def _reset_reader() -> Iterator[None]:
    yield
    take_reader_options([], {})


def test_a_plain_console_names_each_cell_of_a_table_and_draws_no_box(capsys):
    take_reader_options(["--accessible"], {})
    console = render.create_console(width=60)
    console.print(render.draw_event(Table("Scores", ["name", "AUC"], [["a", "0.8"], ["b", "0.7"]]), console))
    console.print(Panel("words", title="a title"))
    shown = [line.strip() for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert shown == ["Scores", "name: a", "AUC: 0.8", "name: b", "AUC: 0.7", "a title", "words"]


def test_titles_and_styled_texts_are_translated_before_they_are_laid_out(capsys):
    take_reader_options(["--language", "es"], {})
    console = render.create_console(width=40)
    console.print(Panel(Text("done", "green").append("  run_1", "dim"), title="What next?"))
    shown = capsys.readouterr().out.splitlines()
    assert "¿Qué sigue?" in shown[0]
    assert "hecho  run_1" in shown[1]
    assert {len(line) for line in shown} == {40}
