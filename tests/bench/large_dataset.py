"""A dataset with as many images as CBIS-DDSM has. Its images are blank."""

from __future__ import annotations

import numpy as np

from tfm.core.runs.workspace import Workspace
from tfm.data.phantom.prepared_dataset import write_dataset_and_cache

PATIENTS = {"train": 1030, "val": 180, "test": 350}  # two images each


def make_large_dataset(workspace: Workspace) -> None:
    generator = np.random.default_rng(3)
    rows = [
        {
            "image_id": f"P_{split}{number:04d}_LEFT_{view}",
            "patient_id": f"P_{split}{number:04d}",
            "side": "LEFT",
            "view": view,
            "kind": ("mass", "calc")[number % 2],
            "split": split,
            "label": ("benign", "malignant")[generator.integers(2)],
            "mask": "",
            "sop_uid": f"1.2.{split}.{number}.{view}",
        }
        for split, count in PATIENTS.items()
        for number in range(count)
        for view in ("CC", "MLO")
    ]
    blank = np.zeros((2, 2), np.uint8)
    write_dataset_and_cache(
        workspace, "pocket", rows, [(blank, blank, blank)] * len(rows), protocol="large", synthetic=True
    )
