"""Explanation scores: each map compared with the breast and lesion masks, next to baseline maps that learned nothing.
The metrics of a single map are in `tfm.metrics.saliency`; the maps come from `explainer`."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from tfm.analysis.brightest_blob import compute_brightness
from tfm.analysis.explanation.explainer import Explainer
from tfm.analysis.format_intervals import format_interval
from tfm.core import files
from tfm.core.events import Event, Progress, Table
from tfm.metrics.intervals import Interval, compute_mean_interval, compute_rate_interval, estimate_ratio
from tfm.metrics.saliency import make_centre_map, measure_share_inside, measure_share_outside, score_pointing_game
from tfm.training.batches import split_evenly

# These names are also written to looks.csv and explained.json. Only `_LABELS` may change.
OUTSIDE, ENERGY, POINTS = "outside", "energy", "points"
BRIGHTEST, CENTRE, UNIFORM = "brightest tissue", "centre", "everywhere alike"
_BESIDE = ", beside "
_LABELS = {BRIGHTEST: "baseline: brightest tissue", CENTRE: "baseline: image centre", UNIFORM: "baseline: uniform map"}

_COLUMNS = {OUTSIDE: "outside the breast", ENERGY: "inside the lesion", POINTS: "pointing game"}
_MEANINGS = {
    OUTSIDE: "Outside the breast: share of the map's total outside the breast mask (lower is better; a uniform map "
    "scores the share of background). ",
    ENERGY: "Inside the lesion: share of the map's total inside the lesion mask (higher is better). ",
    POINTS: "Pointing game: share of images in which the highest value lies in the lesion (higher is better; undefined "
    "for a uniform map). ",
}
_RULES = (
    "The network's maps are interpolated from its last feature map. The brightest-tissue map is the blurred image. "
    "Images without a breast mask, and images in which a map is empty, are left out; each baseline is scored on the "
    "same images as the map it is compared with"
)

Scores = dict[str, Interval]  # OUTSIDE, ENERGY, POINTS


def score_explanations(
    explainer: Explainer, batch_size: int, shown: Iterable[int]
) -> Generator[Event, None, tuple[pd.DataFrame, dict[int, dict[str, np.ndarray]]]]:
    """Score all images. Return a row for each image and map, and the network's maps of the images in `shown`."""
    images, wanted = explainer.images, set(shown)
    rows: list[dict[str, object]] = []
    kept: dict[int, dict[str, np.ndarray]] = {}
    batches = split_evenly(np.arange(len(images.samples)), batch_size)
    for done, chosen in enumerate(batches, start=1):
        maps = explainer.compute_maps(chosen)
        for number, place in enumerate(chosen.tolist()):
            own = {method: heat[number] for method, heat in maps.items()}
            rows += _score_image(explainer, place, own)
            if place in wanted:
                kept[place] = own
        yield Progress("explanations", done, len(batches), "batches")
    return pd.DataFrame(rows), kept


def _score_image(explainer: Explainer, place: int, maps: dict[str, np.ndarray]) -> list[dict[str, object]]:
    images = explainer.images
    at = images.samples.positions[place]
    breast, lesion = images.cache.breast[at] > 0, images.cache.lesions[at] > 0
    baselines = {
        BRIGHTEST: compute_brightness(images.cache.images[at], breast),
        CENTRE: make_centre_map(breast.shape),
        UNIFORM: np.ones(breast.shape),
    }
    facts: dict[str, object] = {name: images.samples.table[name][place] for name in ("image_id", "patient_id", "label")}
    return [facts | {"look": name} | score_map(heat, breast, lesion) for name, heat in (maps | baselines).items()]


def score_map(heat: np.ndarray, breast: np.ndarray, lesion: np.ndarray) -> dict[str, float]:  # (H, W), bool, bool
    outside = measure_share_outside(heat, breast) if breast.any() else math.nan
    return {OUTSIDE: outside, ENERGY: measure_share_inside(heat, lesion), POINTS: score_pointing_game(heat, lesion)}


def pair_with_baselines(table: pd.DataFrame, methods: list[str]) -> pd.DataFrame:
    """Compare each method with the baselines on the same images.

    Methods that are defined on the same images share one set of baselines; any other method gets its own set, marked
    with the method's name.
    """
    baselines = table[~table["look"].isin(methods)]
    groups: list[tuple[list[pd.DataFrame], pd.DataFrame]] = []
    for method in methods:
        both = _keep_common_images(pd.concat([table[table["look"] == method], baselines]))
        own, beside = both[both["look"] == method], both[both["look"] != method]
        same = next((group for group, others in groups if others.equals(beside)), None)
        if same is None:
            groups.append(([own], beside))
        else:
            same.append(own)
    (first, beside), *others = groups
    parts = [*first, beside]
    for group, beside in others:
        parts += [*group, beside.assign(look=beside["look"] + f"{_BESIDE}{group[0]['look'].iat[0]}")]
    return pd.concat(parts)


def _keep_common_images(table: pd.DataFrame) -> pd.DataFrame:
    """Clear each score of the images in which some map lacks it. A map that never has the score is ignored."""
    kept = table.copy()
    for score in (OUTSIDE, ENERGY, POINTS):
        by_map = table.pivot(index="image_id", columns="look", values=score).dropna(axis="columns", how="all")
        incomplete = by_map.index[by_map.isna().any(axis="columns")]
        kept.loc[kept["image_id"].isin(incomplete), score] = math.nan
    return kept


def summarize_scores(table: pd.DataFrame) -> dict[str, Scores]:
    """Average each score of each map over the images that have it, with patient-clustered intervals."""
    return {
        str(name): {score: _average(rows, score) for score in (OUTSIDE, ENERGY, POINTS)}
        for name, rows in table.groupby("look", sort=False)
    }


def _average(rows: pd.DataFrame, score: str) -> Interval:
    known = rows[rows[score].notna()]
    if known.empty:
        return Interval(math.nan, math.nan, math.nan)
    values, patients = known[score].to_numpy(), known["patient_id"].to_numpy()
    if score == POINTS:
        return compute_rate_interval(values, patients)
    return average_over_patients(values, patients)


def average_over_patients(values: np.ndarray, patients: np.ndarray) -> Interval:
    return compute_mean_interval(estimate_ratio(values, np.ones(len(values)), patients))


def make_score_table(title: str, table: pd.DataFrame, summary: dict[str, Scores], protocol: str) -> Table | None:
    """Show the scores that the masks allow: none without masks."""
    counts = table.groupby("look")[[OUTSIDE, ENERGY]].count()
    outside, lesions = counts[OUTSIDE].any(), counts[ENERGY].any()
    scores = [name for name in _COLUMNS if (outside if name == OUTSIDE else lesions)]
    counted = {OUTSIDE: "images"} | ({ENERGY: "with a lesion"} if lesions else {})
    if not scores:
        return None

    def label(name: str) -> str:
        own, beside, method = name.partition(_BESIDE)
        return _LABELS.get(own, own) + (f" (images of {method})" if beside else "")

    rows = [
        [
            label(name),
            *(format_interval(intervals[score]) for score in scores),
            *(str(counts.loc[name, score]) for score in counted),
        ]
        for name, intervals in summary.items()
    ]
    columns = ["map", *(_COLUMNS[score] for score in scores), *counted.values()]
    return Table(title, columns, rows, f"{protocol}. {''.join(_MEANINGS[score] for score in scores)}{_RULES}")


def write_scores(path: Path, table: pd.DataFrame) -> None:
    files.write_text(path, table.to_csv(index=False, lineterminator="\n"))


def read_scores(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, dtype={"image_id": str, "patient_id": str})
