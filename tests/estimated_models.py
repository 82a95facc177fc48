"""A workspace with data to estimate from, and what a background process would have measured."""

import struct
from pathlib import Path

from tfm.core.runs.estimate_cache import EstimateCache
from tfm.core.runs.estimate_keys import find_machine_key, make_network_key
from tfm.core.runs.works import Work, list_starts
from tfm.core.runs.workspace import Workspace

SIZE = (512, 320)
COST = {"parameters": 10_000_000, "trained": 10_000_000, "forward": [10, 1], "backward": [20, 2], "memory": [1e8, 5e7]}
SPEED = {"forward": [0.01, 0.1], "backward": [0.02, 0.2], "augmentation": 0, "saved_mb": 0, "start": 5, "memory_gib": 1}
GIVEN = {"dataset": "practice", "cache": "fast"}
FORWARD, BACKWARD = 0.2, 0.8  # seconds an image, from the numbers above


def write_data(workspace: Workspace) -> Workspace:
    """A dataset of 100, 20 and 30 images, in five folds but for the test set, and the head of its cache."""
    rows = ["train,2"] * 50 + ["train,3"] * 50 + ["val,1"] * 20 + ["test,0"] * 30
    _write(workspace.dataset_folder("practice") / "manifest.csv", "split,fold\n" + "\n".join(rows) + "\n")
    _write(workspace.dataset_folder("practice") / ".arrangement", "")
    _write(workspace.cache_folder("fast") / "index.csv", "image_id\n")
    _write(workspace.cache_folder("fast") / "settings.yaml", "")
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': (150, {SIZE[0]}, {SIZE[1]}), }}".ljust(118)
    head = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode()
    (workspace.cache_folder("fast") / "images.npy").write_bytes(head)
    return workspace


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def learn(workspace: Workspace, preset: str, cost: dict = COST, **given) -> Work:
    """Save the cost of the preset's network and the speed of this machine."""
    work = list_starts(workspace, "train", [preset], GIVEN | given)[preset]
    with EstimateCache.change() as cache:
        cache.costs[make_network_key(work, SIZE)] = cost
        cache.speeds[find_machine_key(work)] = SPEED
    return work


def learn_weights(architecture: str, mb: float | None, checked: float = 0.0) -> None:
    """Save that the hub answered with a size, or that it did not answer."""
    found = {"file": None, "mb": mb, "is_reachable": mb is not None, "advice": "connect once", "checked": checked}
    with EstimateCache.change() as cache:
        cache.weights[architecture] = found
