"""What a training leaves behind, by parts, so that two trainings can be compared to the last bit."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import torch

from tfm.core.runs.run import BEST_CHECKPOINT, Run
from tfm.training.checkpoint import LAST_CHECKPOINT, RUN_KEY, read_checkpoint

Part = Mapping[str, bytes]  # the content of each tensor, number or file

_OF_A_CHECKPOINT = {"network": "weights", "ema": "weights", "optimizer": "optimizer"}
_OTHER_STATE = "state of the loop"


def flatten_checkpoint(content: Any, place: str = "") -> dict[str, bytes]:
    """Map the place of each tensor and number of a checkpoint to its content."""
    if isinstance(content, dict | list):
        items = content.items() if isinstance(content, dict) else enumerate(content)
        parts = (flatten_checkpoint(value, f"{place}/{key}") for key, value in items)
        return {place: leaf for part in parts for place, leaf in part.items()}
    if isinstance(content, torch.Tensor):
        return {place: f"{content.dtype} {tuple(content.shape)} ".encode() + content.numpy().tobytes()}
    return {place: repr(content).encode()}


def read_training_results(run: Run) -> Mapping[str, Part]:
    """Read all that must be equal in two trainings with the same key: every part, and what it consists of."""
    parts: dict[str, dict[str, bytes]] = {"weights": {}, "optimizer": {}, _OTHER_STATE: {}}
    for name in (LAST_CHECKPOINT, BEST_CHECKPOINT):
        content = read_checkpoint(run.checkpoints_folder / name)
        for key in content.keys() - {RUN_KEY}:
            part = parts[_OF_A_CHECKPOINT.get(key, _OTHER_STATE)]
            part |= flatten_checkpoint(content[key], f"{name}/{key}")
    paths = {
        "metrics": run.metrics_file,
        "validation predictions": run.predictions_file("val"),
        "test predictions": run.predictions_file("test"),
    }
    return parts | {part: {path.name: path.read_bytes()} for part, path in paths.items()}


def compute_digest(part: Part) -> str:
    digest = hashlib.sha256()
    for place, content in sorted(part.items()):
        digest.update(f"{place} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def list_differing_places(one: Part, other: Part) -> list[str]:
    return sorted(place for place in one.keys() | other.keys() if one.get(place) != other.get(place))
