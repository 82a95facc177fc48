"""A small dataset and its cache, as `organize` and `preprocess` would write them: discs are benign, stars malignant.

It is made in a second, for trainings that try the program and not a model.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence

import cv2
import numpy as np
import pandas as pd

from tfm.core import files
from tfm.core.runs.workspace import Workspace
from tfm.data.dataset.dataset import name_mask_file, write_manifest
from tfm.data.dataset.lesion_classes import encode_mask_class

Drawing = tuple[np.ndarray, np.ndarray, np.ndarray]  # the image, the breast and the lesion, each (H, W) uint8

_SEED = 5


def write_prepared_dataset(
    workspace: Workspace, name: str, patients: Mapping[str, int], side: int, *, protocol: str, synthetic: bool = True
) -> None:
    """Write a dataset and a cache of square images.

    Args:
        patients: of each split. Each has two images; every other patient has a malignant lesion.
    """
    generator = np.random.default_rng(_SEED)
    rows: list[dict[str, str]] = []
    images: list[Drawing] = []
    for split, count in patients.items():
        for number in range(count):
            for view in ("CC", "MLO"):
                label = "malignant" if number % 2 else "benign"
                images.append(draw_image(label == "malignant", generator, side))
                rows.append(make_manifest_row(f"P_{split}{number:02d}", view, split, label, len(rows)))
    write_dataset_and_cache(workspace, name, rows, images, protocol=protocol, synthetic=synthetic)


def draw_image(malignant: bool, generator: np.random.Generator, side: int) -> Drawing:
    image, breast, lesion = (np.zeros((side, side), np.uint8) for _ in range(3))
    cv2.ellipse(breast, (0, side // 2), (side - 6, side // 2 - 2), 0, 0, 360, 1, -1)
    image[breast > 0] = generator.integers(60, 100, size=int(breast.sum()))
    centre, radius = generator.integers(side // 3, side // 2, size=2), side // 8
    cv2.circle(lesion, centre.tolist(), radius, encode_mask_class("mass", "MALIGNANT" if malignant else "BENIGN"), -1)
    if malignant:
        for angle in generator.uniform(0, 2 * np.pi, size=7):
            tip = centre + 2 * radius * np.array([np.cos(angle), np.sin(angle)])
            cv2.line(image, centre.tolist(), tip.astype(int).tolist(), 230, 1)
    else:
        cv2.circle(image, centre.tolist(), radius, 200, -1)
    return image, breast, lesion


def make_manifest_row(patient: str, view: str, split: str, label: str, number: int) -> dict[str, str]:
    """A mass of a left breast. `number` tells it from the other images."""
    image_id = f"{patient}_LEFT_{view}"
    return {
        "image_id": image_id,
        "patient_id": patient,
        "side": "LEFT",
        "view": view,
        "kind": "mass",
        "split": split,
        "label": label,
        "mask": name_mask_file(image_id),
        "sop_uid": f"1.2.{number}",
    }


def write_dataset_and_cache(
    workspace: Workspace,
    name: str,
    rows: Sequence[Mapping[str, str]],
    images: Sequence[Drawing],
    *,
    protocol: str,
    synthetic: bool,
) -> None:
    """Write what `organize` and `preprocess` would write of these rows of the manifest and their images."""
    columns = ("density", "assessment", "subtlety", "file", "lesions", "fold")
    dataset, cache = workspace.dataset_folder(name), workspace.cache_folder(name)
    for folder in (dataset, cache):
        folder.mkdir(parents=True)
    write_manifest(dataset, pd.DataFrame(rows).assign(**dict.fromkeys(columns, "")).sort_values("image_id"))
    files.write_text(dataset / ".arrangement", name)
    files.write_json(dataset / "audit.json", {"protocol": protocol, "synthetic": synthetic})
    for array, content in zip(("images", "breast", "lesions"), zip(*images, strict=True), strict=True):
        np.save(cache / f"{array}.npy", np.stack(content))
    records = [json.dumps({"lesions": hashlib.sha256(lesion.tobytes()).hexdigest()}) for *_, lesion in images]
    pd.DataFrame(rows)[["image_id", "sop_uid"]].assign(record=records).to_csv(cache / "index.csv", index=False)
    files.write_yaml(cache / "settings.yaml", {})
