"""The real mammograms that lie beside the project, as a dataset and a cache with a random split of their patients."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

from tfm.core.randomness import seed_at
from tfm.core.runs.workspace import Workspace
from tfm.data.dataset.dataset import name_mask_file
from tfm.data.dataset.lesion_classes import encode_mask_class
from tfm.data.phantom.prepared_dataset import write_dataset_and_cache

SHARES = {"train": 0.6, "val": 0.2, "test": 0.2}  # of the patients
_PREFIX = "Mass-Training_"


def make_mass256(workspace: Workspace, shared_data: Path, name: str, *, side: int, seed: int) -> None:
    """Write the 1231 images of the official training set, enlarged to `side`, split by patient as the seed says.

    The official test patients are not among them.
    """
    folder = shared_data / "mass256"
    with (folder / "labels.csv").open(newline="", encoding="utf-8") as file:
        table = sorted(csv.DictReader(file), key=lambda row: row["image"])
    splits = _split_patients((row["patient_id"] for row in table), seed)
    rows, images = [], []
    for row in table:
        malignant = "MALIGNANT" in row["pathologies"].split("|")
        mask = _read(folder / "masks" / f"{row['image']}.png") > 0
        lesion = mask * np.uint8(encode_mask_class("mass", "MALIGNANT" if malignant else "BENIGN"))
        size = (side, side)
        grey = _read(folder / "images" / f"{row['image']}.png")
        image = cv2.resize(grey, size, interpolation=cv2.INTER_CUBIC)
        lesion = cv2.resize(lesion, size, interpolation=cv2.INTER_NEAREST)
        images.append((image, (image > 0).astype(np.uint8), lesion))
        image_id = row["image"].removeprefix(_PREFIX)
        rows.append(
            {
                "image_id": image_id,
                "patient_id": row["patient_id"],
                "side": row["side"],
                "view": row["view"],
                "kind": "mass",
                "split": splits[row["patient_id"]],
                "label": "malignant" if malignant else "benign",
                "mask": name_mask_file(image_id),
                "sop_uid": f"1.2.{len(rows)}",
            }
        )
    protocol = f"random split {seed} of the official training patients, masses"
    write_dataset_and_cache(workspace, name, rows, images, protocol=protocol, synthetic=False)


def _read(path: Path) -> np.ndarray:
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert image is not None, path
    return image


def _split_patients(patients: Iterable[str], seed: int) -> dict[str, str]:
    drawn = sorted(set(patients), key=lambda patient: seed_at(seed, "mass256", patient))
    ends = np.cumsum([round(share * len(drawn)) for share in SHARES.values()])[:-1]
    parts = zip(SHARES, np.split(np.array(drawn), ends), strict=True)
    return {patient: split for split, part in parts for patient in part.tolist()}
