"""A contact sheet of images that a masked image model reconstructs from their visible blocks."""

from __future__ import annotations

from pathlib import Path

import torch

from tfm.imaging.contact_sheet import Row, Tile, draw_contact_sheet, encode_thumbnails
from tfm.models.masked_image_model import MaskedImageModel
from tfm.training.batches import Batch, draw_numbers
from tfm.training.precision import autocast
from tfm.training.state import Training
from tfm.training.tasks.reconstruction import Reconstruction, compute_breast_error

_PATIENTS = 4  # the first ones of the validation split, so that sheets can be compared


def draw_reconstructions(path: Path, training: Training, task: Reconstruction) -> list[str]:
    """Draw one image of each patient with the blocks that validation masks. Return the first row as a thumbnail."""
    images, network = training.val, training.evaluated_network
    chosen = images.samples.table.drop_duplicates("patient_id").index[:_PATIENTS].to_numpy()
    drawn = draw_numbers(len(images.samples), task.draws, training.recipe.seed, "validation")[chosen]
    batch = Batch(images.load(chosen), images.load_targets(chosen, task.needs), drawn)
    network.eval()
    assert isinstance(network, MaskedImageModel)
    with torch.inference_mode(), autocast(training.precision, images.device):
        hidden, rebuilt = task.reconstruct(network, batch)
        seen = network.hide_blocks(batch.images, hidden)
    errors = compute_breast_error((rebuilt.float() - batch.images).abs(), (batch.targets["breast"] > 0) & hidden)
    columns = {
        "original": batch.images,
        "input of the network": seen.float(),
        "masked blocks reconstructed": torch.where(hidden, rebuilt.float(), batch.images),
        "whole output": rebuilt.float(),
    }
    scale = images.normalisation
    greys = {  # (B, 1, H, W) → (B, H, W) uint8
        title: ((part * scale.deviation + scale.mean).clamp(0, 1) * 255).round().byte()[:, 0].cpu().numpy()
        for title, part in columns.items()
    }
    rows = [
        Row(
            f"{name}: mean error {error:.2f} standard deviations",
            [Tile(title, grey[number]) for title, grey in greys.items()],
        )
        for number, (name, error) in enumerate(
            zip(images.samples.table["image_id"][chosen], errors.tolist(), strict=True)
        )
    ]
    draw_contact_sheet(path, f"{path.stem.replace('_', ' ')}: masked blocks, reconstructed", rows)
    return encode_thumbnails([grey[0] for grey in greys.values()])
