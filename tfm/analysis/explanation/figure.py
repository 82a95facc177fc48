"""Pages of images beside where a network looks in them: those it is surest of, right and wrong, and some by lot."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from tfm.analysis.figures import save_figure
from tfm.analysis.trained_run import Protocol
from tfm.core.randomness import seed_at
from tfm.data.dataset.dataset import LABELS

CORRECT, INCORRECT, RANDOM = "surest right", "surest wrong", "by lot"
_LESION, _BREAST = "lime", "deepskyblue"
_HEAT, _VEIL = "inferno", 0.55
_SIDE = 2.3  # inches


@dataclass(frozen=True)
class ExplainedImage:
    """One image and what is known of it."""

    kind: str
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
    """The places of `count` images, a third of each kind; fewer where there are not so many."""
    probs = predictions["prob"].to_numpy()
    called = probs >= threshold
    with np.errstate(invalid="ignore", divide="ignore"):  # how far from the threshold, on the way to certainty
        sure = np.nan_to_num(np.where(called, (probs - threshold) / (1 - threshold), 1 - probs / threshold), nan=1.0)
    right = called == (predictions["label"].to_numpy() == 1)
    order = np.argsort(-sure, kind="stable")
    each = count // 3
    found = {CORRECT: order[right[order]][:each].tolist(), INCORRECT: order[~right[order]][:each].tolist()}
    taken = {place for places in found.values() for place in places}
    names = predictions["image_id"]
    left = sorted(set(range(len(names))) - taken, key=lambda place: seed_at("explained", names[place]))
    return found | {RANDOM: left[:each]}


def draw_explanations(path: Path, pages: list[ExplainedImage], title: str, protocol: Protocol) -> None:
    columns = 1 + len(pages[0].maps)
    figure = Figure(figsize=(_SIDE * columns, (_SIDE + 0.3) * len(pages) + 1.0), layout="constrained")
    for row, page in zip(figure.subplots(len(pages), columns, squeeze=False), pages, strict=True):
        for axes, words, heat in zip(row, [page.title, *page.maps], [None, *page.maps.values()], strict=True):
            axes.imshow(page.image, cmap="gray", interpolation="nearest")
            if heat is not None:
                axes.imshow(heat, cmap=_HEAT, alpha=_VEIL, vmin=0, vmax=float(heat.max()) or 1)
            for mask, colour in ((page.breast, _BREAST), (page.lesion, _LESION)):
                if mask.any() and not mask.all():  # else there is no outline
                    axes.contour(mask, levels=[0.5], colors=[colour], linewidths=0.8)
            axes.set_title(words if heat is None or heat.any() else f"{words}: nothing", fontsize=7)
            axes.set_axis_off()
    lines = [Line2D([], [], color=colour, label=name) for colour, name in ((_LESION, "lesion"), (_BREAST, "breast"))]
    figure.legend(handles=lines, loc="outside upper right", ncols=2, fontsize=7)
    figure.suptitle(title, fontsize=9, x=0.02, ha="left")
    words = "in brackets the probability of malignancy; each map is as bright as its own highest place"
    save_figure(figure, path, protocol.of_data(words))
