"""Which images of a cache a run learns from, is validated and is tested on: the manifest's word, found in the cache."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tfm.core import hints
from tfm.core.errors import DataError
from tfm.core.randomness import seed_at
from tfm.data.cache.cache import Cache
from tfm.data.dataset.dataset import Dataset
from tfm.training.settings import LabelSettings

_NAMED = 3  # of the women who were seen before
UNKNOWN = -1  # in place of a label
IDENTITY = ["image_id", "patient_id", "side", "view", "label"]


@dataclass(frozen=True)
class Rows:
    table: pd.DataFrame  # IDENTITY; label 0 benign, 1 malignant, or UNKNOWN; in the order of image_id
    positions: np.ndarray  # (n,) where each image stands in the cache

    def __len__(self) -> int:
        return len(self.positions)

    @property
    def labels(self) -> np.ndarray:  # (n,) 0, 1 or UNKNOWN
        return self.table["label"].to_numpy()

    def only(self, chosen: np.ndarray | list[int]) -> Rows:  # (n,) bool, or which
        return Rows(self.table.iloc[chosen].reset_index(drop=True), self.positions[chosen])

    @property
    def patients(self) -> list[str]:
        return sorted(set(self.table["patient_id"]))


def rows_of(dataset: Dataset, cache: Cache, split: str) -> Rows:
    """By name and by the scan's own UID: another dataset's image of the same name is never taken for it."""
    images = dataset.select_images(split).sort_values("image_id", ignore_index=True)
    table = images[IDENTITY].assign(label=(images["label"] == "malignant").astype(int))
    names = list(zip(images["image_id"], images["sop_uid"], strict=True))
    place = {name: at for at, name in enumerate(zip(cache.index["image_id"], cache.index["sop_uid"], strict=True))}
    absent = sorted(image_id for image_id, uid in names if (image_id, uid) not in place)
    if absent:
        raise DataError(
            f"{len(absent)} of {len(table)} {split} images are not in the cache: {', '.join(absent[:3])}",
            hint="choose the cache that was made of this dataset, or preprocess the dataset again",
        )
    return Rows(table, np.array([place[name] for name in names], dtype=int))


def held_out(rows: Rows, share: float, seed: int, usable: np.ndarray) -> tuple[Rows, Rows]:  # usable (n,) bool
    """The rest, and the share of the women who are kept back, at least one, among those with a usable image: who, their
    names and the seed alone say."""
    women = sorted(rows.only(usable).patients, key=lambda patient: seed_at(seed, "held out", patient))
    count = max(round(share * len(women)), 1)
    if len(women) <= count:
        raise DataError(
            f"of {len(rows.patients)} women to learn from, {len(women)} have an image that something can be learned "
            "from: one is needed for that, and another one is kept back to choose the best epoch",
            hint=f"organize a larger part of the data, or look at the breast masks on a contact sheet; "
            f"{hints.setting('block')} and "
            f"{hints.setting('threshold')} say which parts of a breast can be hidden",
        )
    back = rows.table["patient_id"].isin(women[:count]).to_numpy()
    return rows.only(~back), rows.only(back)


def labelled(rows: Rows, settings: LabelSettings, seed: int) -> Rows:
    """The rows, with the label UNKNOWN but for as many of the women: of those with a malignant image and of the others
    alike. The women of fewer percent are among those of more. Where nothing is learned from unlabelled images, these
    are left out."""
    percent = settings.label_percent
    kept: set[str] = set()
    worst = rows.table.groupby("patient_id")["label"].max()
    for label in (0, 1):
        women = sorted(worst.index[worst == label], key=lambda patient: seed_at(seed, "labelled", patient))
        kept |= set(women[: round(percent / 100 * len(women))])
    known = rows.table["label"].where(rows.table["patient_id"].isin(kept), UNKNOWN)
    left = set(known) - {UNKNOWN}
    if left != {0, 1}:
        raise DataError(
            f"{percent:g} % of the labels leave no {'malignant' if 1 not in left else 'benign'} training image",
            hint=f"keep more of them: {hints.setting('label_percent')}",
        )
    whole = Rows(rows.table.assign(label=known), rows.positions)
    return whole.only(whole.labels != UNKNOWN) if settings.unlabelled == "ignore" else whole


def check_learnable(train: Rows, val: Rows, test: Rows) -> None:
    for name, rows in (("training", train), ("validation", val), ("test", test)):
        if not len(rows):
            raise DataError(f"there is no {name} image", hint="organize the download again with a split that has some")
        check_both_labels(f"{name} images", rows)


def check_both_labels(which: str, rows: Rows) -> None:
    if len(set(rows.labels)) < 2:
        raise DataError(
            f"all {len(rows)} {which} are {'malignant' if rows.labels[0] else 'benign'}",
            hint="both classes are needed to learn, choose by and test on: organize a larger part of the data",
        )


def check_unseen(whose: str, seen: Iterable[str], **judged_by: Rows) -> None:
    """Of the run whose weights or choices are taken over: whoever it has learned or chosen from tells nothing about
    them."""
    known = set(seen)
    for name, rows in judged_by.items():
        met = known.intersection(rows.patients)
        if met:
            raise DataError(
                f"{whose} have seen {len(met)} of the {len(rows.patients)} {name} women: "
                f"{', '.join(sorted(met)[:_NAMED])}" + (f" and {len(met) - _NAMED} more" if len(met) > _NAMED else ""),
                hint="take weights or settings of a run that was trained on other women, ImageNet's weights or none",
            )
