"""Rows of a contact sheet that show what the augmentation does. Imaging steps are shown in `preprocessing_steps`.
The sheet itself is drawn by `tfm.imaging.contact_sheet`."""

from __future__ import annotations

import torch

from tfm.core.randomness import seed_at
from tfm.imaging.chain import PreprocessedImage
from tfm.imaging.contact_sheet import Row, Tile
from tfm.training import augment
from tfm.training.export_augmented_images import augment_image
from tfm.training.settings import AugmentSettings

_COPIES = 6  # augmented copies of each image


def show_augmentations(name: str, prepared: PreprocessedImage, settings: AugmentSettings, seed: int) -> Row:
    """Show the prepared image next to augmented copies, with the lesions transformed in the same way."""
    copies = [Tile("prepared", prepared.image, lesions=prepared.lesions)]
    lesions = torch.from_numpy(prepared.lesions)[None, None]
    for number in range(_COPIES):
        drawn = augment.draw_table(seed_at(seed, name), number, 1)
        moved = augment.augment_masks(lesions, drawn, settings)[0, 0].numpy()
        copies.append(Tile(f"draw {number + 1}", augment_image(prepared.image, drawn, settings), lesions=moved))
    return Row(name, copies)
