"""Shipped presets are valid, and invalid ones are refused by name."""

from pathlib import Path

import pytest

from tfm.core import registry
from tfm.core.errors import SettingsError
from tfm.core.settings import presets
from tfm.core.settings.fields import list_fields
from tfm.core.settings.resolve import resolve


def list_preset_files():
    return sorted(path for folder in ("preprocess", "models") for path in (presets.CONFIGS / folder).glob("*.yaml"))


@pytest.mark.parametrize("path", list_preset_files(), ids=lambda path: path.stem)
def test_every_shipped_preset_is_valid(path):
    preset = presets.load_preset(path.parent.name, path.stem)
    stage = registry.find_command(preset.stage)
    needed = {field.name: "x" for field in list_fields(stage.settings) if field.is_required and field.input}
    assert resolve(stage.settings, preset.settings, needed)


def test_a_preset_with_an_unknown_key_is_refused(tmp_path: Path):
    (tmp_path / "mine.yaml").write_text("title: x\nabout: y\nstage: train\nsetings: {}\n")
    with pytest.raises(SettingsError, match=r"mine\.yaml"):
        presets.load_preset("models", "mine", own=tmp_path)


def test_an_unknown_preset_is_refused_with_the_most_similar_one():
    with pytest.raises(SettingsError) as caught:
        presets.load_preset("models", "mammocn")
    assert "MammoCNN" in caught.value.hint
