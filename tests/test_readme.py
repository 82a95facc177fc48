"""README is the front door: what it says to type works, and nothing it should name is missing."""

import re
import shlex
from pathlib import Path

import pytest

from tfm.core import registry
from tfm.core.settings import presets

PROJECT = Path(__file__).resolve().parent.parent
README = (PROJECT / "README.md").read_text(encoding="utf-8")
COMMANDS = sorted(set(re.findall(r"python wizard\.py ([a-z][^`\n&]*)", README)))


def test_both_commands_stand_word_for_word():
    for what in ("python wizard.py demo", "python -m pytest"):
        assert f"\npython -m pip install -r requirements.txt && {what}\n" in README


def test_every_command_of_the_menu_is_in_the_readme():
    named = {command.split()[0] for command in COMMANDS}
    assert set(presets.names()) | {"runs"} <= named


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_in_the_readme_exists_with_its_options(command):
    name, *words = shlex.split(command)
    if name == "runs":
        return
    known = {f"--{leaf.name.replace('_', '-')}" for leaf in registry.asked(registry.find(name))}
    assert {word for word in words if word.startswith("--")} <= known | {
        "--workspace",
        "--json",
        "--detach",
        "--quiet",
        "--preset",
        "--set",
    }


def test_every_model_preset_is_in_the_readme():
    assert [name for name in presets.preset_names("models") if name not in README] == []


def test_links_to_files_of_the_project_lead_somewhere():
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", README):
        assert (PROJECT / target).is_file(), target


def test_it_says_that_this_is_no_diagnosis():
    assert "For research and teaching only" in README
