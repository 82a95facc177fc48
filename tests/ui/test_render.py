"""How figures are drawn in a terminal."""

import math

from rich.console import Console

from tfm.core.events import Intervals
from tfm.ui import render


def test_a_value_whose_data_carry_no_interval_is_drawn_without_one(capsys):
    rows = [("one", 0.8, 0.7, 0.9), ("too few", 0.8, math.nan, math.nan)]
    Console(width=80).print(render.intervals(Intervals("AUC", rows, low=0.0, high=1.0, mark=0.5), 80))
    _, drawn, bare, _ = capsys.readouterr().out.splitlines()
    assert "━" in drawn
    assert "(0.700 to 0.900)" in drawn
    assert "━" not in bare
    assert "0.800 (– to –)" in bare
