"""Which images of a cache a run learns from, is validated and is tested on: the manifest's word, found in the cache."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tfm.core.errors import DataError
from tfm.data.cache import Cache
from tfm.data.dataset import Dataset

IDENTITY = ["image_id", "patient_id", "side", "view", "label"]


@dataclass(frozen=True)
class Rows:
    table: pd.DataFrame  # IDENTITY; label 0 benign, 1 malignant; in the order of image_id
    positions: np.ndarray  # (n,) where each image stands in the cache

    def __len__(self) -> int:
        return len(self.positions)

    @property
    def labels(self) -> np.ndarray:  # (n,) 0 or 1
        return self.table["label"].to_numpy()

    def only(self, chosen: np.ndarray) -> Rows:  # (n,) bool
        return Rows(self.table[chosen].reset_index(drop=True), self.positions[chosen])

    @property
    def patients(self) -> list[str]:
        return sorted(set(self.table["patient_id"]))


def rows_of(dataset: Dataset, cache: Cache, split: str) -> Rows:
    """By name and by the scan's own UID: another dataset's image of the same name is never taken for it."""
    images = dataset.images(split).sort_values("image_id", ignore_index=True)
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


def check_learnable(train: Rows, val: Rows, test: Rows) -> None:
    for name, rows, classes in (("training", train, 2), ("validation", val, 2), ("test", test, 2)):
        if not len(rows):
            raise DataError(f"there is no {name} image", hint="organize the download again with a split that has some")
        if len(set(rows.labels)) < classes:
            raise DataError(
                f"all {len(rows)} {name} images are {'malignant' if rows.labels[0] else 'benign'}",
                hint="both classes are needed to learn and to choose a threshold: organize a larger part of the data",
            )


def check_unseen(run: str, seen: Iterable[str], val: Rows, test: Rows) -> None:
    """Of the run whose weights are taken over: whoever it has learned or chosen from tells nothing about them."""
    known = set(seen)
    for name, rows in (("validation", val), ("test", test)):
        met = known.intersection(rows.patients)
        if met:
            raise DataError(
                f"the weights of {run} have seen {len(met)} of the {len(rows.patients)} {name} patients: "
                f"{', '.join(sorted(met)[:3])}",
                hint="take weights of a run that was trained on other patients, ImageNet's or none",
            )
