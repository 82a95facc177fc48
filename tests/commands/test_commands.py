"""What every command declares: help, a summary, and a question for each setting."""

import pytest

from tfm.core import command_list, registry

COMMANDS = command_list.list_commands()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_summary_and_help(name):
    assert command_list.read_summary(name) not in ("", name)
    assert len(command_list.read_summary(name)) <= 60


@pytest.mark.parametrize("name", COMMANDS)
def test_every_setting_has_a_unique_name_and_a_question(name):
    fields = registry.find_command(name).list_fields()
    assert len({field.name for field in fields}) == len(fields)
    for field in fields:
        assert field.info.description, f"{field.name} has no docstring"
        assert field.question


def test_shared_settings_have_one_text():
    texts = {}
    for name in COMMANDS:
        for field in registry.find_command(name).list_fields():
            if (name, field.name) != ("pretrain", "fold"):  # which it leaves out
                place = (field.name, field.input, type(field.default))
                texts.setdefault(place, {}).setdefault(field.question, []).append(name)
    shared = ("fold", "threshold", "extra", "extends", "pooling", "beta", "label_percent", "unlabelled", "loss_on")
    for (setting, *_), found in texts.items():
        assert setting not in shared or len(found) == 1, f"{setting}: {found}"
