"""The pages that people read: what they say to type exists, and they name everything that the program offers."""

import ast
import functools
import importlib
import re
import shlex
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from typer.exceptions import TyperException

from tfm.core import command_list, registry
from tfm.core.settings import presets
from tfm.core.settings.spell_settings import format_flag
from tfm.ui import cli
from tfm.ui.screens import runs_commands

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
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
COMMANDS = sorted({(page, command) for page in PAGES for command in COMMAND.findall(page.read_text(encoding="utf-8"))})
INVENTED = {  # files and a class that a reader of tfm/README.md is told to write
    "configs/models/ResNet10.yaml",
    "tfm/commands/count_images.py",
    "tfm/imaging/steps/median.py",
    "tfm/models/zoo/smallnet.py",
    "tfm/pipelines/count_images.py",
    "Median",
}
INVENTED_MODELS = {"NAME", "ResNet10"}
INVENTED_STEPS = {"median", "median.size"}
OPTIONS_OF_PIP = {"--force-reinstall"}
BELOW_RUNS: Mapping[str, Any] = typer.main.get_command(runs_commands.app).commands  # type: ignore[attr-defined]


def named_in(page: Path) -> set[str]:
    return {command.split()[0] for place, command in COMMANDS if place == page}


@functools.cache
def build_command(name: str) -> Any:
    """A command as the command line parses it."""
    if name.startswith("runs "):
        return BELOW_RUNS[name.removeprefix("runs ")]
    app = typer.Typer()
    app.command(name)(cli.build_command(name))
    return typer.main.get_command(app)


def list_options(name: str) -> set[str]:
    parameters = build_command(name).params
    return {word for one in parameters for word in one.opts + one.secondary_opts if word.startswith("--")} | {"--help"}


def list_settings(name: str) -> set[str]:
    fields = registry.find_command(name).list_fields()
    return {format_flag(f"{prefix}{field.name}") for field in fields for prefix in ("", "no-")}


def list_parts(name: str) -> set[str]:
    """What `--set` can change."""
    parts = [(field, part) for field in registry.find_command(name).list_fields() for part in field.parts]
    return {part for _, part in parts} | {inner.name for field, part in parts for inner in field.list_part_fields(part)}


@pytest.fixture
def options_of_the_program(capsys, monkeypatch) -> set[str]:
    monkeypatch.setenv("COLUMNS", "120")
    cli.main(["--help"])
    return set(re.findall(r"^│ (--[a-z-]+)", capsys.readouterr().out, re.MULTILINE))


def slug(title: str) -> str:
    """The anchor that a Markdown title gets."""
    return re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")


@pytest.mark.parametrize("command", ["python wizard.py demo", "python -m pytest"])
def test_readme_gives_both_commands_on_a_line_of_their_own(command):
    assert f"\npython -m pip install -r requirements.txt && {command}\n" in README


def test_readme_is_short_enough_to_be_read():
    assert len(README.splitlines()) <= 200


def test_readme_names_the_versions_of_python_that_ci_tests():
    workflow = yaml.safe_load((PROJECT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))
    *first, last = workflow["jobs"]["check"]["strategy"]["matrix"]["python"]
    assert f"You need Python {', '.join(first)} or {last} " in README


def test_readme_names_every_command():
    assert set(command_list.list_commands()) | {"runs"} <= named_in(PROJECT / "README.md")
    (row,) = re.findall(r"^\| (.*) \| `python wizard\.py runs` \|$", README, re.MULTILINE)
    assert re.findall(r"`([a-z]+)`", row) == [*BELOW_RUNS]


@pytest.mark.parametrize(
    ("page", "command"), COMMANDS, ids=[f"{page.relative_to(PROJECT)}: {command}" for page, command in COMMANDS]
)
def test_a_printed_command_can_be_typed(page, command):
    name, *words = shlex.split(command)
    if (name, words) == ("runs", []):
        return
    if name == "runs":
        name = f"runs {words.pop(0)}"
    found = build_command(name).make_context(name, words).params  # refuses unknown options
    if "presets" in found:
        known = presets.list_presets(registry.find_stage(name).presets)
        given = found["presets"] or []
        assert {given} if isinstance(given, str) else {*given} <= {*known} | INVENTED_MODELS
    changed = {text.partition("=")[0] for text in found.get("set") or ()}
    assert changed <= (list_parts(name) | INVENTED_STEPS if changed else set())


@pytest.mark.parametrize("words", ["--invented", "--json --metrics auc"])
def test_a_printed_command_with_an_invented_option_would_be_noticed(words):
    with pytest.raises(TyperException):
        build_command("compare").make_context("compare", words.split())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_options_in_a_text_exist(page, options_of_the_program):
    names = [*command_list.list_commands(), *(f"runs {name}" for name in BELOW_RUNS)]
    known = options_of_the_program.union(OPTIONS_OF_PIP, *map(list_options, names))
    assert set(OPTION.findall(page.read_text(encoding="utf-8"))) <= known


def test_options_that_many_commands_share_are_described(options_of_the_program):
    """Those of one command are in its help, which takes them from the settings."""
    names = command_list.list_commands()
    shared = options_of_the_program.union(*(list_options(name) - list_settings(name) for name in names))
    assert len(shared) > 10
    described = OPTION.findall(README + (PROJECT / "configs" / "README.md").read_text(encoding="utf-8"))
    assert shared - set(described) == set()


@pytest.mark.parametrize("name", [*command_list.list_commands(), *(f"runs {name}" for name in BELOW_RUNS)])
def test_every_option_has_help(name):
    assert [one.name for one in build_command(name).params if not one.help] == []


@pytest.mark.parametrize(("title", "folder"), [("Models", "models"), ("Preprocessing presets", "preprocess")])
def test_the_page_on_presets_describes_each_one_and_no_other(title, folder):
    page = (PROJECT / "configs" / "README.md").read_text(encoding="utf-8")
    section = page.partition(f"## {title}\n")[2].partition("\n## ")[0]
    _, *rows = re.findall(r"^\| ([^|]*) \|", section, re.MULTILINE)
    described = [name.removesuffix(" (default)") for row in rows for name in row.split(", ")]
    assert sorted(described) == sorted(presets.list_presets(folder))


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
