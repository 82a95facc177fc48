"""Pages: everything inside one file, every value escaped, readable in any browser."""

import re

import pytest

from tests.browser import evaluate_on_page, photograph_page, print_page
from tfm.analysis.html.render_page import render_page

ATTACK = "<script>alert('x')</script>\"'&"


@pytest.fixture(scope="module")
def page():
    return render_page("base.html.j2", f"A page {ATTACK}")


def test_values_are_escaped(page):
    assert "<script" not in page
    assert "&lt;script&gt;alert(" in page


def test_a_page_needs_no_other_file(page):
    assert [one for one in re.findall(r'(?:src|href)="([^"]+)"', page) if not one.startswith(("data:", "#"))] == []
    assert "url(" not in page
    assert "@import" not in page


@pytest.mark.long
@pytest.mark.parametrize(("width", "dark"), [(1200, False), (360, False), (1200, True)])
def test_a_browser_shows_the_page_without_a_complaint_or_a_request(page, tmp_path, width, dark):
    file = tmp_path / "page.html"
    file.write_text(page, encoding="utf-8")
    visit = photograph_page(file, tmp_path / "page.png", width, dark=dark)
    assert (visit.console, visit.requests) == ([], [])
    assert evaluate_on_page(file, "matchMedia('(prefers-color-scheme: dark)').matches", tmp_path, dark=dark) is dark
    print_page(file, tmp_path / "page.pdf")
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.long
def test_the_browser_notices_a_planted_error_and_request(tmp_path):
    file = tmp_path / "page.html"
    file.write_text("<img src='https://example.com/x.png'><script>console.error('planted')</script>", encoding="utf-8")
    visit = photograph_page(file, tmp_path / "page.png")
    assert visit.console == ["planted"]
    assert visit.requests == ["https://example.com/x.png"]
