"""Values become settings in one place, and invalid ones are reported by setting."""

from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import yaml
from pydantic import Field

from tfm.core import command_list, registry
from tfm.core.errors import SettingsError
from tfm.core.settings.base import IMPORTANT, NOT_IN_RUN_KEY, InputPath, Settings, Switches
from tfm.core.settings.fields import list_fields
from tfm.core.settings.resolve import resolve
from tfm.core.settings.serialize import collect_key_values, format_commented_yaml


class Optim(Settings):
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    """How fast to learn
    Larger is faster until it breaks."""
    layers: list[int] = []  # noqa: RUF012
    """Which layers"""


class Crop(Settings):
    """A smaller image."""

    x: int = 1
    y: list[int] = [2, 3]  # noqa: RUF012


class Turn(Settings):
    """A rotated image."""


class Toy(Settings):
    epochs: Annotated[int, Field(ge=1), IMPORTANT]
    """How many passes"""
    batch_size: int | Literal["auto"] = "auto"
    """Images in a batch"""
    patience: int | None = 5
    """Stop after how many"""
    steps: Annotated[dict[str, dict[str, Any] | bool], Switches({"crop": Crop, "turn": Turn})] = {}  # noqa: RUF012
    """Steps"""
    threads: Annotated[int, NOT_IN_RUN_KEY] = 2
    """Threads"""
    optim: Optim = Optim()


def test_given_values_override_the_preset_and_the_preset_overrides_defaults():
    preset = {"epochs": 10, "optim": {"learning_rate": 0.1}}
    assert resolve(Toy, preset, {}).optim.learning_rate == 0.1
    settings = resolve(Toy, preset, {"learning_rate": "3e-4"})
    assert (settings.epochs, settings.optim.learning_rate, settings.patience) == (10, 3e-4, 5)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("batch_size", "16", 16),
        ("batch_size", "auto", "auto"),
        ("patience", "none", None),
        ("patience", "7", 7),
        ("layers", "1, 2,3", [1, 2, 3]),
        ("layers", "[4]", [4]),
        ("learning_rate", "1e-3", 0.001),
    ],
)
def test_text_is_converted_to_the_type_of_the_setting(name, text, value):
    settings = resolve(Toy, {}, {"epochs": "1", name: text})
    assert (getattr(settings, name, None) or getattr(settings.optim, name, None)) == value


PRESET = {"epochs": 1, "steps": {"turn": False, "crop": {"x": 1, "y": [2]}}}


@pytest.mark.parametrize(
    ("given", "steps"),
    [
        ({"crop.x": "9"}, {"turn": False, "crop": {"x": 9, "y": [2]}}),
        ({"crop.y": "7, 8"}, {"turn": False, "crop": {"x": 1, "y": ["7", "8"]}}),
        ({"turn": "true"}, {"turn": True, "crop": {"x": 1, "y": [2]}}),
        ({"crop": "false"}, {"turn": False, "crop": False}),
        ({"crop": True}, {"turn": False, "crop": {"x": 1, "y": [2]}}),
        ({"crop": True, "crop.x": 5}, {"turn": False, "crop": {"x": 5, "y": [2]}}),
        ({"crop.x": 5, "crop": True}, {"turn": False, "crop": {"x": 5, "y": [2]}}),
        ({"crop.x": 5, "crop": False}, {"turn": False, "crop": False}),
        ({"steps.turn": "true", "steps.crop.x": "3"}, {"turn": True, "crop": {"x": 3, "y": [2]}}),
        ({"steps": "{crop: false}"}, {"turn": False, "crop": False}),
    ],
    ids=str,
)
def test_parts_are_switched_by_name_and_set_with_a_dot_in_the_order_of_the_preset(given, steps):
    resolved = resolve(Toy, PRESET, given).steps
    assert list(resolved) == list(steps)
    assert resolved["turn"] == steps["turn"]
    assert validate_part(resolved["crop"]) == validate_part(steps["crop"])


def validate_part(value):
    return value if isinstance(value, bool) else Crop.model_validate(value)


def test_a_value_for_a_part_that_is_off_switches_it_on():
    assert resolve(Toy, {"epochs": 1, "steps": {"crop": False}}, {"crop.x": 4}).steps == {"crop": {"x": 4}}


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"corp": True}, "did you mean crop"),
        ({"corp.x": 1}, "did you mean crop"),
        ({"steps.corp": True}, "did you mean crop"),
        ({"crop.xx": 1}, "crop contains nothing called xx: did you mean x?"),
        ({"turn.x": 1}, "turn has no settings"),
        ({"crop": "perhaps"}, "crop: must be true or false"),
        ({"crop": "["}, "cannot be read"),
    ],
    ids=str,
)
def test_an_unknown_part_or_value_is_refused(given, says):
    with pytest.raises(SettingsError) as caught:
        resolve(Toy, PRESET, given)
    assert says in f"{caught.value.message} {caught.value.hint}"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"epochs": "0"}, "epochs"),
        ({"epochs": "many"}, "many"),
        ({}, "epochs is missing"),
        ({"epochs": 1, "learning_rate": -1}, "learning-rate"),
    ],
)
def test_an_invalid_value_is_refused_with_the_setting(given, says):
    with pytest.raises(SettingsError) as caught:
        resolve(Toy, {}, given)
    assert says in caught.value.message
    assert caught.value.fields
    assert caught.value.hint


def test_an_unknown_setting_is_refused_with_the_most_similar_one():
    with pytest.raises(SettingsError) as caught:
        resolve(Toy, {}, {"epochs": 1, "lerning_rate": 3})
    assert "lerning_rate" in caught.value.message
    assert "learning_rate" in caught.value.hint
    with pytest.raises(SettingsError):
        resolve(Toy, {"optim": {"momentum": 1}}, {"epochs": 1})


def test_a_missing_path_is_refused(tmp_path: Path):
    class Reads(Settings):
        download: InputPath

    with pytest.raises(SettingsError, match="does not exist"):
        resolve(Reads, {}, {"download": str(tmp_path / "absent")})
    assert resolve(Reads, {}, {"download": str(tmp_path)}).download == tmp_path


def test_a_key_has_only_values_that_differ_and_matter():
    assert collect_key_values(resolve(Toy, {}, {"epochs": 3, "threads": 8, "patience": 5})) == {"epochs": 3}


def test_the_yaml_of_settings_has_the_questions_and_can_be_read_back():
    settings = resolve(Toy, {}, {"epochs": 3, "layers": "1,2", "crop.x": 4})
    text = format_commented_yaml(settings)
    assert "# How fast to learn" in text
    assert resolve(Toy, {}, yaml.safe_load(text)) == settings


@pytest.mark.parametrize("name", command_list.list_commands())
def test_every_setting_has_a_question_and_a_unique_name(name):
    found = list_fields(registry.find_command(name).settings)
    names = [field.name for field in found]
    names += [part for field in found for part in field.parts]
    assert len(set(names)) == len(names), "names of settings and of parts are flat on the command line"
    assert [field.name for field in found if not field.info.description] == []
    assert [field.question for field in found if len(field.question) > 100] == []


def test_a_value_of_neither_alternative_is_refused_in_one_line():
    with pytest.raises(SettingsError) as refused:
        resolve(Toy, {}, {"epochs": 1, "batch_size": "many"})
    assert refused.value.message == "batch-size must be a whole number, or must be 'auto' (given: many)"
