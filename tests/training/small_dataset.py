"""A small dataset and cache in the real formats, learned in seconds: discs are benign, stars are malignant."""

from __future__ import annotations

import contextlib
import hashlib
import json
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from tfm.core import files
from tfm.core.events import Progress
from tfm.core.registry import find_stage
from tfm.core.runs import worker
from tfm.core.runs.find_or_create import find_or_create_job
from tfm.core.runs.resolve_command_settings import load_settings
from tfm.core.runs.run import Run
from tfm.core.runs.workspace import Workspace
from tfm.data.dataset.dataset import name_mask_file, write_manifest
from tfm.data.dataset.lesion_classes import encode_mask_class

SIDE = 64
PATIENTS = {"train": 18, "val": 8, "test": 10}  # two images each


def draw_image(malignant: bool, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Image, breast and lesion (SIDE, SIDE) uint8."""
    image, breast, lesion = (np.zeros((SIDE, SIDE), np.uint8) for _ in range(3))
    cv2.ellipse(breast, (0, SIDE // 2), (SIDE - 6, SIDE // 2 - 2), 0, 0, 360, 1, -1)
    image[breast > 0] = generator.integers(60, 100, size=int(breast.sum()))
    centre = generator.integers(SIDE // 3, SIDE // 2, size=2)
    cv2.circle(lesion, centre.tolist(), 8, encode_mask_class("mass", "MALIGNANT" if malignant else "BENIGN"), -1)
    if malignant:
        for angle in generator.uniform(0, 2 * np.pi, size=7):
            tip = centre + 16 * np.array([np.cos(angle), np.sin(angle)])
            cv2.line(image, centre.tolist(), tip.astype(int).tolist(), 230, 1)
    else:
        cv2.circle(image, centre.tolist(), 8, 200, -1)
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


def make_small_dataset(workspace: Workspace, name: str = "pocket", *, synthetic: bool = True) -> None:
    generator = np.random.default_rng(5)
    rows, images = [], []
    for split, count in PATIENTS.items():
        for number in range(count):
            for view in ("CC", "MLO"):
                patient = f"P_{split}{number:02d}"
                label = "malignant" if number % 2 else "benign"
                images.append(draw_image(label == "malignant", generator))
                rows.append(make_manifest_row(patient, view, split, label, len(rows)))
    write_dataset_and_cache(workspace, name, rows, images, protocol="pocket split, all lesions", synthetic=synthetic)


def write_dataset_and_cache(
    workspace: Workspace, name: str, rows: list[dict[str, str]], images: list[tuple], *, protocol: str, synthetic: bool
) -> None:
    """Write what `organize` and `preprocess` would write.

    Args:
        rows: of the manifest.
        images: the image, breast and lesion (H, W) uint8 of each row.
    """
    columns = ("density", "assessment", "subtlety", "file", "lesions", "fold")
    dataset, cache = workspace.dataset_folder(name), workspace.cache_folder(name)
    for folder in (dataset, cache):
        folder.mkdir(parents=True)
    write_manifest(dataset, pd.DataFrame(rows).assign(**dict.fromkeys(columns, "")).sort_values("image_id"))
    files.write_text(dataset / ".arrangement", name)
    files.write_json(dataset / "audit.json", {"protocol": protocol, "synthetic": synthetic})
    for array, content in zip(("images", "breast", "lesions"), zip(*images, strict=True), strict=True):
        np.save(cache / f"{array}.npy", np.stack(content))
    records = [json.dumps({"lesions": hashlib.sha256(lesion).hexdigest()}) for *_, lesion in images]
    pd.DataFrame(rows)[["image_id", "sop_uid"]].assign(record=records).to_csv(cache / "index.csv", index=False)
    files.write_yaml(cache / "settings.yaml", {})


def rewrite_records(workspace: Workspace, change, name: str = "pocket") -> None:
    """Replace each image's record in the cache by `change(image_id, record)`."""
    path = workspace.cache_folder(name) / "index.csv"
    index = pd.read_csv(path, dtype=str, keep_default_na=False)
    records = zip(index["image_id"], map(json.loads, index["record"]), strict=True)
    index.assign(record=[json.dumps(change(*one)) for one in records]).to_csv(path, index=False)


def rewrite_manifest(workspace: Workspace, change, name: str = "pocket") -> None:
    path = workspace.dataset_folder(name) / "manifest.csv"
    write_manifest(path.parent, change(pd.read_csv(path, dtype=str, keep_default_na=False)))


def change_masks(workspace: Workspace, change, name: str = "pocket") -> None:
    """Replace each image's lesion mask in the cache by `change(image_id, mask)`."""
    folder = workspace.cache_folder(name)
    masks, images = np.load(folder / "lesions.npy"), pd.read_csv(folder / "index.csv")["image_id"]
    changed = [change(*one).astype(np.uint8) for one in zip(images, masks, strict=True)]
    np.save(folder / "lesions.npy", np.stack(changed))


QUICK_SETTINGS = {
    "dataset": "pocket",
    "cache": "pocket",
    "weights": "none",
    "epochs": 2,
    "warmup_epochs": 0.5,
    "batch_size": 9,
    "learning_rate": 2e-3,
    "threads": 1,
    "device": "cpu",
}


def make_train_run(workspace: Workspace, name: str = "MammoCNN", **given) -> Run:
    return find_or_create_job(workspace, "train", QUICK_SETTINGS | given, [name])


def finish_run(run: Run) -> Run:
    """Execute it in this process, as a worker does."""
    assert worker.execute_run(run, stopping=run) == "done", run.read_status().message
    return run


class Killed(BaseException):
    """The end of a process between two steps."""


def stop_after_steps(run: Run, steps: int) -> None:
    """Execute it until so many training steps are done, then abandon it, as a kill does."""
    generator = find_stage("train").generate(load_settings(run), run)
    with run.hold_lock():
        for event in generator:
            steps -= isinstance(event, Progress) and event.name == "step"
            if not steps:
                break
        with contextlib.suppress(Killed):
            generator.throw(Killed())


def read_results(run: Run) -> dict[str, bytes]:
    """Read the files that must be equal to the last bit."""
    paths: list[Path] = [run.metrics_file, run.predictions_file("val"), run.predictions_file("test")]
    return {path.name: path.read_bytes() for path in paths}
