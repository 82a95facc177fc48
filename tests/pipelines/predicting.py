"""A small dataset of image files with its cache, made by the commands, and runs that predict files."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from tests.training.small_dataset import finish_run
from tfm.core import files
from tfm.core.runs.find_or_create import find_or_create_job
from tfm.core.runs.run import Run
from tfm.core.runs.workspace import Workspace
from tfm.data.dataset.dataset import name_image_file, name_mask_file, write_manifest
from tfm.data.dataset.lesion_classes import encode_mask_class
from tfm.data.phantom.prepared_dataset import make_manifest_row

HEIGHT, WIDTH = 96, 80
PATIENTS = {"train": 8, "val": 4, "test": 4}  # two images each
CPU = {"threads": 1, "device": "cpu"}


def draw_breast(seed: int, *, malignant: bool = False) -> np.ndarray:
    """(HEIGHT, WIDTH) uint8: a breast at the left edge, with a spot if it is malignant."""
    generator = np.random.default_rng(seed)
    image = np.zeros((HEIGHT, WIDTH), np.uint8)
    cv2.ellipse(image, (0, HEIGHT // 2), (WIDTH - 25, HEIGHT // 2 - 12), 0, 0, 360, 110, -1)
    noise = generator.integers(-25, 25, image.shape)
    image = np.where(image > 0, image + noise, 0).astype(np.uint8)
    if malignant:
        cv2.circle(image, (int(generator.integers(15, 30)), int(generator.integers(40, 55))), 6, 240, -1)
    return image


def make_image_dataset(workspace: Workspace, name: str = "files", *, height: int = 64, width: int = 64) -> None:
    """Write what `organize` would write, as PNG files, and preprocess it to images of this size."""
    write_image_dataset(workspace, name)
    size = {"resize.height": height, "resize.width": width}
    finish_run(find_or_create_job(workspace, "preprocess", {"dataset": name, "cache": name, "workers": 1} | size))


def write_image_dataset(workspace: Workspace, name: str, first: int = 0, patients: dict[str, int] = PATIENTS) -> None:
    """Write what `organize` would write, as PNG files. The patients are counted from `first`, and drawn anew."""
    folder, rows = workspace.dataset_folder(name), []
    for split, count in patients.items():
        for number in range(count):
            malignant = bool(number % 2)
            label = "malignant" if malignant else "benign"
            patient = f"P_{list(patients).index(split)}{first + number:04d}"
            for view in ("CC", "MLO"):
                image_id = f"{patient}_LEFT_{view}"
                file = name_image_file(split, label, image_id, ".png")
                (folder / file).parent.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(folder / file), draw_breast(100 * first + len(rows), malignant=malignant))
                _draw_mask(folder / name_mask_file(image_id), malignant)
                rows.append(make_manifest_row(patient, view, split, label, 100 * first + len(rows)) | {"file": file})
    empty = dict.fromkeys(("density", "assessment", "subtlety", "lesions", "fold"), "")
    write_manifest(folder, pd.DataFrame(rows).assign(**empty).sort_values("image_id"))
    files.write_text(folder / ".arrangement", name)
    files.write_json(folder / "audit.json", {"protocol": "drawn", "synthetic": True})


def _draw_mask(path: Path, malignant: bool) -> None:
    path.parent.mkdir(exist_ok=True)
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    value = encode_mask_class("mass", "MALIGNANT" if malignant else "BENIGN")
    cv2.imwrite(str(path), cv2.circle(mask, (22, 47), 8, value, -1))


def train_on_files(workspace: Workspace, **given: object) -> Run:
    quick = {"architecture": "test_resnet", "weights": "none", "epochs": 1, "batch_size": 8}
    known = {"dataset": "files", "cache": "files"} | CPU | quick
    return finish_run(find_or_create_job(workspace, "train", known | given, ["ResNet18_CFT"]))


def start_prediction(run: Run, *paths: Path, **given: object) -> Run:
    known = {"run": run.id, "paths": [str(path) for path in paths], "workers": 1} | CPU
    return find_or_create_job(run.workspace, "predict", known | given)


def predict_files(run: Run, *paths: Path, **given: object) -> Run:
    return finish_run(start_prediction(run, *paths, **given))


def read_rows(run: Run, name: str = "images") -> list[dict[str, str]]:
    with open(run.folder / f"{name}.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
