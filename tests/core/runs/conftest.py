"""Presets of the toys, in a configs folder of their own."""

from dataclasses import replace

import pytest
import yaml

from tests.toys import learn as toy
from tfm.core.settings import presets as offers


@pytest.fixture
def classes(tmp_path, monkeypatch):
    """Give the toy its own presets, some of which start another command or a plan."""
    folder = tmp_path / "configs" / "classes"
    folder.mkdir(parents=True)
    chosen = {"Latin": ("learn", {}), "Greek": ("learn", {}), "Counting": ("count", {}), "Lesson": ("lesson", {})}
    chosen |= {"Broken": ("lesson", {"fail_at": 7}), "Halting": ("lesson", {"halt_at": 7})}
    for name, (stage, settings) in chosen.items():
        preset = {"title": name, "about": name, "stage": stage, "settings": settings}
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(preset))
    monkeypatch.setattr(offers, "CONFIGS", tmp_path / "configs")
    monkeypatch.setattr(toy, "COMMAND", replace(toy.COMMAND, presets="classes"))
