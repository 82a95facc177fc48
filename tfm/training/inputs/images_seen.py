"""What the training images of a run look like: the steps that made them, their grey levels, sizes and makers.
A run remembers it, so that new images can be preprocessed alike and compared with it when the cache is gone."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from tfm.core import files
from tfm.core.events import Event, Progress
from tfm.core.randomness import seed_at
from tfm.core.runs.run import Run
from tfm.data.cache.cache import SETTINGS
from tfm.data.cbis_name import find_cbis_names
from tfm.data.new_images.image_facts import read_image_facts
from tfm.training.inputs.training_data import TrainingData

CROP_SHARE = 0.95  # of its bounding box; whole breasts fill less: 0.73 on average and 0.90 at most in 1231 mammograms

# What is measured on an image:
SCALE = "scale"  # rows of the file for one row of the training image
LEVEL, CONTRAST = "level", "contrast"  # mean and standard deviation inside the breast; white is 1
AREA = "area"  # share of the image that is breast
BOX = "box"  # share of its bounding box that the breast fills

_FACT = "images_seen"
_MOST_IMAGES = 300  # enough for the range of a collection, and read in seconds


@dataclass(frozen=True)
class ImagesSeen:
    steps: dict[str, Any]  # content of the cache's settings file
    images: int  # how many were measured
    ranges: dict[str, tuple[float, float]]  # of what is measured: smallest and largest
    inverted: bool  # whether the steps inverted any of them
    crops: bool  # whether they are crops of lesions
    makers: list[str] | None  # of the DICOM files, "" for none; None: no file is DICOM


def remember_images_seen(run: Run, data: TrainingData) -> Iterator[Event]:
    """Let a training run remember its images, once."""
    if _FACT not in run.read_environment():
        run.save_facts(**{_FACT: asdict((yield from describe_images_seen(data)))})


def recall_images_seen(run: Run) -> ImagesSeen | None:
    """Return what a training run remembers. A run of an older version remembers nothing, or less than is needed."""
    facts = run.read_environment().get(_FACT, {})
    if facts.keys() != {one.name for one in fields(ImagesSeen)}:
        return None
    return ImagesSeen(**{**facts, "ranges": {name: (low, high) for name, (low, high) in facts["ranges"].items()}})


def describe_images_seen(data: TrainingData) -> Generator[Event, None, ImagesSeen]:
    """Measure some training images. Names decide which, so that it is the same whenever it is done."""
    cache, table = data.cache, data.train.table
    names = sorted(table["image_id"], key=lambda name: seed_at("images seen", name))[:_MOST_IMAGES]
    positions = dict(zip(table["image_id"], data.train.positions, strict=True))
    file_of = dict(zip(data.dataset.manifest["image_id"], data.dataset.manifest["file"], strict=True))
    measured: dict[str, list[float]] = {}
    makers: set[str] = set()
    inverted = False
    for done, name in enumerate(names, 1):
        at = positions[name]
        record = json.loads(cache.index["record"].iloc[at])
        for what, value in measure_image(cache.images[at], cache.breast[at], record).items():
            measured.setdefault(what, []).append(value)
        inverted = inverted or was_inverted(record)
        facts = read_image_facts(data.dataset.path(file_of[name]), name)
        if facts.is_dicom:
            makers.add(facts.maker)
        yield Progress("training images described", done, len(names), "images")
    return ImagesSeen(
        steps=files.read_yaml(cache.folder / SETTINGS),
        images=len(names),
        ranges={what: (min(values), max(values)) for what, values in measured.items()},
        inverted=inverted,
        crops=all(_is_name_of_crop(name) for name in names),
        makers=sorted(makers) or None,
    )


def measure_image(image: np.ndarray, breast: np.ndarray, record: Mapping[str, Any]) -> dict[str, float]:
    """Measure a preprocessed image (H, W) and its breast (H, W), 0 or 1. What is unknown is left out."""
    measured: dict[str, float] = {}
    if "geometry" in record:
        measured[SCALE] = float(record["geometry"]["down"])
    if breast.any():
        levels = image[breast > 0] / np.iinfo(image.dtype).max
        measured |= {LEVEL: float(levels.mean()), CONTRAST: float(levels.std())}
        measured |= {AREA: float(breast.mean()), BOX: measure_box_share(breast)}
    return measured


def measure_box_share(breast: np.ndarray) -> float:  # (H, W) 0 or 1
    """The share of its bounding box that a breast fills."""
    rows, columns = np.flatnonzero(breast.any(1)), np.flatnonzero(breast.any(0))
    return float(breast[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].mean()) if len(rows) else 1.0


def was_inverted(record: Mapping[str, Any]) -> bool:
    return bool(record.get("polarity", {}).get("turned"))


def _is_name_of_crop(image_id: str) -> bool:
    return any(name.lesion for name in find_cbis_names(image_id))
