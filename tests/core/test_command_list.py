"""Commands are listed without being imported."""

import subprocess
import sys

import pytest

from tfm.core import command_list
from tfm.core.errors import SettingsError


def test_every_shipped_command_is_listed_once():
    names = command_list.list_commands()
    files = {path.stem.replace("_", "-") for path in command_list.COMMANDS.glob("[!_]*.py")}
    assert sorted(names) == sorted(files)
    assert all(map(command_list.is_shipped, names))


def test_listing_imports_no_command():
    script = """
import sys
from tfm.core import command_list
for name in command_list.list_commands():
    assert command_list.read_summary(name)
    command_list.read_explanation(name)
print([name for name in sys.modules if name.startswith("tfm.commands") or name == "pydantic"])
"""
    listed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert listed.stdout.strip() == "[]"


WRONG = {"typed": "trian", "base": "_base", "path": "../train", "module": "tfm.commands.train", "empty": ""}
WRONG["long"] = "x" * 70_000


@pytest.mark.parametrize("name", WRONG.values(), ids=WRONG)
def test_a_name_that_does_not_ship_is_refused(name):
    with pytest.raises(SettingsError) as refused:
        command_list.find_file(name)
    assert "train" in refused.value.hint
    assert len(refused.value.message) < 100
