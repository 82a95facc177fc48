"""A setting without effect is refused if given, and part of no key."""

from typing import Annotated, Literal

import pytest

from tfm.core import command_list, registry
from tfm.core.errors import SettingsError
from tfm.core.settings.base import NoEffectWhen, Settings
from tfm.core.settings.fields import list_fields
from tfm.core.settings.resolve import resolve
from tfm.core.settings.serialize import collect_key_values


class Edge(Settings):
    steep: float = 1.0
    """How steep"""
    wide: Annotated[int, NoEffectWhen("steep", 0)] = 3
    """How wide"""


class Filter(Settings):
    kind: Literal["plain", "edges"] = "plain"
    """Which filter"""
    edge: Annotated[Edge, NoEffectWhen("kind", "plain")] = Edge()


def test_a_given_setting_without_effect_is_refused():
    with pytest.raises(SettingsError, match="steep has no effect when kind is plain") as refusal:
        resolve(Filter, {}, {"steep": "0.5"})
    assert "steep" in refusal.value.hint
    assert "kind" in refusal.value.hint
    assert refusal.value.fields == ("steep",)
    assert resolve(Filter, {}, {"steep": "0.5", "kind": "edges"}).edge.steep == 0.5
    with pytest.raises(SettingsError, match="wide has no effect when steep is 0"):
        resolve(Filter, {}, {"steep": "0", "kind": "edges", "wide": 4})


def test_a_preset_value_without_effect_is_no_part_of_settings_or_key():
    preset = {"kind": "edges", "steep": 0.5}
    assert collect_key_values(resolve(Filter, preset, {})) == {"kind": "edges", "steep": 0.5}
    assert collect_key_values(resolve(Filter, preset, {"kind": "plain"})) == {}


def test_an_explanation_says_when_a_setting_has_no_effect():
    steep = next(field for field in list_fields(Filter) if field.name == "steep")
    assert steep.explanation == "It has no effect when kind is plain."
    wide = next(field for field in list_fields(Filter) if field.name == "wide")
    assert wide.explanation == "It has no effect when kind is plain, or when steep is 0."


@pytest.mark.parametrize("name", command_list.list_commands())
def test_every_mark_names_a_setting_of_its_command(name):
    """Groups that other commands share may also name `trained`."""
    found = list_fields(registry.find_command(name).settings)
    classes = [found, *(field.list_part_fields(part) for field in found for part in field.parts)]
    for group in classes:
        names = {field.name.rpartition(".")[2] for field in group}
        assert {mark.setting for field in group for mark in field.no_effect} - names <= {"trained"}
    if name == "train":
        assert "trained" in {field.name for field in found}
