"""The page of predicted images: how they were computed, the verdicts, the pictures, and the files that were refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tfm.analysis.html.render_page import embed_picture, render_page
from tfm.analysis.prediction.predicted_images import NOTICE, PredictedImage, Verdict
from tfm.analysis.prediction.shared_remarks import split_shared_remarks
from tfm.analysis.settings import Unit
from tfm.analysis.trained_run import TrainedModel
from tfm.analysis.units import PLURALS

_UNITS: tuple[Unit, ...] = ("patient", "breast")


@dataclass(frozen=True)
class Overlay:
    jpeg: bytes
    method: str  # what the right half shows; "" if there is only the image


def render_predictions(
    model: TrainedModel,
    computation: Sequence[str],
    images: Sequence[PredictedImage],
    verdicts: Mapping[Unit, Sequence[Verdict]],
    overlays: Mapping[str, Overlay],
    refused: Mapping[str, str],
) -> str:
    """Render the page.

    Args:
        computation: sentences that say how the probabilities were computed.
        verdicts: of the images, in their order, and of their breasts and patients.
        overlays: by the name of the image.
    """
    anchors = {image.name: f"image-{number}" for number, image in enumerate(images, 1) if image.name in overlays}
    found = {image.name: (image, verdict) for image, verdict in zip(images, verdicts["image"], strict=True)}
    shared, others = split_shared_remarks(images)
    return render_page(
        "predict.html.j2",
        f"Predictions of {model.model}",
        notice=NOTICE,
        run=model.run,
        counts=f"{len(images)} images predicted, {len(refused)} files refused",
        computation=computation,
        units=[
            (unit, PLURALS[unit].capitalize(), _make_unit_rows(verdicts[unit])) for unit in _UNITS if verdicts.get(unit)
        ],
        images=[_make_image_row(*pair, anchors) for pair in zip(images, verdicts["image"], strict=True)],
        cards=[_make_card(*found[name], anchors[name], overlay, others[name]) for name, overlay in overlays.items()],
        shared=shared,
        remarks=[[name, "; ".join(found)] for name, found in others.items() if found],
        refused=[list(pair) for pair in refused.items()],
    )


def _make_unit_rows(verdicts: Sequence[Verdict]) -> list[list[str]]:
    return [[one.name, one.called, f"{one.prob:.3f}", f"{one.calibrated:.3f}", str(one.images)] for one in verdicts]


def _make_image_row(image: PredictedImage, verdict: Verdict, anchors: Mapping[str, str]) -> list[Any]:
    name = (image.name, anchors[image.name]) if image.name in anchors else image.name
    facts = image.facts
    numbers = (f"{verdict.prob:.3f}", f"{verdict.calibrated:.3f}")
    return [name, verdict.called, *numbers, facts.patient, facts.side, facts.view, facts.source]


def _make_card(
    image: PredictedImage, verdict: Verdict, anchor: str, overlay: Overlay, remarks: Sequence[str]
) -> dict[str, Any]:
    what = "the image as the model saw it"
    shown = (
        f"Left: {what}. Right: {overlay.method}, scaled to its own maximum." if overlay.method else f"Shown: {what}."
    )
    return {
        "anchor": anchor,
        "name": image.name,
        "picture": embed_picture(overlay.jpeg, "jpeg"),
        "alt": f"{image.name}: {what}" + (f", and beside it {overlay.method}" if overlay.method else ""),
        "caption": f"Probability {verdict.prob:.3f} (calibrated {verdict.calibrated:.3f}), called {verdict.called}. "
        + shown,
        "remarks": remarks,
    }
