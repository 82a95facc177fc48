"""The dataset of an external test: every image is a test image, and no model has seen a patient or an image of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from tfm.core import hints
from tfm.core.errors import DataError, SettingsError, TFMError
from tfm.core.runs.inputs import list_inputs
from tfm.core.runs.lookup import find_run
from tfm.core.runs.resolve_command_settings import load_settings
from tfm.core.runs.run import Run
from tfm.core.runs.workspace import Workspace
from tfm.data.cache.cache import Cache
from tfm.data.dataset.dataset import Dataset
from tfm.data.seen_patients import SeenPatients
from tfm.training.inputs.samples import IDENTITY, Samples

_PREDICTING = ("train", "forest", "average")
_SHOWN = 5  # names in an error
_LEAVE_OUT = "leave them out of the table or the folder of the download, and organize it under another name"


def open_external_dataset(workspace: Workspace, name: str, runs: Sequence[Run]) -> Dataset:
    """Open a dataset to test these runs on. Refuse it where a run cannot predict it or has seen a patient of it."""
    dataset = Dataset.open(workspace.dataset_folder(name)).use_all_for_testing()
    if not len(dataset.manifest):
        raise DataError(f"the dataset {name} has no images to test on", hint="organize a download with images")
    without = [run.id for run in runs if run.read_stage() not in _PREDICTING]
    if without:
        raise SettingsError(
            f"{_list_names(without)}: no weights to predict another dataset with",
            hint=f"leave them out: an external test needs runs of {', '.join(_PREDICTING)}",
            fields=("runs",),
        )
    trained = [run.id for run in runs if run.read_environment()["dataset_hash"] == dataset.content_hash]
    if trained:
        raise SettingsError(
            f"{name} is the dataset that {_list_names(trained)} was trained on: its own test split already is the test",
            hint="name the other runs, or choose another dataset, or none",
            fields=("dataset",),
        )
    for run in runs:
        _refuse_seen_patients(run, dataset)
    return dataset


def _refuse_seen_patients(run: Run, dataset: Dataset) -> None:
    seen = find_known_patients(dataset, SeenPatients.read(run))
    if seen:
        patients = dataset.manifest["patient_id"].nunique()
        raise DataError(
            f"{run.id} has learned from {len(seen)} of the {patients} patients of {dataset.folder.name}, "
            f"directly or through its weights: {_list_names(seen)}",
            hint=_LEAVE_OUT,
        )


def find_known_patients(dataset: Dataset, known: Iterable[str]) -> list[str]:
    """Return the patients of a dataset that are among `known` under any of their names."""
    return Samples(dataset.manifest[IDENTITY], np.arange(len(dataset.manifest))).find_seen(known)


def check_both_classes(dataset: Dataset) -> None:
    labels = set(dataset.manifest["label"])
    if len(labels) < 2:
        raise DataError(
            f"all {len(dataset.manifest)} images of {dataset.folder.name} are {labels.pop()}, so no AUC can be "
            "compared on them",
            hint=f"measure sensitivity or specificity alone: {hints.command('evaluate', dataset=dataset.folder.name)}",
        )


def refuse_training_images(run: Run, dataset: Dataset, records: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Refuse images whose pixels a run has learned from under another name. Return what could not be compared.

    Args:
        records: of the preprocessing of the dataset's images.
    """
    known, gone = _read_training_pixels(run)
    copies = [f"{name} (as {known[one['pixels']]})" for name, one in records.items() if one.get("pixels") in known]
    if copies:
        raise DataError(
            f"{run.id} has learned from {len(copies)} images of {dataset.folder.name} under another name: "
            f"{_list_names(copies)}",
            hint=_LEAVE_OUT,
        )
    return gone


def _read_training_pixels(run: Run) -> tuple[dict[str, str], list[str]]:
    """Map the pixels of each image that a run has learned from, directly or through its weights, to its name.

    Also return the inputs that are gone.
    """
    known: dict[str, str] = {}
    gone: list[str] = []
    inputs = [(needed.kind, name) for _, needed, name in list_inputs(load_settings(run))]
    for name in [name for kind, name in inputs if kind == "run"]:
        try:
            more, gone_there = _read_training_pixels(find_run(run.workspace, name))
        except TFMError:
            gone.append(f"the run {name}")
        else:
            known, gone = known | more, gone + gone_there
    named = dict(inputs)
    if "cache" in named and "dataset" in named:
        try:
            manifest = Dataset.open(run.workspace.dataset_folder(named["dataset"])).manifest
            cache = Cache.open(run.workspace.cache_folder(named["cache"]))
        except DataError:
            return known, [*gone, f"the dataset {named['dataset']} or the cache {named['cache']}"]
        known_patients = SeenPatients.read(run)
        is_seen = manifest["patient_id"].map(lambda patient: known_patients.has_any([patient]))
        seen = cache.read_records(manifest["image_id"][is_seen])
        known |= {record["pixels"]: name for name, record in seen.items() if "pixels" in record}
    return known, gone


def _list_names(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
