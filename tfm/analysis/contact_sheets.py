"""What preprocessing and augmentation do, shown on some films: each step's image beside the one before.

How a sheet is drawn stands in the imaging floor; nothing here keeps an image.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

import pandas as pd
import torch

from tfm.core.errors import SettingsError
from tfm.core.randomness import seed_at
from tfm.data.dataset.dataset import Dataset
from tfm.imaging.chain import PreprocessedImage, run_chain
from tfm.imaging.contact_sheet import Row, Tile
from tfm.imaging.read_image import read_pixels
from tfm.imaging.settings import ChainSettings
from tfm.training import augment
from tfm.training.augmented_copies import changed
from tfm.training.settings import AugmentSettings

_CHANGED = 6  # augmented copies beside an image


def choose_images(dataset: Dataset, picked: Sequence[str], count: int, seed: int) -> pd.DataFrame:
    """Rows of the manifest: those picked by image_id, in that order, or drawn of the training images, of each label and
    view in turn."""
    manifest = dataset.manifest
    if picked:
        unknown = sorted(set(picked) - set(manifest["image_id"]))
        if unknown:
            raise SettingsError(
                f"there is no image {', '.join(unknown)} in this dataset",
                hint=f"take an image_id of {dataset.folder / 'manifest.csv'}, such as {manifest['image_id'].iloc[0]}",
                fields=("images",),
            )
        return manifest.set_index("image_id", drop=False).loc[list(picked)]
    train = dataset.select_images("train")  # a chain is tuned by what is seen here, and must not be tuned to the test
    shuffled = train.assign(turn=[seed_at(seed, "sheet", name) for name in train["image_id"]]).sort_values("turn")
    groups = [list(group.index) for _, group in shuffled.groupby(["view", "label"])]
    in_turn = [index for dealt in zip_longest(*groups) for index in dealt if index is not None]
    return train.loc[in_turn[:count]]


def show_steps(dataset: Dataset, row: dict[Any, Any], chain: ChainSettings) -> tuple[Row, PreprocessedImage]:
    """The film with its lesions outlined, then the image after each step, the last one outlined again."""
    mask = dataset.path(row["mask"]) if row["mask"] else None
    lesions = read_pixels(mask) if mask else None
    tiles: list[Tile] = []
    making = run_chain(dataset.path(row["file"]), mask, chain)
    while True:
        try:
            name, film = next(making)
        except StopIteration as end:
            done: PreprocessedImage = end.value
            break
        tiles.append(Tile(name.replace("_", " "), film.image, lesions=None if tiles else lesions))
    tiles.append(Tile("with breast and lesions", done.image, done.breast, done.lesions))
    return Row(f"{row['image_id']}  ({row['label']}, {row['split']})", tiles), done


def show_augmentations(name: str, done: PreprocessedImage, settings: AugmentSettings, seed: int) -> Row:
    """The prepared image and some draws of what a training may see of it, its lesions moved along."""
    copies = [Tile("prepared", done.image, lesions=done.lesions)]
    lesions = torch.from_numpy(done.lesions)[None, None]
    for number in range(_CHANGED):
        drawn = augment.draw(seed_at(seed, name), number, 1)
        moved = augment.apply_geometry(lesions, drawn, settings)[0, 0].numpy()
        copies.append(Tile(f"draw {number + 1}", changed(done.image, drawn, settings), lesions=moved))
    return Row(name, copies)
