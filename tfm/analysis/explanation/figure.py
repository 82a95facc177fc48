"""A figure of images next to their explanation maps: the most confident correct and wrong ones, and random ones."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from tfm.analysis.figures.style import save_figure
from tfm.analysis.trained_run import Protocol
from tfm.core.randomness import seed_at
from tfm.data.dataset.dataset import LABELS

CORRECT, INCORRECT, RANDOM = "confident and correct", "confident and wrong", "random"
_LESION, _BREAST = "lime", "deepskyblue"
_SIDE = 2.3  # inches


@dataclass(frozen=True)
class ExplainedImage:
    kind: str  # CORRECT, INCORRECT or RANDOM
    name: str
    label: int
    called: int
    prob: float
    image: np.ndarray  # (H, W) uint8 or uint16
    breast: np.ndarray  # (H, W) bool
    lesion: np.ndarray  # (H, W) bool
    maps: dict[str, np.ndarray]  # each (H, W)

    @property
    def title(self) -> str:
        return f"{self.kind}: {LABELS[self.label]}, called {LABELS[self.called]} ({self.prob:.2f})\n{self.name}"


def choose_examples(predictions: pd.DataFrame, threshold: float, count: int) -> dict[str, list[int]]:
    """Choose the row numbers of `count` images, a third of each kind or as many as exist."""
    probs = predictions["prob"].to_numpy()
    called = probs >= threshold
    with np.errstate(invalid="ignore", divide="ignore"):  # confidence: 0 at the threshold, 1 at probability 0 or 1
        confidence = np.where(called, (probs - threshold) / (1 - threshold), 1 - probs / threshold)
    correct = called == (predictions["label"].to_numpy() == 1)
    order = np.argsort(-np.nan_to_num(confidence, nan=1.0), kind="stable")
    each = count // 3
    chosen = {CORRECT: order[correct[order]][:each].tolist(), INCORRECT: order[~correct[order]][:each].tolist()}
    names = predictions["image_id"]
    rest = set(range(len(names))).difference(*chosen.values())
    shuffled = sorted(rest, key=lambda place: seed_at("explained", names[place]))
    return chosen | {RANDOM: shuffled[:each]}


def draw_explanations(path: Path, examples: list[ExplainedImage], title: str, protocol: Protocol) -> None:
    columns = 1 + len(examples[0].maps)
    figure = Figure(figsize=(_SIDE * columns, (_SIDE + 0.3) * len(examples) + 1.0), layout="constrained")
    for row, example in zip(figure.subplots(len(examples), columns, squeeze=False), examples, strict=True):
        titles, heats = [example.title, *example.maps], [None, *example.maps.values()]
        for axes, words, heat in zip(row, titles, heats, strict=True):
            axes.imshow(example.image, cmap="gray", interpolation="nearest")
            if heat is not None:
                axes.imshow(heat, cmap="inferno", alpha=0.55, vmin=0, vmax=float(heat.max()) or 1)
            for mask, colour in ((example.breast, _BREAST), (example.lesion, _LESION)):
                if mask.any() and not mask.all():  # else there is no outline
                    axes.contour(mask, levels=[0.5], colors=[colour], linewidths=0.8)
            axes.set_title(words if heat is None or heat.any() else f"{words}: empty", fontsize=7)
            axes.set_axis_off()
    lines = [Line2D([], [], color=colour, label=name) for colour, name in ((_LESION, "lesion"), (_BREAST, "breast"))]
    figure.legend(handles=lines, loc="outside upper right", ncols=2, fontsize=7)
    figure.suptitle(title, fontsize=9, x=0.02, ha="left")
    words = "in parentheses: probability of malignancy; the colours of each map are scaled to its own maximum"
    save_figure(figure, path.parent, path.stem, protocol.describe_with_dataset(words))
