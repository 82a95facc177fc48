"""What may be chosen about preprocessing: the settings of each step, and a chain of them. No arrays here.

What the steps do stands in `steps/`, one file a step, each under its name in `STEPS`.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from tfm.core.errors import SettingsError
from tfm.core.settings.resolve import resolve
from tfm.core.settings.schema import NoEffectWhen, Settings, Switches


def _odd(size: int) -> int:
    if size % 2 == 0:
        raise ValueError("must be odd: a filter has a middle")
    return size


class Polarity(Settings):
    """Black on white turned to white on black, as some exported pictures need."""

    turn: Literal["found", "always"] = "found"
    """Which images to turn: those whose film is brighter than what is on it, or all
    A DICOM file says itself which way it is meant, and is read so; pictures don't."""


class Border(Settings):
    """The scanner's bright border cut off."""

    cut: Literal["found", "share"] = "found"
    """How much to cut off: the bright strips that are found, or a fixed share of each side"""

    share: Annotated[float, Field(gt=0, lt=0.25), NoEffectWhen("cut", "found")] = 0.05
    """The fixed share of height and width to cut off each side
    The chest wall lies at a side too: with a fixed share some tissue goes with the border."""


class Annotations(Settings):
    """Labels, tape and film frame to black."""


class Orient(Settings):
    """All breasts with the chest wall on the left."""


class CropBreast(Settings):
    """The breast without the empty film around it."""

    margin: Annotated[float, Field(ge=0, le=0.5)] = 0.01
    """How much film to leave around the breast, as a share of the image's height
    0 cuts at the breast mask, which lies a little outside the skin line already."""


class Resize(Settings):
    """One size for all."""

    height: Annotated[int, Field(ge=16, le=8192)] = 512
    """Height of the images that a network sees, in pixels
    Small lesions need height: calcifications are lost below about 1000."""

    width: Annotated[int, Field(ge=16, le=8192)] = 512
    """Width of the images that a network sees, in pixels
    The breast keeps its proportions: what it does not fill is black, on the side away from the chest wall."""


class Blur(Settings):
    """Grain of the film smoothed."""

    filter: Literal["gaussian", "bilateral"] = "gaussian"
    """Which filter: gaussian smooths all, bilateral spares edges and takes longer"""

    size: Annotated[int, Field(ge=3, le=31), AfterValidator(_odd)] = 5
    """Width of the filter in pixels of the image it is used on
    The same number smooths more after the step resize than before it."""

    sigma_color: Annotated[float, Field(gt=0), NoEffectWhen("filter", "gaussian")] = 90.0
    """Bilateral: how many greys of 256 two pixels may differ and still be smoothed together"""

    sigma_space: Annotated[float, Field(gt=0), NoEffectWhen("filter", "gaussian")] = 90.0
    """Bilateral: how far apart, in pixels, two pixels may lie and still be smoothed together"""


class Intensity(Settings):
    """Grey values stretched to what the breast uses."""

    stretch: Literal["breast", "maximum", "none"] = "breast"
    """To what: two percentiles of the breast's own pixels, the brightest pixel, or not at all
    Films of any exposure compare after the first; the others keep differences between films."""

    low: Annotated[float, Field(ge=0, lt=50), NoEffectWhen("stretch", "maximum", "none")] = 0.5
    """Percentile of the breast's pixels that becomes black"""

    high: Annotated[float, Field(gt=50, le=100), NoEffectWhen("stretch", "maximum", "none")] = 99.5
    """Percentile of the breast's pixels that becomes white
    100 lets a single bright speck of dust decide the contrast of the whole image."""

    bits: Annotated[Literal[8, 16], BeforeValidator(int)] = 8  # a command line gives text
    """Bits of a grey value: 8 takes half the room, 16 keeps the film's fine steps"""


class Clahe(Settings):
    """Contrast raised part by part, in dense and fatty tissue alike (CLAHE)."""

    clip_limit: Annotated[float, Field(gt=0)] = 2.0
    """How much contrast may be raised
    Higher shows more, the film's grain too."""

    tiles: Annotated[int, Field(ge=1, le=64)] = 8
    """Into how many parts the image is divided, each way"""


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
    *(("polarity", name, "where the breast is cannot be told on white film") for name in STEPS if name != "polarity"),
    *((name, "resize", "what it leaves is of many sizes") for name in ("border", "crop_breast")),
]


def _checked_steps(steps: dict[str, dict[str, Any] | bool]) -> dict[str, dict[str, Any] | bool]:
    """Every step with all its settings, those that are off left out."""
    chosen = {name: _checked_step(name, {} if given is True else given) for name, given in steps.items()}
    checked: dict[str, dict[str, Any] | bool] = {
        name: settings.model_dump(mode="json") for name, settings in chosen.items() if settings is not None
    }
    if "resize" not in checked:
        raise ValueError("the step resize is needed: films are of many sizes, and training images of one")
    places = {name: place for place, name in enumerate(checked)}
    for early, late, reason in _ORDER:
        if early in places and late in places and places[early] > places[late]:
            raise ValueError(f"{early} must stand before {late}: {reason}")
    return checked


def _checked_step(name: str, given: Mapping[str, Any] | Literal[False]) -> Settings | None:
    if name not in STEPS:
        close = difflib.get_close_matches(name, STEPS, n=1)
        raise ValueError(
            f"no step is called {name}: " + (f"did you mean {close[0]}?" if close else f"there are {', '.join(STEPS)}")
        )
    if given is False:
        return None
    try:
        return resolve(STEPS[name], {}, given)
    except SettingsError as error:
        raise ValueError(f"{name}: {error.message} ({error.hint})") from None


Steps = Annotated[dict[str, dict[str, Any] | bool], Switches(STEPS), AfterValidator(_checked_steps)]


def _frame(value: object) -> object:
    text = str(value)
    if text in ("first", "middle", "last"):
        return text
    if not text.isdecimal() or int(text) < 1:
        raise ValueError("choose first, middle, last or a number from 1")
    return int(text)


class ChainSettings(Settings):
    frame: Annotated[Literal["first", "middle", "last"] | int, BeforeValidator(_frame)] = "middle"
    """Which frame to take of a file that has several: first, middle, last or its number
    Tomosynthesis has dozens of frames; CBIS-DDSM's films have one each."""

    steps: Steps
    """The steps that make training images of films, in their order
    Each with its settings, as in `resize: {height: 512}`. `true` takes a step as it is, `false` leaves out one that
    the preset has. Set one value with `setting: resize.height=128`."""

    def chosen(self) -> dict[str, Settings]:
        """Step → its settings, in the order in which they run."""
        return {name: STEPS[name].model_validate(values) for name, values in self.steps.items()}
