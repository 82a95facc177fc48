"""Whether a model tells images apart at all. One that did not train gives all of them nearly the same probability."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from tfm.analysis.calibration import find_logits
from tfm.analysis.trained_run import TrainedModel, name_models
from tfm.core.events import Note

_NARROWEST = 0.01  # range of the logits: around 0.5, a quarter of a percentage point of probability


def warn_of_nearly_equal_probabilities(models: Sequence[TrainedModel]) -> Iterator[Note]:
    """Name each model whose probabilities are nearly equal, with what to do."""
    for name, model in zip(name_models(models), models, strict=True):
        probs = pd.concat([model.validation["prob"], model.predictions["prob"]]).to_numpy()
        if np.ptp(find_logits(probs)) < _NARROWEST:
            yield Note(
                f"{name} gives all images nearly the same probability ({probs.min():.5f} to {probs.max():.5f}): it has "
                "learned next to nothing, and its AUC and its calls rest on these tiny differences. Train it longer "
                "or with another learning rate",
                "warning",
            )
