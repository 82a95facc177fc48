"""The splits of the leak lab: one honest, the others wrong on purpose. They exist in memory only: no dataset has them.

All divide the training and validation images of a dataset again. Its test patients are in none of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from tfm.core.randomness import seed_at
from tfm.data.settings import AUGMENT_THEN_SPLIT, BY_IMAGE, CHOSEN_ON_TEST
from tfm.training.inputs.samples import Samples
from tfm.training.inputs.training_data import TrainingData

SHARES = (0.6, 0.2)  # of the patients, for training and validation; the others are for test
COPIES = 2  # of each image, where augmentation comes before the split


@dataclass(frozen=True)
class LeakySplit:
    train: Samples
    val: Samples  # chooses epoch and threshold
    claimed: Samples  # what a paper would call its test set
    outside: Samples  # of patients that no run of the leak lab has seen


def split_for_leak_lab(data: TrainingData, way: str, seed: int) -> LeakySplit:
    """Split as `way` says. By patient and by image, the splits have the same sizes."""
    pool = Samples(
        pd.concat([data.train.table, data.val.table], ignore_index=True),
        np.concatenate([data.train.positions, data.val.positions]),
    )
    honest = _split_by_patient(pool, seed)
    parts = honest
    if way == CHOSEN_ON_TEST:
        parts = [honest[0], honest[2], honest[2]]
    elif way == BY_IMAGE:
        parts = _split_by_image(pool, [len(part) for part in honest], seed)
    elif way == AUGMENT_THEN_SPLIT:
        parts = _split_by_image(_copy_images(pool), [COPIES * len(part) for part in honest], seed)
    train, val, claimed = parts
    return LeakySplit(train, val, claimed, data.test)


def _split_by_patient(pool: Samples, seed: int) -> list[Samples]:
    """Divide patients with and without a malignant image alike."""
    worst = pool.table.groupby("patient_id")["label"].max()
    number: dict[str, int] = {}
    for label in (0, 1):
        patients = sorted(worst.index[worst == label], key=lambda patient: seed_at(seed, "leak lab", patient))
        ends = np.cumsum([round(share * len(patients)) for share in SHARES])
        number |= {patient: int(np.searchsorted(ends, place, "right")) for place, patient in enumerate(patients)}
    part = pool.table["patient_id"].map(number).to_numpy()
    return [pool.select(part == one) for one in range(3)]


def _split_by_image(pool: Samples, sizes: list[int], seed: int) -> list[Samples]:
    names = pool.table["image_id"]
    order = sorted(range(len(pool)), key=lambda place: seed_at(seed, "leak lab", names[place]))
    return [pool.select(np.sort(part)) for part in np.split(np.array(order), np.cumsum(sizes)[:-1])]


def _copy_images(pool: Samples) -> Samples:
    """Take each image several times. Training augments each copy by itself."""
    tables = [pool.table.assign(image_id=pool.table["image_id"] + f" copy {one + 1}") for one in range(COPIES)]
    return Samples(pd.concat(tables, ignore_index=True), np.tile(pool.positions, COPIES))
