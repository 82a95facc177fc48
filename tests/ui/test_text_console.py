"""What is printed for screen readers, and in other languages."""

import io
from collections.abc import Iterator

import pytest
from rich.panel import Panel
from rich.table import Table as RichTable
from rich.text import Text

from tfm.core.events import Table
from tfm.ui import render
from tfm.ui.reader import take_reader_options
from tfm.ui.text_console import TextConsole


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


@pytest.mark.parametrize("drawn", [str, Text, lambda text: Panel(text, title=Text(text)), lambda text: draw_cell(text)])
def test_a_name_from_a_file_commands_nothing(drawn):
    name = "a\x1b[31mb\x9b2J[/b]\u202e"
    console = TextConsole(file=io.StringIO(), width=60)
    console.print(drawn(name))
    shown = console.file.getvalue()
    assert "a[31mb2J[/b]" in shown
    assert not set(shown) & set("\x1b\x9b\u202e")


def draw_cell(text):
    table = RichTable("column")
    table.add_row(text)
    return table
