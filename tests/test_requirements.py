"""What is imported is declared, the installed versions that are written down are allowed, and so are the licences."""

import ast
import fnmatch
import importlib.metadata
import re
import subprocess
import sys
from collections.abc import Mapping
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


def list_needed_packages() -> dict[str, importlib.metadata.Distribution]:
    """What requirements.txt names, and what that needs on this machine."""
    installed = {normalise(one.name): one for one in importlib.metadata.distributions()}
    waiting, seen = [*read_requirements(PROJECT / "requirements.txt").values()], set()
    needed = {}
    while waiting:
        requirement = waiting.pop()
        name = normalise(requirement.name)
        if (name, *requirement.extras) in seen:
            continue
        seen.add((name, *requirement.extras))
        needed[name] = installed[name]
        extras = [{"extra": extra} for extra in ("", *requirement.extras)]
        further = [Requirement(text) for text in needed[name].requires or ()]
        waiting += [one for one in further if not one.marker or any(map(one.marker.evaluate, extras))]
    return needed


def list_licences(package: importlib.metadata.Distribution) -> set[str]:
    stated = package.metadata
    classifiers = [one.split(" :: ")[1:] for one in stated.get_all("Classifier", []) if one.startswith("License")]
    licences = {one[-1] for one in classifiers} - {"OSI Approved"}
    if not licences or "License-Expression" in stated:
        text = stated.get("License-Expression") or stated.get("License", "").partition("\n")[0]
        licences = {word.strip("() ") for word in re.split(r" (?:AND|OR|WITH) ", text)}
    return licences


def find_unaccepted(packages: Mapping[str, importlib.metadata.Distribution]) -> dict[str, set[str]]:
    """The packages that tests/README.md accepts neither by licence nor by name, with what they state."""
    section = (PROJECT / "tests" / "README.md").read_text(encoding="utf-8").partition("\n## Packages\n")[2]
    rows = re.findall(r"^\|.*\|$", section.partition("\n## ")[0], re.MULTILINE)
    accepted = {word for row in rows for word in re.findall(r"`([^`]+)`", row)}
    others = {name for name in packages if not any(fnmatch.fnmatch(name, word) for word in accepted)}
    return {name: unknown for name in others if (unknown := list_licences(packages[name]) - accepted)}


def test_every_package_has_an_accepted_licence():
    packages = list_needed_packages()
    assert len(packages) > 100
    assert find_unaccepted(packages) == {}


@pytest.mark.parametrize(
    "planted",
    [
        "License-Expression: MIT AND (AGPL-3.0-only)",
        "License: SSPL",
        "Classifier: License :: OSI Approved :: GNU General Public License v3 (GPLv3)",
        "Summary: Says nothing of its licence",
    ],
)
def test_a_planted_package_of_another_licence_is_caught(planted, tmp_path):
    (tmp_path / "METADATA").write_text(f"Metadata-Version: 2.4\nName: planted\nVersion: 1\n{planted}\n")
    assert find_unaccepted({"planted": importlib.metadata.PathDistribution(tmp_path)})
