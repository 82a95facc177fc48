"""A thumbnail in a terminal: its greys, its size, and nothing where it cannot be drawn."""

import io

import pytest
from rich.console import Console

from tfm.core.events import Picture, Table
from tfm.ui import render
from tfm.ui.thumbnail import draw_blocks

BLACK_OVER_WHITE = ["000000", "ffffff"]


def terminal(width=80, color_system="truecolor", **more):
    return Console(file=io.StringIO(), width=width, force_terminal=True, color_system=color_system, **more)


def greys(line):
    """Upper and lower grey of each character."""
    styles = [(span.style, span.end - span.start) for span in line.spans]
    return [(_grey(style.color), _grey(style.bgcolor)) for style, count in styles for _ in range(count)]


def _grey(colour):
    return colour.triplet.red if colour else None


def printed(picture, console):
    render.print_events(console, [picture])
    return console.file.getvalue()


def test_a_character_shows_two_pixels_and_equal_neighbours_share_a_span():
    (line,) = draw_blocks(["0000ff", "8080ff"], terminal())
    assert line.plain == "▀▀▀"
    assert len(line.spans) == 2
    assert greys(line) == [(0, 128), (0, 128), (255, 255)]


def test_the_lower_half_of_an_odd_last_row_stays_empty():
    lines = draw_blocks(["00", "40", "ff"], terminal())
    assert [greys(line) for line in lines] == [[(0, 64)], [(255, None)]]


@pytest.mark.parametrize(("width", "columns", "lines"), [(200, 160, 30), (160, 160, 30), (120, 120, 23), (40, 40, 8)])
def test_a_thumbnail_fits_the_terminal_and_keeps_its_proportions(width, columns, lines):
    drawn = draw_blocks(["7f" * 160] * 60, terminal(width))
    assert (len(drawn), {len(line.plain) for line in drawn}) == (lines, {columns})
    assert {pair for line in drawn for pair in greys(line)} <= {(127, 127), (127, None)}


def test_a_smaller_thumbnail_averages_its_pixels():
    (line,) = draw_blocks(["00ff0000", "ffff8000", "ffff8000", "ffff8000"], terminal(2))
    assert greys(line) == [(191, 255), (32, 64)]
    (line,) = draw_blocks(["00ff80", "00ff80"], terminal(2))
    assert greys(line) == [(85, None), (170, None)]


@pytest.mark.parametrize(
    "console",
    [
        terminal(color_system=None),
        terminal(color_system="standard"),
        terminal(no_color=True),
        Console(file=io.TextIOWrapper(io.BytesIO(), encoding="ascii"), force_terminal=True, color_system="truecolor"),
    ],
    ids=["none", "sixteen", "NO_COLOR", "ascii"],
)
def test_terminals_without_greys_or_the_character_show_no_picture(console):
    assert draw_blocks(BLACK_OVER_WHITE, console) == []


def test_the_path_is_printed_below_the_picture_or_alone():
    picture = Picture("/figures/sheet.png", "Contact sheet", BLACK_OVER_WHITE)
    plain = printed(picture, terminal(color_system=None))
    assert plain == "Contact sheet: /figures/sheet.png\n"
    drawn = printed(picture, terminal()).splitlines()
    assert "▀▀▀" in drawn[0]
    assert "38;2;0;0;0;48;2;255;255;255" in drawn[0]
    assert "Contact sheet" in drawn[1]
    assert "▀" not in printed(Picture("/roc.png", "ROC curve"), terminal())


def test_a_picture_has_space_around_it_and_plain_paths_do_not():
    console = terminal(color_system=None)
    paths = [Picture("/a.png", "a"), Picture("/b.png", "b"), Table("t", ["x"], [["1"]])]
    render.print_events(console, paths)
    assert console.file.getvalue().startswith("a: /a.png\nb: /b.png\n\nt")
