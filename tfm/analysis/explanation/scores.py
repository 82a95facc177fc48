"""What it is worth where a network looks: each map scored against breast and lesion, beside looks that know nothing.

The scores of one map are metrics; how maps are made stands in explained.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from tfm.analysis.brightest_blob import compute_brightness
from tfm.analysis.evaluation import format_interval
from tfm.analysis.explanation.explainer import Explainer
from tfm.core import files
from tfm.core.events import Event, Progress
from tfm.metrics.classification import Interval, bootstrap_interval, compute_exact_interval
from tfm.metrics.saliency import make_centre_map, measure_share_inside, measure_share_outside, score_pointing_game
from tfm.training.batches import cut

OUTSIDE, ENERGY, POINTS = "outside", "energy", "points"
BRIGHTEST, CENTRE, UNIFORM = "brightest tissue", "centre", "everywhere alike"
COLUMNS = ["look", "outside the breast", "in the lesion", "pointing game", "images", "with a lesion"]
CAPTION = (
    "outside the breast: the share of all that is looked at (less is better; that of a look everywhere alike is the "
    "background's area); in the lesion: the same for the lesion, and pointing game: how often the highest place lies "
    "in it (more is better). A map is as coarse as the network's last features, and laid over the image evenly; the "
    "brightest tissue is as bright as its surroundings. Images in which a look is nothing, or no breast was found, are "
    "left out; looks that know nothing are scored on the same images as the network's look beside which they stand; a "
    "look everywhere alike points nowhere"
)

Figures = dict[str, Interval]  # OUTSIDE, ENERGY, POINTS


def score_explanations(
    explained: Explainer, batch_size: int, shown: Iterable[int]
) -> Generator[Event, None, tuple[pd.DataFrame, dict[int, dict[str, np.ndarray]]]]:
    """The scores of every image's looks, a row for each image and look; and the maps of the images to be `shown`."""
    images, wanted = explained.images, set(shown)
    rows, kept = [], {}
    batches = cut(np.arange(len(images.rows)), batch_size)
    for done, chosen in enumerate(batches, start=1):
        maps = explained.maps(chosen)
        for number, place in enumerate(chosen.tolist()):
            own = {way: heat[number] for way, heat in maps.items()}
            rows += _scored(explained, place, own)
            if place in wanted:
                kept[place] = own
        yield Progress("where it looks", done, len(batches), "batches")
    return pd.DataFrame(rows), kept


def _scored(explained: Explainer, place: int, maps: dict[str, np.ndarray]) -> list[dict[str, object]]:
    images = explained.images
    at = images.rows.positions[place]
    breast, lesion = images.cache.breast[at] > 0, images.cache.lesions[at] > 0
    beside = {
        BRIGHTEST: compute_brightness(images.cache.images[at], breast),
        CENTRE: make_centre_map(breast.shape),
        UNIFORM: np.ones(breast.shape),
    }
    named: dict[str, object] = {name: images.rows.table[name][place] for name in ("image_id", "patient_id", "label")}
    return [named | {"look": way} | score_map(heat, breast, lesion) for way, heat in (maps | beside).items()]


def score_map(heat: np.ndarray, breast: np.ndarray, lesion: np.ndarray) -> dict[str, float]:  # (H, W), bool, bool
    outside = measure_share_outside(heat, breast) if breast.any() else math.nan
    return {OUTSIDE: outside, ENERGY: measure_share_inside(heat, lesion), POINTS: score_pointing_game(heat, lesion)}


def pair_with_baselines(table: pd.DataFrame, ways: list[str]) -> pd.DataFrame:
    """The network's `ways` to look, with the looks that know nothing on the very same images: once for all of its looks
    that are anything in the same images, and once more beside each that is not."""
    naive = table[~table["look"].isin(ways)]
    groups: list[tuple[list[pd.DataFrame], pd.DataFrame]] = []
    for way in ways:
        both = _on_same_images(pd.concat([table[table["look"] == way], naive]))
        own, beside = both[both["look"] == way], both[both["look"] != way]
        same = next((looks for looks, others in groups if others.equals(beside)), None)
        if same is None:
            groups.append(([own], beside))
        else:
            same.append(own)
    (first, beside), *others = groups
    parts = [*first, beside]
    for looks, beside in others:
        parts += [*looks, beside.assign(look=beside["look"] + f", beside {looks[0]['look'].iat[0]}")]
    return pd.concat(parts)


def _on_same_images(table: pd.DataFrame) -> pd.DataFrame:
    """A figure counts for an image only where each look has it, but for the looks that never have it."""
    kept = table.copy()
    for figure in (OUTSIDE, ENERGY, POINTS):
        each = table.pivot(index="image_id", columns="look", values=figure).dropna(axis="columns", how="all")
        lacking = each.index[each.isna().any(axis="columns")]
        kept.loc[kept["image_id"].isin(lacking), figure] = math.nan
    return kept


def summarize_scores(table: pd.DataFrame) -> dict[str, Figures]:
    """Of each look, each figure's mean over the images that have it, with an interval that knows the patient."""
    return {
        str(way): {figure: _mean(rows, figure) for figure in (OUTSIDE, ENERGY, POINTS)}
        for way, rows in table.groupby("look", sort=False)
    }


def _mean(rows: pd.DataFrame, figure: str) -> Interval:
    known = rows[rows[figure].notna()]
    if known.empty:
        return Interval(math.nan, math.nan, math.nan)
    mean: Callable[..., float] = np.mean
    found = bootstrap_interval(mean, known["patient_id"].to_numpy(), known[figure].to_numpy())
    if figure == POINTS and found.value in (0, 1):  # the others are 0 or 1 by what the look is, not by chance
        return compute_exact_interval(float(found.value), known["patient_id"].nunique())
    return Interval(float(found.value), found.low, found.high)


def format_rows(table: pd.DataFrame, figures: dict[str, Figures]) -> list[list[str]]:
    known = table.groupby("look")[[OUTSIDE, ENERGY]].count()
    return [
        [way, *map(format_interval, each.values()), *(str(count) for count in known.loc[way])]
        for way, each in figures.items()
    ]


def flatten_all(figures: dict[str, Figures]) -> dict[str, dict[str, float | None]]:
    """For a program."""
    return {way: flatten(each) for way, each in figures.items()}


def flatten(figures: Figures) -> dict[str, float | None]:
    return {part: value for name, interval in figures.items() for part, value in interval.flatten(name).items()}


def write_scores(path: Path, table: pd.DataFrame) -> None:
    files.write_text(path, table.to_csv(index=False, lineterminator="\n"))


def read_scores(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, dtype={"image_id": str, "patient_id": str})
