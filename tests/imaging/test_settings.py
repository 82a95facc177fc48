"""A chain is written in YAML, changed by dotted names and validated, without importing an array library."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tfm.core.errors import SettingsError
from tfm.core.files import read_yaml
from tfm.core.settings.fields import list_fields
from tfm.core.settings.resolve import resolve
from tfm.imaging.settings import STEPS, ChainSettings

REPOSITORY = Path(__file__).resolve().parents[2]
PRESETS = sorted((REPOSITORY / "configs" / "preprocess").glob("*.yaml"))
FAST = read_yaml(REPOSITORY / "configs" / "preprocess" / "fast.yaml")["settings"]


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_every_preset_is_described_and_resolves(path: Path) -> None:
    preset = read_yaml(path)
    assert list(preset) == ["title", "about", "stage", "settings"]
    steps = preset["settings"]["steps"]
    assert set(steps) == set(STEPS), "a preset lists every step, on or off, in its place"
    chosen = resolve(ChainSettings, preset["settings"], {}).parse_steps()
    assert list(chosen) == [name for name in steps if steps[name] is not False]


def test_every_step_has_a_file_and_every_file_has_settings() -> None:
    files = {path.stem for path in (REPOSITORY / "tfm" / "imaging" / "steps").glob("*.py")} - {"__init__"}
    assert files == set(STEPS)


@pytest.mark.parametrize("name", STEPS)
def test_every_step_and_setting_is_described(name: str) -> None:
    assert STEPS[name].__doc__
    assert STEPS[name]()  # every setting has a default
    for field in list_fields(STEPS[name]):
        assert field.info.description, field.name


def test_resolved_chain_has_every_setting_in_the_order_of_the_preset() -> None:
    chain = resolve(ChainSettings, {"steps": {"intensity": True, "resize": {"height": 64}}}, {})
    assert chain.steps == {
        "intensity": {"stretch": "breast", "low": 0.5, "high": 99.9, "bits": 8},
        "resize": {"height": 64, "width": 512},
    }
    assert resolve(ChainSettings, chain.model_dump(), {}) == chain


def test_dotted_names_change_settings_of_a_step() -> None:
    chain = resolve(ChainSettings, FAST, {"resize.height": "128", "intensity.bits": "16", "steps.orient": "false"})
    assert chain.steps["resize"] == {"height": 128, "width": 320}
    assert chain.parse_steps()["intensity"].model_dump()["bits"] == 16
    assert list(chain.steps) == ["crop_breast", "resize", "annotations", "intensity"]


def test_step_that_is_switched_on_keeps_its_place_in_the_preset() -> None:
    chain = resolve(ChainSettings, FAST, {"blur": "true", "clahe.clip_limit": "3"})
    assert list(chain.steps) == ["crop_breast", "blur", "resize", "annotations", "orient", "intensity", "clahe"]
    assert chain.steps["clahe"] == {"clip_limit": 3.0, "tiles": 8}


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ({"resize": True, "crop_breast": True}, "crop_breast must come before resize"),
        ({"resize": True, "border": True}, "border must come before resize"),
        ({"annotations": True, "polarity": True, "resize": True}, "polarity must come before annotations"),
    ],
)
def test_impossible_order_is_refused(steps: dict[str, bool], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        resolve(ChainSettings, {"steps": steps}, {})


@pytest.mark.parametrize("frame", ["first", "last", 12])
def test_frame_is_a_name_or_a_number(frame: str | int) -> None:
    assert resolve(ChainSettings, FAST, {"frame": str(frame)}).frame == frame
    assert resolve(ChainSettings, FAST, {}).frame == "middle"


@pytest.mark.parametrize("frame", ["second", "0", "-1", "1.5"])
def test_invalid_frame_is_refused(frame: str) -> None:
    with pytest.raises(SettingsError, match="first, middle, last or a number"):
        resolve(ChainSettings, FAST, {"frame": frame})


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"steps": {"resise": {}}}, "did you mean resize"),
        ({"steps": {"sharpen_all": {}}}, "polarity, border"),
        ({"resize.heigth": "64"}, "did you mean height"),
        ({"resize.height": "0"}, "greater than or equal to 16"),
        ({"intensity.bits": "12"}, "8 or 16"),
        ({"intensity.bits": "many"}, "intensity"),
        ({"blur.size": "4"}, "must be odd"),
        ({"clahe.clip_limit": "inf"}, "finite"),
        ({"resize": "false"}, "resize is missing"),
        ({"steps": dict.fromkeys(FAST["steps"], False)}, "resize is missing"),
    ],
)
def test_invalid_step_settings_are_refused_with_advice(given: dict[str, object], words: str) -> None:
    with pytest.raises(SettingsError, match=words) as refused:
        resolve(ChainSettings, FAST, given)
    assert refused.value.fields == ("steps",)


def test_settings_import_no_array_library() -> None:
    code = "import sys, tfm.imaging.settings; sys.exit(bool({'numpy', 'cv2', 'pydicom'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=False).returncode == 0


@pytest.mark.parametrize(
    ("step", "value"),
    [("blur.sigma_color", "30"), ("border.share", "0.1"), ("intensity.low", "2")],
)
def test_an_unused_value_of_a_step_is_refused(step, value):
    idle = {"blur.filter": "gaussian", "border.cut": "found", "intensity.stretch": "maximum", "resize": True}
    with pytest.raises(SettingsError, match=rf"{step.partition('.')[2].replace('_', '-')} has no effect when"):
        resolve(ChainSettings, {}, idle | {step: value})
