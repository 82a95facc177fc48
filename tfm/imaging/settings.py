"""The settings of each preprocessing step, and of a chain of steps. No arrays here.
The steps themselves are in `steps/`, one file per name in `STEPS`."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from tfm.core.errors import SettingsError
from tfm.core.settings.base import NoEffectWhen, Settings, Switches
from tfm.core.settings.resolve import resolve


def _check_odd(size: int) -> int:
    if size % 2 == 0:
        raise ValueError("must be odd, so that the filter has a centre pixel")
    return size


class Polarity(Settings):
    """Invert images that are black on white, as some exported images are."""

    turn: Literal["found", "always"] = "found"
    """Which images should be inverted: those found to have a bright background, or always all?
    DICOM files state their polarity and are read accordingly; other image files do not."""


class Border(Settings):
    """Cut off the scanner's bright border."""

    cut: Literal["found", "share"] = "found"
    """How much should be cut off: the bright strips that are found, or a fixed share of each side?"""

    share: Annotated[float, Field(gt=0, lt=0.25), NoEffectWhen("cut", "found")] = 0.05
    """Which share of the height and width should be cut off each side?
    The chest wall is at one side: a fixed share cuts off some tissue with the border."""


class Annotations(Settings):
    """Blacken labels, tape and the film frame."""


class Orient(Settings):
    """Mirror images so that the chest wall is on the left."""


class CropBreast(Settings):
    """Crop to the breast, without the background around it."""

    margin: Annotated[float, Field(ge=0, le=0.5)] = 0.01
    """How wide a margin should be kept around the breast, as a share of the image's height?
    0 crops at the breast mask, which already lies slightly outside the skin line."""


class Resize(Settings):
    """Scale all images to one size."""

    height: Annotated[int, Field(ge=16, le=8192)] = 512
    """How high should the training images be, in pixels?
    Small lesions need resolution: calcifications are lost below about 1000."""

    width: Annotated[int, Field(ge=16, le=8192)] = 512
    """How wide should the training images be, in pixels?
    The breast keeps its proportions; the rest is black, on the side away from the chest wall."""


class Blur(Settings):
    """Smooth the film grain."""

    filter: Literal["gaussian", "bilateral"] = "gaussian"
    """Which filter should be used?
    gaussian smooths everything; bilateral preserves edges and takes longer."""

    size: Annotated[int, Field(ge=3, le=31), AfterValidator(_check_odd)] = 5
    """How wide should the filter be, in pixels of the image it is applied to?
    The same width smooths more after the step resize than before it."""

    sigma_color: Annotated[float, Field(gt=0), NoEffectWhen("filter", "gaussian")] = 90.0
    """Bilateral filter: by how many of 256 grey levels may two pixels differ and still be smoothed together?"""

    sigma_space: Annotated[float, Field(gt=0), NoEffectWhen("filter", "gaussian")] = 90.0
    """Bilateral filter: how many pixels apart may two pixels be and still be smoothed together?"""


def _parse_bits(value: Any) -> Any:
    """A number, also as text from a command line."""
    return int(value) if isinstance(value, str) and value.isdecimal() else value


class Intensity(Settings):
    """Stretch the grey values to the range that the breast uses."""

    stretch: Literal["breast", "maximum", "none"] = "breast"
    """How should grey values be stretched?
    breast: over the range of the breast's pixels, which evens out exposure. maximum: up to the brightest pixel. none:
    not at all."""

    low: Annotated[float, Field(ge=0, lt=50), NoEffectWhen("stretch", "maximum", "none")] = 0.5
    """Which percentile of the breast's pixels should become black?"""

    high: Annotated[float, Field(gt=50, le=100), NoEffectWhen("stretch", "maximum", "none")] = 99.9
    """Up to which percentile of the breast's pixels should grey values be stretched evenly?
    The brighter pixels share the highest 5 % of the grey values, and only the brightest becomes white: lesions keep
    their structure. With 100, a single bright speck of dust determines the contrast of the whole image."""

    bits: Annotated[Literal[8, 16], BeforeValidator(_parse_bits)] = 8
    """How many bits should a grey value have?
    8 needs half the disk space; 16 keeps fine differences in grey."""


class Clahe(Settings):
    """Enhance local contrast in dense and fatty tissue alike (CLAHE)."""

    clip_limit: Annotated[float, Field(gt=0)] = 2.0
    """How strongly may contrast be enhanced?
    Higher values show more detail, and more film grain."""

    tiles: Annotated[int, Field(ge=1, le=64)] = 8
    """Into how many tiles should the image be divided, in each direction?"""


STEPS: dict[str, type[Settings]] = {
    "polarity": Polarity,
    "border": Border,
    "annotations": Annotations,
    "orient": Orient,
    "crop_breast": CropBreast,
    "resize": Resize,
    "blur": Blur,
    "intensity": Intensity,
    "clahe": Clahe,
}


_ORDER = [  # earlier, later, why
    *(("polarity", name, "the breast cannot be found on a bright background") for name in STEPS if name != "polarity"),
    *((name, "resize", "it leaves images of different sizes") for name in ("border", "crop_breast")),
]


def _check_steps(steps: dict[str, dict[str, Any] | bool]) -> dict[str, dict[str, Any] | bool]:
    """Fill in all settings of each step and leave out steps that are off."""
    chosen = {name: _parse_step(name, {} if given is True else given) for name, given in steps.items()}
    checked: dict[str, dict[str, Any] | bool] = {
        name: settings.model_dump(mode="json") for name, settings in chosen.items() if settings is not None
    }
    if "resize" not in checked:
        raise ValueError("the step resize is missing: training images must all have one size")
    places = {name: place for place, name in enumerate(checked)}
    for early, late, reason in _ORDER:
        if early in places and late in places and places[early] > places[late]:
            raise ValueError(f"{early} must come before {late}: {reason}")
    return checked


def _parse_step(name: str, given: Mapping[str, Any] | Literal[False]) -> Settings | None:
    if name not in STEPS:
        close = difflib.get_close_matches(name, STEPS, n=1)
        advice = f"did you mean {close[0]}?" if close else f"choose from {', '.join(STEPS)}"
        raise ValueError(f"there is no step {name}: {advice}")
    if given is False:
        return None
    try:
        return resolve(STEPS[name], {}, given)
    except SettingsError as error:
        raise ValueError(f"{name}: {error.message} ({error.hint})") from None


Steps = Annotated[dict[str, dict[str, Any] | bool], Switches(STEPS), AfterValidator(_check_steps)]


def _parse_frame(value: object) -> object:
    text = str(value)
    if text in ("first", "middle", "last"):
        return text
    if not text.isdecimal() or int(text) < 1:
        raise ValueError("choose first, middle, last or a number from 1")
    return int(text)


class ChainSettings(Settings):
    frame: Annotated[Literal["first", "middle", "last"] | int, BeforeValidator(_parse_frame)] = "middle"
    """Which frame should be used if a file has several: first, middle, last, or its number?
    Tomosynthesis files have dozens of frames; those of CBIS-DDSM have one."""

    steps: Steps
    """Which steps turn mammograms into training images, in which order?
    Each with its settings, for example `resize: {height: 512}`. `true` uses a step with its default settings, `false`
    leaves out a step of the preset."""

    def parse_steps(self) -> dict[str, Settings]:
        """Map each step to its settings, in the order in which they run."""
        return {name: STEPS[name].model_validate(values) for name, values in self.steps.items()}
