"""Unlabelled mammograms of extra folders: which of them may join a dataset's training images, and under which patient.

What a folder contains is read in data.cache.unlabelled.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Collection, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from tfm.core import files, hints
from tfm.core.errors import DataError
from tfm.core.events import Event, Note, Table
from tfm.core.randomness import seed_at
from tfm.core.runs.run import Run
from tfm.data.cache.cache import Cache
from tfm.data.cache.left_out import Reasons
from tfm.data.cache.manifest import read_chain
from tfm.data.cache.unlabelled import UnlabelledImages, build_unlabelled_cache, find_patients_named
from tfm.data.patient_id import (
    EXTRA,
    find_patient_ids,
    list_names_in_files,
    name_in_collection,
    normalise_patient_id,
)
from tfm.training.inputs.images_seen import CROP_SHARE, measure_box_share
from tfm.training.inputs.samples import UNKNOWN, Samples
from tfm.training.inputs.training_data import TrainingData

_LEFT_OUT_FILE = "left_out.csv"

_EVALUATED = "of a patient of validation or test, or of one kept back"
_IN_DATASET = "the image is in the dataset already"
_DUPLICATE = "the same image as another one of the extra folders"
_CROP = "breast from edge to edge, as in a crop"


@dataclass(frozen=True)
class _Known:
    """What is known about the dataset that the extra images join."""

    patients: Collection[str]  # in one spelling, as the others
    evaluated: Collection[str]  # patients that choose epochs or give the results, under all their names
    pixels: Collection[str]
    scans: Collection[str]


def add_extra_images(
    run: Run, data: TrainingData, evaluated: Sequence[Samples], folders: Sequence[Path], version: int
) -> Generator[Event, None, TrainingData]:
    """Add the images of `folders` to the training images, preprocessed like their cache.

    Images of `evaluated` patients and of the dataset are left out. `run` remembers which images are added, and checks
    on resume that they are still the same. `version` is that of the preprocessing code.
    """
    chain = read_chain(data.cache.folder, version)
    known = _describe_dataset(data, evaluated)
    caches, tables, positions = [], [], []
    left_out: dict[Path, Reasons] = {}
    pixels_added: set[str] = set()
    first = len(data.cache.images)
    for folder in folders:
        word = re.sub(r"[^A-Za-z0-9.-]", "_", folder.name).lstrip(".-")
        name = f"{word}-{seed_at(str(folder), chain.model_dump_json()):016x}"  # another one for other steps
        with run.workspace.lock_product("unlabelled", name) as home:
            images, cache = yield from build_unlabelled_cache(home, folder, chain, version=version)
        reasons = _find_reasons(images, cache, known, pixels_added)
        stay = ~cache.index["image_id"].isin(reasons).to_numpy()
        tables.append(_make_table(images, known).loc[stay])
        positions.append(first + np.flatnonzero(stay))
        caches.append(cache)
        left_out[folder] = images.left_out | reasons
        first += len(cache.images)
    extra = Samples(pd.concat(tables, ignore_index=True), np.concatenate(positions))
    yield from _report(run, extra, left_out)
    _remember(run, extra, caches, pixels_added, left_out)
    together = Samples(
        pd.concat([data.train.table, extra.table], ignore_index=True),
        np.concatenate([data.train.positions, extra.positions]),
    )
    return replace(data, cache=data.cache.join(caches), train=together)


def _describe_dataset(data: TrainingData, evaluated: Sequence[Samples]) -> _Known:
    manifest, records = data.dataset.manifest, data.cache.read_records(data.dataset.manifest["image_id"])
    return _Known(
        patients=frozenset(manifest["patient_id"].map(normalise_patient_id)),
        evaluated=frozenset(
            name for samples in evaluated for patient in samples.patient_names for name in list_names_in_files(patient)
        ),
        pixels=frozenset(record["pixels"] for record in records.values()),
        scans=frozenset(manifest["sop_uid"]) - {""},
    )


def _find_reasons(images: UnlabelledImages, cache: Cache, known: _Known, pixels_added: set[str]) -> Reasons:
    """Find why images are left out. The pixels of the others are added to `pixels_added`."""
    reasons: Reasons = {}
    records = cache.read_records(cache.index["image_id"])
    patients = dict(zip(images.manifest["image_id"], images.manifest["patient_id"], strict=True))
    for row, (name, uid) in enumerate(zip(cache.index["image_id"], cache.index["sop_uid"], strict=True)):
        pixels = records[name]["pixels"]
        named = {patients[name], *find_patients_named(images.folder, name, patients[name])}
        if named.intersection(known.evaluated):
            reasons[name] = _EVALUATED
        elif pixels in known.pixels or uid in known.scans:
            reasons[name] = _IN_DATASET
        elif pixels in pixels_added:
            reasons[name] = _DUPLICATE
        elif measure_box_share(cache.breast[row]) > CROP_SHARE:
            reasons[name] = _CROP
        else:
            pixels_added.add(pixels)
    return reasons


def _make_table(images: UnlabelledImages, known: _Known) -> pd.DataFrame:
    """In the order of the cache's rows."""
    manifest = images.manifest.sort_values("image_id", ignore_index=True)
    names = images.folder.name + "/" + manifest["image_id"]
    patients = [
        # The patients of CBIS-DDSM have the same names everywhere. A file without a patient counts as one of its own.
        patient
        if patient in known.patients or find_patient_ids(patient)
        else name_in_collection(EXTRA, patient or name)
        for name, patient in zip(names, manifest["patient_id"], strict=True)
    ]
    return pd.DataFrame({"image_id": names, "patient_id": patients, "side": "", "view": "", "label": UNKNOWN})


def _report(run: Run, extra: Samples, left_out: dict[Path, Reasons]) -> Iterator[Event]:
    listed = [(str(folder), name, why) for folder, reasons in left_out.items() for name, why in reasons.items()]
    if listed:
        path = run.folder / _LEFT_OUT_FILE
        table = pd.DataFrame(listed, columns=["folder", "file", "reason"])
        files.write_text(path, table.to_csv(index=False, lineterminator="\n"))
        counted = Counter(why for _, _, why in listed).most_common()
        first = {why: name for _, name, why in reversed(listed)}
        yield Table(
            f"{len(listed)} files of the extra folders are left out",
            ["files", "reason", "the first"],
            [[str(count), why, first[why]] for why, count in counted],
            f"All of them with their reasons: {path}",
        )
    if not len(extra):
        raise DataError(
            f"no image is left to train on in {', '.join(map(str, left_out))}",
            hint=f"see the reasons in {run.folder / _LEFT_OUT_FILE}; choose other folders, or pretrain without them",
        )
    yield Note(
        f"{len(extra)} images of the extra folders are added, of {len(extra.patients)} patients according to their "
        "files; an image that was saved again with other pixels is not recognised"
    )


def _remember(
    run: Run, extra: Samples, caches: Sequence[Cache], pixels: set[str], left_out: dict[Path, Reasons]
) -> None:
    digest = hashlib.sha256(json.dumps([extra.table["image_id"].tolist(), sorted(pixels)]).encode()).hexdigest()
    before = run.read_environment().get("extra")
    if before and before["sha256"] != digest:
        raise DataError(
            f"the images of {', '.join(map(str, left_out))} have changed since this run started",
            hint=f"train on the images as they are now: {hints.command('runs restart', run.id)}",
        )
    run.save_facts(
        extra={
            "folders": [str(folder) for folder in left_out],
            "caches": [cache.folder.name for cache in caches],
            "images": len(extra),
            "women": len(extra.patients),
            "left_out": sum(map(len, left_out.values())),
            "sha256": digest,
        }
    )
