"""Settings come about in one place, from words a person gives, and say plainly what does not do."""

from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import yaml
from pydantic import Field

from tfm.core import command_list, registry
from tfm.core.errors import SettingsError
from tfm.core.settings import presets
from tfm.core.settings.fields import list_fields
from tfm.core.settings.resolve import resolve
from tfm.core.settings.schema import IMPORTANT, NOT_IN_RUN_KEY, InputPath, Settings, Switches
from tfm.core.settings.serialize import collect_key_values, format_commented_yaml


class Optim(Settings):
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    """How fast to learn
    Larger is faster until it breaks."""
    layers: list[int] = []  # noqa: RUF012
    """Which layers"""


class Crop(Settings):
    """Less film."""

    x: int = 1
    y: list[int] = [2, 3]  # noqa: RUF012


class Turn(Settings):
    """Another way up."""


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


def test_defaults_give_way_to_the_preset_and_the_preset_to_what_was_given():
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
def test_words_are_read_in_the_settings_own_type(name, text, value):
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
def test_a_part_is_switched_by_its_name_and_a_dot_reaches_into_it_in_the_presets_order(given, steps):
    resolved = resolve(Toy, PRESET, given).steps
    assert list(resolved) == list(steps)
    assert resolved["turn"] == steps["turn"]
    assert _checked(resolved["crop"]) == _checked(steps["crop"])


def _checked(held):
    """What a part holds is for its own class to read."""
    return held if isinstance(held, bool) else Crop.model_validate(held)


def test_a_value_given_for_a_part_that_the_preset_has_off_switches_it_on():
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
def test_a_part_or_value_that_is_not_there_is_said_in_words(given, says):
    with pytest.raises(SettingsError) as caught:
        resolve(Toy, PRESET, given)
    assert says in f"{caught.value.message} {caught.value.hint}"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"epochs": "0"}, "epochs"),
        ({"epochs": "many"}, "many"),
        ({}, "epochs: is required"),
        ({"epochs": 1, "learning_rate": -1}, "learning-rate"),
    ],
)
def test_what_does_not_do_is_said_with_the_settings_name_and_question(given, says):
    with pytest.raises(SettingsError) as caught:
        resolve(Toy, {}, given)
    assert says in caught.value.message
    assert caught.value.fields
    assert caught.value.hint


def test_an_unknown_key_is_refused_with_the_nearest_known_one():
    with pytest.raises(SettingsError) as caught:
        resolve(Toy, {}, {"epochs": 1, "lerning_rate": 3})
    assert "lerning_rate" in caught.value.message
    assert "learning_rate" in caught.value.hint
    with pytest.raises(SettingsError):
        resolve(Toy, {"optim": {"momentum": 1}}, {"epochs": 1})


def test_a_path_that_is_not_there_is_refused(tmp_path: Path):
    class Reads(Settings):
        download: InputPath

    with pytest.raises(SettingsError, match="does not exist"):
        resolve(Reads, {}, {"download": str(tmp_path / "absent")})
    assert resolve(Reads, {}, {"download": str(tmp_path)}).download == tmp_path


def test_only_what_differs_and_matters_is_part_of_a_key():
    assert collect_key_values(resolve(Toy, {}, {"epochs": 3, "threads": 8, "patience": 5})) == {"epochs": 3}


def test_the_yaml_of_a_run_repeats_it_and_carries_the_questions():
    settings = resolve(Toy, {}, {"epochs": 3, "layers": "1,2", "crop.x": 4})
    text = format_commented_yaml(settings)
    assert "# How fast to learn" in text
    assert resolve(Toy, {}, yaml.safe_load(text)) == settings


# --- what ships -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", command_list.list_commands())
def test_every_setting_has_a_question_and_a_name_of_its_own(name):
    found = list_fields(registry.find_command(name).settings)
    names = [field.name for field in found]
    names += [part for field in found for part in field.parts]
    assert len(set(names)) == len(names), "names of settings and of parts are flat on the command line"
    assert [field.name for field in found if not field.info.description] == []
    assert [field.question for field in found if len(field.question) > 100] == []


@pytest.mark.parametrize("name", command_list.list_commands())
def test_every_summary_fits_a_line_of_a_small_terminal(name):
    assert 10 < len(command_list.read_summary(name)) <= 62


def preset_files():
    return sorted(path for folder in ("preprocess", "models") for path in (presets.CONFIGS / folder).glob("*.yaml"))


@pytest.mark.parametrize("path", preset_files(), ids=lambda path: path.stem)
def test_every_preset_that_ships_loads(path):
    preset = presets.load_preset(path.parent.name, path.stem)
    stage = registry.find_command(preset.stage)
    needed = {field.name: "x" for field in list_fields(stage.settings) if field.is_required and field.input}
    assert resolve(stage.settings, preset.settings, needed)


def test_a_preset_with_an_unknown_key_is_refused(tmp_path: Path):
    (tmp_path / "mine.yaml").write_text("title: x\nabout: y\nstage: train\nsetings: {}\n")
    with pytest.raises(SettingsError, match="must contain title"):
        presets.load_preset("models", "mine", own=tmp_path)


def test_an_unknown_preset_names_the_nearest():
    with pytest.raises(SettingsError) as caught:
        presets.load_preset("models", "mammocn")
    assert "MammoCNN" in caught.value.hint


def test_what_can_be_given_in_two_ways_is_refused_in_one_line():
    with pytest.raises(SettingsError) as refused:
        resolve(Toy, {}, {"epochs": 1, "batch_size": "many"})
    assert refused.value.message == "batch-size: must be a whole number, or must be 'auto' (given: many)"
