"""What preprocessing and augmentation do, shown on some films: each step's image beside the one before.

How a sheet is drawn stands in the imaging floor; nothing here keeps an image.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

import numpy as np
import pandas as pd
import torch

from tfm.core.errors import SettingsError
from tfm.core.randomness import seed_at
from tfm.data.dataset import Dataset
from tfm.imaging.chain import Prepared, each_step, preprocess_one
from tfm.imaging.contact_sheet import Row, Tile
from tfm.imaging.film import Film
from tfm.imaging.pixels import read_pixels
from tfm.imaging.settings import ChainSettings
from tfm.train import augment
from tfm.train.settings import AugmentSettings

_CHANGED = 6  # augmented copies beside an image


def chosen_films(dataset: Dataset, picked: Sequence[str], count: int, seed: int) -> pd.DataFrame:
    """Rows of the manifest: those picked by image_id, in that order, or drawn: of each label and view in turn."""
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
    shuffled = manifest.assign(turn=[seed_at(seed, "sheet", name) for name in manifest["image_id"]]).sort_values("turn")
    groups = [list(group.index) for _, group in shuffled.groupby(["label", "view"])]
    in_turn = [index for dealt in zip_longest(*groups) for index in dealt if index is not None]
    return manifest.loc[in_turn[:count]]


def steps_of(dataset: Dataset, row: dict[Any, Any], chain: ChainSettings) -> tuple[Row, Prepared]:
    """The film with breast and lesions outlined, then the image after each step, the last one outlined again."""
    path, mask = dataset.path(row["file"]), dataset.path(row["mask"]) if row["mask"] else None
    done = preprocess_one(path, mask, chain)
    film = Film(read_pixels(path, chain.frame))
    tiles = [Tile("film", film.image, lesions=read_pixels(mask) if mask else None)]
    for name, after in each_step(film, chain.chosen()):
        tiles.append(Tile(name.replace("_", " "), after.image))
    tiles.append(Tile("with breast and lesions", done.image, done.breast, done.lesions))
    return Row(f"{row['image_id']}  ({row['label']}, {row['split']})", tiles), done


def changes_of(name: str, done: Prepared, settings: AugmentSettings, seed: int) -> Row:
    """The prepared image as so many epochs of a training would see it, its lesions moved along."""
    copies = [Tile("prepared", done.image, lesions=done.lesions)]
    white = float(np.iinfo(done.image.dtype).max)
    image = torch.from_numpy(done.image.astype(np.float32) / white)[None, None]
    lesions = torch.from_numpy(done.lesions)[None, None]
    for epoch in range(_CHANGED):
        drawn = augment.draw(seed_at(seed, name) % 2**32, epoch, 1)
        changed = (augment.apply(image, drawn, settings)[0, 0].numpy() * white).round().astype(done.image.dtype)
        moved = augment.apply_geometry(lesions, drawn, settings)[0, 0].numpy()
        copies.append(Tile(f"epoch {epoch + 1}", changed, lesions=moved))
    return Row(name, copies)
