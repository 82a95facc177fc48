"""The pages that people read: what they say to type exists, and they name everything that the program offers."""

import ast
import importlib
import re
import shlex
import textwrap
from pathlib import Path

import pytest

from tfm.core import command_list, registry
from tfm.core.settings import presets

PROJECT = Path(__file__).resolve().parent.parent
PAGES = [
    PROJECT / "README.md",
    PROJECT / "tfm" / "README.md",
    PROJECT / "configs" / "README.md",
    PROJECT / "tests" / "README.md",
    PROJECT / ".github" / "CONTRIBUTING.md",
]
README = PAGES[0].read_text(encoding="utf-8")
COMMAND = re.compile(r"python wizard\.py ([a-z][^`\n&]*)")
COMMANDS = sorted({(page, command) for page in PAGES for command in COMMAND.findall(page.read_text(encoding="utf-8"))})
INVENTED = {  # files and a class that a reader of tfm/README.md is told to write
    "configs/models/ResNet10.yaml",
    "tfm/commands/count_images.py",
    "tfm/imaging/steps/median.py",
    "tfm/models/zoo/smallnet.py",
    "tfm/pipelines/count_images.py",
    "Median",
}
OPTIONS_OF_EVERY_COMMAND = {"--workspace", "--json", "--detach", "--quiet", "--yes", "--on", "--preset", "--set"}


def named_in(page: Path) -> set[str]:
    return {command.split()[0] for place, command in COMMANDS if place == page}


def slug(title: str) -> str:
    """The anchor that a Markdown title gets."""
    return re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")


@pytest.mark.parametrize("command", ["python wizard.py demo", "python -m pytest"])
def test_readme_gives_both_commands_on_a_line_of_their_own(command):
    assert f"\npython -m pip install -r requirements.txt && {command}\n" in README


def test_readme_is_short_enough_to_be_read():
    assert len(README.splitlines()) <= 200


def test_readme_names_every_command():
    assert set(command_list.list_commands()) | {"runs"} <= named_in(PROJECT / "README.md")


@pytest.mark.parametrize(
    ("page", "command"), COMMANDS, ids=[f"{page.relative_to(PROJECT)}: {command}" for page, command in COMMANDS]
)
def test_a_printed_command_exists_with_its_options(page, command):
    name, *words = shlex.split(command)
    if name == "runs":
        return
    settings = registry.find_command(name).list_fields()
    known = {f"--{prefix}{field.name.replace('_', '-')}" for field in settings for prefix in ("", "no-")}
    assert {word for word in words if word.startswith("--")} <= known | OPTIONS_OF_EVERY_COMMAND


def test_the_page_on_presets_describes_every_model():
    page = (PROJECT / "configs" / "README.md").read_text(encoding="utf-8")
    assert [name for name in presets.list_presets("models") if name not in page] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_links_lead_to_files_and_titles_that_exist(page):
    text = page.read_text(encoding="utf-8")
    titles = {slug(title) for title in re.findall(r"^#+ (.*)$", text, re.MULTILINE)}
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", text):
        if target.startswith("#"):
            assert target[1:] in titles, target
        else:
            assert (page.parent / target).is_file(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_paths_of_code_exist(page):
    paths = re.findall(r"`((?:tfm|tests|configs)/[\w/.-]+)`", page.read_text(encoding="utf-8"))
    assert [path for path in paths if not (PROJECT / path).exists() and path not in INVENTED] == []


def test_code_in_the_recipes_imports_what_exists():
    page = (PROJECT / "tfm" / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^ *```python\n(.*?)^ *```", page, re.MULTILINE | re.DOTALL)
    imported = [
        (node.module, alias.name)
        for block in blocks
        for node in ast.walk(ast.parse(textwrap.dedent(block)))
        if isinstance(node, ast.ImportFrom) and node.module.startswith("tfm.")
        for alias in node.names
    ]
    assert len(imported) > 8
    shipped = [(module, name) for module, name in imported if not INVENTED & {f"{module.replace('.', '/')}.py", name}]
    assert [one for one in shipped if not hasattr(importlib.import_module(one[0]), one[1])] == []


def test_readme_says_that_this_is_no_diagnosis():
    assert "For research and teaching only" in README
