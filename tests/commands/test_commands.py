"""What every command declares: help, a summary, and a question for each setting."""

import pytest

from tfm.core import registry
from tfm.core.settings import presets

COMMANDS = presets.names()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_summary_and_help(name):
    assert presets.summary(name) not in ("", name)
    assert len(presets.summary(name)) <= 60


@pytest.mark.parametrize("name", COMMANDS)
def test_every_setting_has_a_question(name):
    for field in registry.asked(registry.find(name)):
        assert field.info.description, f"{field.name} has no docstring"
        assert field.question


def test_shared_settings_have_one_text():
    texts = {}
    for name in COMMANDS:
        for field in registry.asked(registry.find(name)):
            if field.name in ("dataset", "fold") and field.default in (None, 1) and name != "pretrain":
                texts.setdefault((field.name, field.input), set()).add(field.info.description)
    assert all(len(found) == 1 for found in texts.values()), texts
