"""What a network rebuilds of breasts of which blocks were hidden, as a sheet of images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from tfm.imaging.contact_sheet import Row, Tile, draw_contact_sheet, encode_thumbnails
from tfm.models.masked_image_model import MaskedImageModel
from tfm.training.batches import Batch, chances
from tfm.training.precision import computing_in
from tfm.training.state import Training
from tfm.training.tasks.reconstruction import Reconstruct, breast_error

_SHOWN = 4  # women, always the same


def draw_reconstructions(path: Path, training: Training, task: Reconstruct) -> list[str]:
    """An image of each of some women of validation, with the blocks hidden that are hidden there; the first as a
    thumbnail."""
    images, network = training.val, training.judged
    chosen = images.rows.table.drop_duplicates("patient_id").index[:_SHOWN].to_numpy()
    drawn = chances(len(images.rows), task.chances, training.seed, "validation")[chosen]
    batch = Batch(images.batch(chosen), images.truth(chosen, task.needs), drawn)
    network.eval()
    assert isinstance(network, MaskedImageModel)
    with torch.inference_mode(), computing_in(training.precision, images.device):
        hidden, rebuilt = task.rebuilt(network, batch)
        seen = network.hide_blocks(batch.images, hidden)
    off = breast_error((rebuilt.float() - batch.images).abs(), (batch.truth["breast"] > 0) & hidden)
    patched = torch.where(hidden, rebuilt.float(), batch.images)
    columns = {
        "as it is": batch.images,
        "what the network sees": seen.float(),
        "with what it rebuilds": patched,
        "all that it makes of it": rebuilt.float(),
    }
    greys = {words: _grey(training, part) for words, part in columns.items()}
    rows = [
        Row(
            f"{name}: {error:.2f} deviations off",
            [Tile(words, grey[number]) for words, grey in greys.items()],
        )
        for number, (name, error) in enumerate(zip(images.rows.table["image_id"][chosen], off.tolist(), strict=True))
    ]
    draw_contact_sheet(path, f"{path.stem.replace('_', ' ')}: hidden blocks, rebuilt", rows)
    return encode_thumbnails([grey[0] for grey in greys.values()])


def _grey(training: Training, normalised: torch.Tensor) -> np.ndarray:  # (B, 1, H, W) → (B, H, W) uint8
    of = training.val.normalisation
    return ((normalised * of.deviation + of.mean).clamp(0, 1) * 255).round().byte()[:, 0].cpu().numpy()
