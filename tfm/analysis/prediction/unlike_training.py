"""Say in which way a new image is unlike the training images of a model, which makes its probability less certain."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tfm.data.new_images.image_facts import ImageFacts
from tfm.training.inputs.images_seen import AREA, BOX, CONTRAST, CROP_SHARE, LEVEL, SCALE, ImagesSeen, was_inverted

_MARGIN = 0.25  # of the range of the training images: how far outside of it an image is unusual

_TRAINING = ", in training {low:.2g} to {high:.2g}"
_WORDS = {
    LEVEL: "unusual grey levels: the mean inside the breast is {value:.2g} of white" + _TRAINING,
    CONTRAST: "unusual grey levels: their deviation inside the breast is {value:.2g} of white" + _TRAINING,
    AREA: "unusual shape: breast is a share of {value:.2g} of the image" + _TRAINING,
}


def describe_differences(
    facts: ImageFacts, record: Mapping[str, Any], measured: Mapping[str, float], seen: ImagesSeen
) -> list[str]:
    """Return a sentence for each difference.

    Args:
        record: of preprocessing.
        measured: on the preprocessed image, by `measure_image`.
    """
    found = _describe_header(facts, seen)
    if "frame" in record:
        found.append(f"one of several frames: frame {record['frame']} was used")
    if was_inverted(record) and not seen.inverted:
        found.append("black on white: it was inverted, as no training image was")
    for name, words in _WORDS.items():
        if name in measured and name in seen.ranges and _is_outside(measured[name], *seen.ranges[name]):
            low, high = seen.ranges[name]
            found.append(words.format(value=measured[name], low=low, high=high))
    if SCALE in measured and SCALE in seen.ranges and _is_outside(measured[SCALE], *seen.ranges[SCALE]):
        found.append(_describe_size(measured[SCALE], *seen.ranges[SCALE]))
    return found


def is_crop(measured: Mapping[str, float], seen: ImagesSeen) -> bool:
    """Whether breast fills an image from edge to edge, though the model was trained on whole mammograms."""
    return measured.get(BOX, 0) > CROP_SHARE and not seen.crops


def _describe_header(facts: ImageFacts, seen: ImagesSeen) -> list[str]:
    found = []
    if facts.modality not in ("", "MG"):
        found.append(f"modality {facts.modality}, not mammography (MG)")
    if facts.intent == "FOR PROCESSING":
        found.append("raw values of the detector (FOR PROCESSING), not an image for presentation")
    if facts.is_dicom and seen.makers is not None and facts.maker.casefold() not in map(str.casefold, seen.makers):
        makers = ", ".join(maker or "an unnamed maker" for maker in seen.makers)
        found.append(f"made by {facts.maker or 'an unnamed maker'}, the training images by {makers}")
    return found


def _describe_size(rows: float, low: float, high: float) -> str:
    """Compare the rows of a file for one row of the model's image with those in training, in numbers of pixels."""
    times = rows**2 / (low * high)
    kind = "tiny" if rows < min(low, 1) else "unusual size"
    if times >= 1:
        return f"{kind}: about {_round_times(times)} times as many pixels as the training images"
    return f"{kind}: the training images have about {_round_times(1 / times)} times as many pixels"


def _round_times(times: float) -> str:
    return f"{times:.0f}" if times >= 10 else f"{times:.1f}"


def _is_outside(value: float, low: float, high: float) -> bool:
    margin = _MARGIN * (high - low)
    return not low - margin <= value <= high + margin
