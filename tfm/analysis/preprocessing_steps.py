"""Chosen images after each imaging step. Augmentation is shown in `preprocessing_examples`."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

import pandas as pd

from tfm.core.errors import SettingsError
from tfm.core.randomness import seed_at
from tfm.data.dataset.dataset import Dataset
from tfm.imaging.chain import PreprocessedImage, run_chain
from tfm.imaging.contact_sheet import Row, Tile
from tfm.imaging.read_image import read_pixels
from tfm.imaging.settings import ChainSettings


def choose_images(dataset: Dataset, picked: Sequence[str], count: int, seed: int) -> pd.DataFrame:
    """Select rows of the manifest: the `picked` ones in their order, or random training images of each label and view
    in turn."""
    manifest = dataset.manifest
    if picked:
        unknown = sorted(set(picked) - set(manifest["image_id"]))
        if unknown:
            raise SettingsError(
                f"the dataset has no image {', '.join(unknown)}",
                hint=f"give an image_id of {dataset.folder / 'manifest.csv'}, such as {manifest['image_id'].iloc[0]}",
                fields=("images",),
            )
        return manifest.set_index("image_id", drop=False).loc[list(picked)]
    train = dataset.select_images("train")  # only training images: a chain must not be tuned on test images
    shuffled = train.assign(turn=[seed_at(seed, "sheet", name) for name in train["image_id"]]).sort_values("turn")
    groups = [list(group.index) for _, group in shuffled.groupby(["view", "label"])]
    in_turn = [index for dealt in zip_longest(*groups) for index in dealt if index is not None]
    return train.loc[in_turn[:count]]


def show_steps(dataset: Dataset, row: dict[Any, Any], chain: ChainSettings) -> tuple[Row, PreprocessedImage]:
    """Show the image after each step. The first and the last tile have outlines."""
    mask = dataset.path(row["mask"]) if row["mask"] else None
    lesions = read_pixels(mask) if mask else None
    tiles: list[Tile] = []
    steps = run_chain(dataset.path(row["file"]), mask, chain)
    while True:
        try:
            name, film = next(steps)
        except StopIteration as end:
            prepared: PreprocessedImage = end.value
            break
        tiles.append(Tile(name.replace("_", " "), film.image, lesions=None if tiles else lesions))
    tiles.append(Tile("with breast and lesions", prepared.image, prepared.breast, prepared.lesions))
    return Row(f"{row['image_id']}  ({row['label']}, {row['split']})", tiles), prepared
