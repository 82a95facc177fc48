"""What is imported is declared, and the installed versions that are written down are among those that are allowed."""

import ast
import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

PROJECT = Path(__file__).resolve().parent.parent
OURS = {"tfm", "tests", *sys.stdlib_module_names}


def read_requirements(path: Path) -> dict[str, Requirement]:
    lines = [line.partition(" #")[0].strip() for line in path.read_text().splitlines()]
    found = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {normalise(one.name): one for one in found}


def normalise(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def list_imports(source: str) -> set[str]:
    """The packages that are imported, in functions too."""
    names: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.append(node.module or "")
    return {name.partition(".")[0] for name in names} - OURS


def find_undeclared(imports: set[str]) -> set[str]:
    declared = read_requirements(PROJECT / "requirements.txt").keys()
    providers = importlib.metadata.packages_distributions()
    return {name for name in imports if not {normalise(one) for one in providers.get(name, [])} & declared}


def test_every_imported_package_is_declared():
    folders = (PROJECT / "tfm", PROJECT / "tests")
    imports = [list_imports(path.read_text()) for folder in folders for path in folder.rglob("*.py")]
    assert find_undeclared(set().union(*imports) - {"packaging"}) == set()  # pytest brings packaging


@pytest.mark.parametrize("planted", ["import wheel", "def f():\n    from pip._internal import main"])
def test_a_planted_import_of_an_undeclared_package_is_caught(planted):
    assert find_undeclared(list_imports(planted))


def test_the_versions_that_were_installed_are_allowed():
    constraints = read_requirements(PROJECT / ".github" / "constraints.txt")
    for name, allowed in read_requirements(PROJECT / "requirements.txt").items():
        (pinned,) = constraints[name].specifier
        assert pinned.operator == "=="
        assert allowed.specifier.contains(pinned.version, prereleases=True), name


def test_hubs_are_told_nothing_about_their_users():
    code = "import tfm, huggingface_hub.constants as c; assert c.HF_HUB_DISABLE_TELEMETRY"
    assert subprocess.run([sys.executable, "-c", code], cwd=PROJECT, check=False).returncode == 0
