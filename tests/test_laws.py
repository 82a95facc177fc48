"""The laws of the house, read from the code itself; each is also shown to catch a planted violation."""

import ast
import functools
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tfm.core import command_list, registry

PROJECT = Path(__file__).resolve().parent.parent
FLOORS = ["core", "metrics", "imaging", "data", "models", "training", "analysis", "commands", "pipelines", "ui"]
ONLY_UI = {"questionary", "rich", "shellingham", "typer"}
LIGHT = {"pydantic", "pydantic_core", "yaml", "filelock", "tfm"} | set(sys.stdlib_module_names)


def imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.level == 0:
        return [node.module or ""] + [f"{node.module}.{alias.name}" for alias in node.names]
    return []


def all_imports(source: str) -> list[str]:
    """Those inside functions too."""
    return [name for node in ast.walk(ast.parse(source)) for name in imported(node)]


def module_level_imports(source: str) -> list[str]:
    """What runs when the module is imported: not inside functions, not under TYPE_CHECKING."""

    def visit(body: list[ast.stmt]):
        for node in body:
            yield from imported(node)
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
                yield from visit(node.orelse)
            elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                for part in ("body", "orelse", "finalbody"):
                    yield from visit(getattr(node, part, []))

    return list(visit(ast.parse(source).body))


def floor_of(path: Path) -> str:
    return path.relative_to(PROJECT / "tfm").parts[0].removesuffix(".py")


def climbing(floor: str, source: str) -> list[str]:
    below = set(FLOORS[: FLOORS.index(floor) + 1])
    wrong = []
    for name in all_imports(source):
        parts = name.split(".")
        if parts[0] == "tfm" and len(parts) > 1 and parts[1] in FLOORS and parts[1] not in below:
            wrong.append(name)
        if parts[:2] == ["tfm", "pipelines"] and floor == "ui":
            wrong.append(name)  # ui starts a command by its name
        if parts[0] in ONLY_UI and floor != "ui":
            wrong.append(name)
    return wrong


def must_be_light(path: Path) -> bool:
    return floor_of(path) in ("core", "commands", "ui") or path.name == "settings.py"


def heavy(floor: str, source: str) -> list[str]:
    allowed = LIGHT | (ONLY_UI | {"prompt_toolkit", "click"} if floor == "ui" else set())
    wrong = [name for name in module_level_imports(source) if name.split(".")[0] not in allowed]
    floors_that_are_light = {"core", "commands", "ui"}
    for name in module_level_imports(source):
        parts = name.split(".")
        working_floor = parts[0] == "tfm" and len(parts) > 1 and parts[1] in set(FLOORS) - floors_that_are_light
        if working_floor and "settings" not in parts:
            wrong.append(name)
    return wrong


SOURCES = [
    path for path in sorted((PROJECT / "tfm").rglob("*.py")) if path.parent != PROJECT / "tfm" or path.stem in FLOORS
]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PROJECT)))
def test_imports_go_down_the_staircase(path):
    assert climbing(floor_of(path), path.read_text()) == []


@pytest.mark.parametrize(
    "path", [path for path in SOURCES if must_be_light(path)], ids=lambda path: str(path.relative_to(PROJECT))
)
def test_what_the_menu_imports_is_light(path):
    assert heavy(floor_of(path), path.read_text()) == []


@pytest.mark.parametrize(
    ("floor", "planted"),
    [
        ("core", "from tfm.data.download import catalog"),
        ("metrics", "def f():\n    from tfm.training.loop import fit"),
        ("commands", "import tfm.ui.screens.home"),
        ("data", "def f():\n    import rich.table"),
        ("training", "import questionary"),
        ("analysis", "from tfm.commands.train import Train"),
        ("commands", "def f():\n    from tfm.pipelines.train import train"),
        ("ui", "def f():\n    from tfm.pipelines.train import train"),
    ],
)
def test_a_planted_climb_is_caught(floor, planted):
    assert climbing(floor, planted) != []


@pytest.mark.parametrize(
    ("floor", "planted"),
    [
        ("core", "import numpy"),
        ("commands", "from tfm.data.download import catalog"),
        ("ui", "if True:\n    import torch"),
        ("imaging", "import cv2"),
        ("ui", "try:\n    import pandas\nexcept ImportError:\n    pass"),
    ],
)
def test_a_planted_heavy_import_is_caught(floor, planted):
    assert heavy(floor, planted) != []


def imports_in_functions(source: str) -> list[str]:
    functions = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)]
    return [name for function in functions for node in ast.walk(function) for name in imported(node)[:1]]


def test_commands_and_pipelines_import_at_the_top():
    paths = [path for path in SOURCES if floor_of(path) in ("commands", "pipelines")]
    assert [name for path in paths for name in imports_in_functions(path.read_text())] == []


def test_a_planted_import_in_a_function_is_caught():
    assert imports_in_functions("def f():\n    if True:\n        from tfm.core import files, machine") == ["tfm.core"]


def test_an_import_inside_a_function_is_light_enough():
    assert heavy("ui", "def f():\n    import torch\n    from tfm.data.download import catalog") == []


OPTIONS_OF_EVERY_COMMAND = {
    "accessible",
    "detach",
    "help",
    "json",
    "language",
    "on",
    "preset",
    "quiet",
    "set",
    "workspace",
    "yes",
}


@functools.cache
def options() -> set[str]:
    """Every option of every command."""
    settings = {
        leaf.name for name in command_list.list_commands() for leaf in registry.find_command(name).list_fields()
    }
    return {name.replace("_", "-") for name in settings | OPTIONS_OF_EVERY_COMMAND}


def spelled_commands(source: str) -> list[str]:
    """Every command line and flag of this program that a text in the source spells."""
    texts = [node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant)]
    found = [word for text in texts for word in re.findall(r"wizard\.py|(?<![\w-])--[a-z][a-z-]+", str(text))]
    return [word for word in found if word == "wizard.py" or word[2:].removeprefix("no-") in options()]


SPELLS_FOR_DOCUMENTS = {
    PROJECT / "tfm" / "core" / "settings" / name for name in ("spell_settings.py", "document_command.py")
}


@pytest.mark.parametrize(
    "path",
    [path for path in SOURCES if floor_of(path) != "ui" and path not in SPELLS_FOR_DOCUMENTS],
    ids=lambda path: str(path.relative_to(PROJECT)),
)
def test_only_ui_spells_commands_and_flags(path):
    assert spelled_commands(path.read_text()) == []


@pytest.mark.parametrize(
    "planted",
    [
        'raise RunError("it is paused", hint=f"resume it: python wizard.py runs resume {run.id}")',
        'hint = "choose a smaller --batch-size"',
        'class A:\n    deep: bool = True\n    """Deep or not\n    Leave it out with --no-deterministic."""',
    ],
)
def test_a_planted_flag_is_caught(planted):
    assert spelled_commands(planted) != []


def test_importing_every_stage_and_the_menu_loads_nothing_heavy():
    script = """
import sys
from tfm.core import registry
from tfm.core import command_list
for name in command_list.list_commands():
    registry.find_command(name)
import tfm.ui.cli, tfm.ui.screens.home, tfm.ui.form
print([name for name in ("numpy", "torch", "pandas", "cv2", "pydicom", "matplotlib", "sklearn") if name in sys.modules])
"""
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=PROJECT, check=True)
    assert told.stdout.strip() == "[]"


def test_the_top_level_holds_what_the_plan_names_and_nothing_else():
    listed = subprocess.run(["git", "ls-files"], capture_output=True, text=True, cwd=PROJECT, check=True).stdout.split()
    top = {name.split("/")[0] for name in listed}
    allowed = {"wizard.py", "tfm", "configs", "tests", "requirements.txt", "README.md"}
    assert {name for name in top if not name.startswith(".")} <= allowed


def follow_imports(start: str) -> set[str]:
    """Find the modules of the program and the packages that importing a module loads."""
    found, waiting = set(), [start]
    while waiting:
        name = waiting.pop()
        path = PROJECT / (name.replace(".", "/") + ".py")
        path = path if path.is_file() else PROJECT / name.replace(".", "/") / "__init__.py"
        if name not in found and path.is_file():
            waiting += [*module_level_imports(path.read_text()), name.rpartition(".")[0]]
        found.add(name if path.is_file() else name.split(".")[0])
    return found


@pytest.mark.parametrize("command", ["evaluate", "compare", "report"])
def test_results_are_shown_without_torch(command):
    """Importing torch takes longer than what these commands do."""
    assert "torch" not in follow_imports(f"tfm.pipelines.{command}")


def test_a_planted_import_of_torch_is_followed():
    assert {"torch", "tfm.training.loop"} <= follow_imports("tfm.pipelines.train")
