"""Which images of a cache a run trains on, validates on and tests on: read from the manifest, found in the cache."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from tfm.core import hints
from tfm.core.errors import DataError
from tfm.core.randomness import seed_at
from tfm.data.cache.cache import Cache
from tfm.data.dataset.dataset import Dataset
from tfm.data.patient_id import EXTRA, find_patient_ids, name_in_collection, normalise_patient_id, remove_collection
from tfm.data.seen_patients import SeenPatients
from tfm.training.inputs.settings import LabelSettings

_SHOWN = 3  # patients named in an error
UNKNOWN = -1  # in place of a label
IDENTITY = ["image_id", "patient_id", "side", "view", "label"]


class Sample(NamedTuple):
    image_id: str
    patient_id: str
    side: str
    view: str
    label: int  # 0 benign, 1 malignant, or UNKNOWN
    position: int  # row of the cache's arrays


@dataclass(frozen=True)
class Samples:
    table: pd.DataFrame  # columns IDENTITY; label 0 benign, 1 malignant, or UNKNOWN; sorted by image_id
    positions: np.ndarray  # (n,) rows of the cache's arrays

    def __len__(self) -> int:
        return len(self.positions)

    @property
    def labels(self) -> np.ndarray:  # (n,) 0, 1 or UNKNOWN
        return self.table["label"].to_numpy()

    @functools.cached_property
    def other_views(self) -> np.ndarray:  # (n,) indices
        """For each image, another view of the same breast, or the image itself if there is none."""
        views, others = self.table["view"].to_numpy(), np.arange(len(self))
        for images in self.table.groupby(["patient_id", "side"]).indices.values():
            for image in images:
                others[image] = next((other for other in images if views[other] != views[image]), image)
        return others

    @property
    def patients(self) -> list[str]:
        return sorted(set(self.table["patient_id"]))

    @property
    def patient_names(self) -> list[str]:
        """All names of the patients. One with two names has the other one in the image_id."""
        return sorted(set().union(*self._list_names()))

    def find_seen(self, seen: Iterable[str]) -> list[str]:
        """Return the patients that are among `seen` under any of their names."""
        known = seen if isinstance(seen, SeenPatients) else SeenPatients(seen)
        named = self._list_names()
        return sorted({patient for patient, *others in named if known.has_any(_list_spellings(patient, others))})

    def _list_names(self) -> list[list[str]]:
        """For each image, the patient and the patients named in its image_id."""
        rows = zip(self.table["patient_id"], self.table["image_id"], strict=True)
        return [[patient, *find_patient_ids(image_id)] for patient, image_id in rows]

    def select(self, chosen: np.ndarray | list[int]) -> Samples:  # (n,) bool, or indices
        return Samples(self.table.iloc[chosen].reset_index(drop=True), self.positions[chosen])

    def to_records(self) -> tuple[Sample, ...]:
        columns = (self.table[name].tolist() for name in IDENTITY)
        return tuple(Sample(*values) for values in zip(*columns, self.positions.tolist(), strict=True))

    @classmethod
    def from_records(cls, records: Sequence[Sample]) -> Samples:
        table = pd.DataFrame(records, columns=Sample._fields)
        return cls(table[IDENTITY], table["position"].to_numpy(dtype=int))


def _list_spellings(patient: str, others: Iterable[str]) -> set[str]:
    """A run that took images of this patient from an extra folder knows the patient by the name in their header."""
    in_extra_folder = name_in_collection(EXTRA, remove_collection(patient))
    return {in_extra_folder, *map(normalise_patient_id, (patient, *others))}


def find_samples(dataset: Dataset, cache: Cache, split: str) -> Samples:
    """Find a split's images in the cache, by image_id and SOP instance UID: another dataset may use the same names.

    Images that could not be preprocessed are missing from the result.
    """
    images = dataset.select_images(split).sort_values("image_id", ignore_index=True)
    table = images[IDENTITY].assign(label=(images["label"] == "malignant").astype(int))
    names = list(zip(images["image_id"], images["sop_uid"], strict=True))
    places = zip(cache.index["image_id"], cache.index["sop_uid"], strict=True)
    position = {name: row for row, name in enumerate(places)}
    absent = {image_id for image_id, uid in names if (image_id, uid) not in position}
    left_out = absent & cache.read_left_out().keys()
    if left_out:
        table = table[~table["image_id"].isin(left_out)].reset_index(drop=True)
        names = [name for name in names if name[0] not in left_out]
        absent -= left_out
    if absent:
        raise DataError(
            f"{len(absent)} of {len(table)} {split} images are not in the cache: {', '.join(sorted(absent)[:3])}",
            hint="choose the cache that was made from this dataset, or preprocess the dataset again",
        )
    return Samples(table, np.array([position[name] for name in names], dtype=int))


def split_off_patients(samples: Samples, share: float, seed: int, usable: np.ndarray) -> tuple[Samples, Samples]:
    """Split a share of the patients with a usable image off, at least one: (the others' images, their images).

    `usable` is (n,) bool. Names and seed alone decide which patients these are.
    """
    patients = sorted(samples.select(usable).patients, key=lambda patient: seed_at(seed, "held out", patient))
    count = max(round(share * len(patients)), 1)
    if len(patients) <= count:
        raise DataError(
            f"only {len(patients)} of the {len(samples.patients)} training patients have a usable image; at least two "
            "are needed: one to train on, one to choose the best epoch",
            hint=f"organize a larger part of the data, or check the breast masks on a contact sheet; "
            f"{hints.setting('block')} and "
            f"{hints.setting('threshold')} decide which parts of a breast can be masked",
        )
    held_out = samples.table["patient_id"].isin(patients[:count]).to_numpy()
    return samples.select(~held_out), samples.select(held_out)


def keep_labels(samples: Samples, settings: LabelSettings, seed: int) -> Samples:
    """Keep the labels of a percentage of the patients and set the others to UNKNOWN, or drop those images.

    Patients with and without a malignant image are drawn alike. A smaller percentage is a subset of a larger one.
    """
    percent = settings.label_percent
    kept: set[str] = set()
    worst = samples.table.groupby("patient_id")["label"].max()
    for label in (0, 1):
        patients = sorted(worst.index[worst == label], key=lambda patient: seed_at(seed, "labelled", patient))
        kept |= set(patients[: round(percent / 100 * len(patients))])
    labels = samples.table["label"].where(samples.table["patient_id"].isin(kept), UNKNOWN)
    present = set(labels) - {UNKNOWN}
    if present != {0, 1}:
        raise DataError(
            f"with {percent:g} % of the labels no {'malignant' if 1 not in present else 'benign'} training image is "
            "left",
            hint=f"keep more of them: {hints.setting('label_percent')}",
        )
    whole = Samples(samples.table.assign(label=labels), samples.positions)
    return whole.select(whole.labels != UNKNOWN) if settings.unlabelled == "ignore" else whole


def check_learnable(train: Samples, val: Samples, test: Samples) -> None:
    for name, samples in (("training", train), ("validation", val), ("test", test)):
        if not len(samples):
            raise DataError(
                f"the {name} split has no images", hint="organize the download again with a split that has some"
            )
        check_both_labels(f"{name} images", samples)


def check_both_labels(which: str, samples: Samples) -> None:
    if len(set(samples.labels)) < 2:
        raise DataError(
            f"all {len(samples)} {which} are {'malignant' if samples.labels[0] else 'benign'}",
            hint="training, validation and test need both classes: organize a larger part of the data",
        )


def check_unseen(whose: str, seen: Iterable[str], **evaluated_on: Samples) -> None:
    """Refuse a run whose weights or settings come from the patients of a split that evaluates it."""
    for name, samples in evaluated_on.items():
        met = samples.find_seen(seen)
        if met:
            raise DataError(
                f"{whose} have seen {len(met)} of the {len(samples.patients)} {name} patients: "
                f"{', '.join(met[:_SHOWN])}" + (f" and {len(met) - _SHOWN} more" if len(met) > _SHOWN else ""),
                hint="use weights or settings of a run with other patients, ImageNet weights, or none",
            )
