"""A page in a headless Chromium: pictures of it, the messages on its console, and its requests to the outside."""

import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

_REQUEST_OF_A_PAGE = 101845102  # the mark of Blink's loader in a network log; Chromium's own requests have others


@dataclass(frozen=True)
class Visit:
    console: list[str]
    requests: list[str]  # to other machines


def find_browser() -> str:
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    return browser


def photograph_page(page: Path, picture: Path, width: int = 1200, height: int = 2000, *, dark: bool = False) -> Visit:
    """Take a picture of the top of a page. Narrow pages are shown in a frame: a window is at least 500 pixels wide."""
    if width < 500:
        frame = picture.with_suffix(".frame.html")
        size = f"width:{width}px;height:{height}px;border:0"
        frame.write_text(f'<body style="margin:0"><iframe src="{page.as_uri()}" style="{size}"></iframe>')
        page = frame
    wanted = [f"--screenshot={picture}", f"--window-size={max(width, 500)},{height}", "--hide-scrollbars"]
    return _visit(page, picture.parent, [*wanted, *(["--force-dark-mode"] if dark else [])])


def print_page(page: Path, pdf: Path) -> Visit:
    return _visit(page, pdf.parent, [f"--print-to-pdf={pdf}", "--no-pdf-header-footer"])


def evaluate_on_page(page: Path, script: str, folder: Path, width: int = 1200, *, dark: bool = False) -> object:
    """Return the value of a JavaScript expression on a copy of the page."""
    copy = folder / f"{page.stem}.asked.html"
    asking = f"<script>console.log('answer ' + JSON.stringify({script}))</script>"
    copy.write_text(page.read_text(encoding="utf-8") + asking, encoding="utf-8")
    visit = photograph_page(copy, folder / f"{page.stem}.asked.png", width, dark=dark)
    (answer,) = [line for line in visit.console if line.startswith("answer ")]
    return json.loads(answer.removeprefix("answer "))


def _visit(page: Path, folder: Path, wanted: list[str]) -> Visit:
    log = folder / "network.json"
    quiet = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        f"--user-data-dir={folder}/profile",
    ]
    watched = ["--enable-logging=stderr", f"--log-net-log={log}"]
    ended = subprocess.run(
        [find_browser(), *quiet, *watched, *wanted, page.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    console = re.findall(r'CONSOLE:\d+\] "(.*)", source: ', ended.stderr)
    params = (event.get("params", {}) for event in json.loads(log.read_text(encoding="utf-8"))["events"])
    asked = {one["url"] for one in params if one.get("traffic_annotation") == _REQUEST_OF_A_PAGE}
    return Visit(console, sorted(asked))
