"""Predictions for breasts and patients, from those for their images.

The probability of a breast is the mean over its images, as in an average of models: it exists for probabilities of
exactly 0 and 1 too, as a forest gives them, where log odds do not. A breast with one view has that of its only image.
The probability of a patient is the maximum over the breasts, because one malignant breast makes a patient malignant.
"""

from __future__ import annotations

import pandas as pd

from tfm.analysis.settings import Unit
from tfm.core import hints
from tfm.core.errors import DataError

PLURALS: dict[Unit, str] = {"image": "images", "breast": "breasts", "patient": "patients"}
EXPLANATIONS: dict[Unit, str] = {
    "image": "",
    "breast": "; the probability of a breast is the mean over its images",
    "patient": "; the probability of a patient is that of the more suspicious breast, the mean over its images",
}


def group_by_unit(predictions: pd.DataFrame, unit: Unit) -> pd.DataFrame:
    """Return a row for each unit, with the number of its images. A unit is malignant if one of its images is."""
    if unit == "image":
        return predictions.assign(images=1)
    breasts = predictions.groupby(["patient_id", "side"], as_index=False).agg(
        label=("label", "max"), prob=("prob", "mean"), images=("prob", "size")
    )
    units = breasts
    if unit == "patient":
        units = breasts.groupby("patient_id", as_index=False).agg({"label": "max", "prob": "max", "images": "sum"})
    if units["label"].min() == 1:
        raise DataError(
            f"each of the {len(units)} {PLURALS[unit]} has a malignant image, so none counts as benign",
            hint=f"count images instead: {hints.setting('unit', 'image')}",
        )
    return units
