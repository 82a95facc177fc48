"""What a run's frozen backbone makes of each image, extracted once and kept in the workspace for what learns from it.

How features are taken out of a network stands in features; what learns from them in forest.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Generator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from tfm.core import files, hints
from tfm.core.errors import DataError, SettingsError
from tfm.core.events import Event, Note
from tfm.models.build import build_model
from tfm.models.freezing import freeze
from tfm.models.head import find_head, find_last_layer
from tfm.models.settings import ModelSettings
from tfm.training import gpu_lock
from tfm.training.batches import Images, Normalisation
from tfm.training.device import arithmetic
from tfm.training.frozen_features import features
from tfm.training.inputs.lineage import Origin
from tfm.training.inputs.training_data import Material
from tfm.training.settings import Embedding

Found = dict[str, np.ndarray]  # split → (n, k) float32, in the order of the split's rows

_WORDS = {"train": "training", "val": "validation", "test": "the test"}
_ACCOUNT = "account.json"  # of what the embeddings are; and their digests, as soon as they are whole


@dataclass(frozen=True)
class Backbone:
    """A done run's network at its best, of which nothing is trained any more."""

    network: nn.Module
    part: nn.Module  # what comes into it is the embedding
    embedding: Embedding
    normalisation: Normalisation
    batch_size: int
    precision: str

    @classmethod
    def of(
        cls, origin: Origin, model: ModelSettings, embedding: Embedding, in_size: tuple[int, int], precision: str
    ) -> Backbone:
        network = build_model(model, in_size)
        network.load_state_dict(origin.checkpoints.load_best()["network"])
        freeze(network, "none")
        if embedding == "dense128" and model.head is None:
            raise SettingsError(
                f"the network of {origin.run.id} has no hidden layer before its classifier",
                hint=f"choose {hints.setting('embedding', 'pool2048')}, or a run that was trained with one: "
                f"{hints.setting('head', 128)}",
                fields=("embedding",),
            )
        part = find_head(network) if embedding == "pool2048" else find_last_layer(network)
        began = origin.run.read_environment()
        normalisation = Normalisation(**began["normalisation"])
        return cls(network, part, embedding, normalisation, began["batch_size"], precision)

    def identity(self, device: torch.device) -> dict[str, Any]:
        """Of all that an embedding hangs on but the image, so of nothing behind the place where it is taken; also how
        images are cut into batches and what computes, for one run may go on where another was stopped."""
        behind = {id(tensor) for tensor in self.part.parameters()}
        digest = hashlib.sha256()
        for name, tensor in [*self.network.named_parameters(), *self.network.named_buffers()]:
            if id(tensor) not in behind:
                digest.update(name.encode())
                digest.update(tensor.detach().cpu().numpy().tobytes())
        way = {"embedding": self.embedding, "precision": self.precision, "batch_size": self.batch_size}
        return {"backbone": digest.hexdigest(), "way": way | asdict(self.normalisation) | arithmetic(device)}


def embeddings(
    place: Path, backbone: Backbone, material: Material, facts: dict[str, Any], device: torch.device, run: str
) -> Generator[Event, None, Found]:
    """Those of all three splits: read where they stand below `place`, else extracted for `run`. `facts` are the
    material's."""
    of = backbone.identity(device) | {
        "dataset": [facts["dataset_hash"], facts["split_hash"]],
        "images": facts["images_sha256"],
    }
    digest = hashlib.sha256(json.dumps(of, sort_keys=True).encode()).hexdigest()
    folder = place / f"{backbone.embedding}-{digest[:16]}"
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as held:
        yield from gpu_lock.take(folder / "lock", "the folder of the embeddings", run, held)
        files.remove_leftovers(folder)
        account = _checked(folder, of)
        if "sha256" in account:
            yield Note(f"the embeddings were extracted before: {folder}")
            return _standing(folder, account["sha256"])
        files.write_json(folder / _ACCOUNT, {"of": of})
        return (yield from _extracted(folder, of, backbone, material, device))


def _checked(folder: Path, of: dict[str, Any]) -> dict[str, Any]:
    """The folder's name says of what they are already; its account proves it, whoever copied what."""
    try:
        account: dict[str, Any] = files.read_json(folder / _ACCOUNT)
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise _not_as_written(folder, _ACCOUNT) from error
    other = [name for name, value in of.items() if account.get("of", {}).get(name) != value]
    if other:
        raise DataError(
            f"the embeddings in {folder} are those of another {' and another '.join(other)}",
            hint="remove that folder: they are then extracted from the right ones",
        )
    return account


def _extracted(
    folder: Path, of: dict[str, Any], backbone: Backbone, material: Material, device: torch.device
) -> Generator[Event, None, Found]:
    network, found = backbone.network.to(device), {}
    for split, words in _WORDS.items():
        images = Images(material.cache, getattr(material, split), backbone.normalisation, device)
        found[split] = yield from features(
            network,
            backbone.part,
            images,
            backbone.batch_size,
            folder / f"{split}.npy",
            name=f"embeddings of {words}",
            precision=backbone.precision,
        )
    digests = {split: files.compute_sha256(folder / f"{split}.npy") for split in found}
    files.write_json(folder / _ACCOUNT, {"of": of, "sha256": digests})
    return found


def _standing(folder: Path, digests: dict[str, str]) -> Found:
    found = {}
    for split, digest in digests.items():
        file = folder / f"{split}.npy"
        if not file.is_file() or files.compute_sha256(file) != digest:
            raise _not_as_written(folder, file.name)
        found[split] = np.load(file)
    return found


def _not_as_written(folder: Path, file: str) -> DataError:
    return DataError(
        f"the embeddings in {folder} are no longer as they were written: {file} is damaged or gone",
        hint="remove that folder: they are then extracted anew",
    )
