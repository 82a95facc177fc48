"""How figures are drawn in a terminal."""

import io
import math

import pytest
from rich.console import Console

from tfm.core.events import IntervalChart, Picture, Table
from tfm.ui import render


def test_a_value_without_an_interval_is_drawn_as_a_point(capsys):
    rows = [("one", 0.8, 0.7, 0.9), ("too few", 0.8, math.nan, math.nan)]
    Console(width=80).print(render.draw_intervals(IntervalChart("AUC", rows, low=0.0, high=1.0, mark=0.5), 80))
    _, drawn, bare, _ = capsys.readouterr().out.splitlines()
    assert "━" in drawn
    assert "(0.700 to 0.900)" in drawn
    assert "━" not in bare
    assert "0.800 (– to –)" in bare


@pytest.mark.parametrize("width", [40, 72, 80, 120, 200])
def test_no_table_column_is_cut_in_a_narrow_window(width, capsys):
    columns = ["what", "drawn by", "Dice (95 % interval)", "area error", "found at 0.5", "at 1", "left clear"]
    rows = [["malignant mass", "DeepLabV3+", *["0.284 (0.241 to 0.324)"] * 4, f"0.9{number}"] for number in range(2)]
    console = Console(width=width)
    console.print(render.draw_event(Table("Lesions", columns, rows), console))
    lines = capsys.readouterr().out.splitlines()
    words = [word.rstrip(")") for word in " ".join(lines).split()]
    assert all(len(line.rstrip()) <= width for line in lines)
    assert {"clear", "0.90", "0.91", "error", "0.324"} <= set(words)
    assert words.count("0.324") == 8


@pytest.mark.parametrize("word", ["to", "a"])
def test_an_interval_is_below_its_value_in_any_language_where_both_are_too_wide(word, capsys):
    rows = [["accuracy", *[f"−0.284 (−0.341 {word} 0.324)"] * 4]]
    console = Console(width=80)
    console.print(render.draw_event(Table("Test", ["metric", *"abcd"], rows), console))
    assert capsys.readouterr().out.count(f"−0.341 {word} 0.324") == 4


def test_the_heading_of_a_column_breaks_before_its_rows_do(capsys):
    columns = ["CSV", *["a heading of many words"] * 5]
    rows = [["mass train", *["120"] * 5], ["calc test", *["44"] * 5]]
    console = Console(width=80)
    console.print(render.draw_event(Table("Found", columns, rows), console))
    assert "mass train" in capsys.readouterr().out


def test_the_path_of_a_picture_is_never_broken():
    console = Console(file=io.StringIO(), width=40, force_terminal=True, color_system=None)
    path = "/home/student/workspace/runs/2026-01-01_compare_abc123/figures/comparison-1.png"
    render.print_events(console, [Picture(path, "ROC curves")])
    assert console.file.getvalue() == f"ROC curves: {path}\n"
