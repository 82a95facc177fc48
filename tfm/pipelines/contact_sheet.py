"""Draw contact sheets of the preprocessing steps and of augmentation."""

from __future__ import annotations

from collections.abc import Iterator

from tfm.analysis.preprocessing_examples import show_augmentations
from tfm.analysis.preprocessing_steps import choose_images, show_steps
from tfm.commands.contact_sheet import ContactSheet
from tfm.core.errors import DataError
from tfm.core.events import Event, Note, Picture, Progress, Result
from tfm.core.runs.run import Run
from tfm.data.dataset.dataset import Dataset
from tfm.imaging.contact_sheet import draw_contact_sheet, encode_thumbnails

_SPLITS = {"val": "validation", "test": "test"}


def draw_contact_sheets(settings: ContactSheet, run: Run) -> Iterator[Event]:
    dataset = Dataset.open(run.workspace.dataset_folder(settings.dataset))
    images = choose_images(dataset, settings.images, settings.count, settings.seed)
    names, steps, changes, before_and_after, failed = [], [], [], [], []
    for number, row in enumerate(images.to_dict("records"), 1):
        try:
            shown, done = show_steps(dataset, row, settings.chain)
        except DataError as error:
            failed.append(error)
            yield Note(f"{error.message}: {error.hint}", "warning")
            continue
        if row["split"] != "train":
            yield Note(f"{row['image_id']} is a {_SPLITS[row['split']]} image: do not choose steps by it", "warning")
        names.append(row["image_id"])
        steps.append(shown)
        changes.append(show_augmentations(row["image_id"], done, settings.augmentation, settings.seed))
        before_and_after.append((shown.tiles[0].image, done.image))
        yield Progress("images", number, len(images), "images")
    if not steps:
        raise DataError("none of these images can be preprocessed", hint=failed[0].hint)
    preset = run.read_preset() or ""
    sheet, augmented = run.figures_folder / "steps.png", run.figures_folder / "augmentations.png"
    draw_contact_sheet(
        sheet, f"{settings.dataset}, {preset}: each image after each step (red: lesions, blue: breast)", steps
    )
    yield Picture(str(sheet), "Each image after each step", encode_thumbnails(before_and_after[0]))
    outputs = [str(sheet)]
    if settings.augmentation.augment:
        draw_contact_sheet(
            augmented, f"{settings.dataset}, {preset}: augmented at random, as in training (red: lesions)", changes
        )
        yield Picture(str(augmented), "Six random augmentations of each image, as in training")
        outputs.append(str(augmented))
    yield Result({"images": names, "pictures": outputs}, outputs, f"{len(names)} images are drawn after each step.")
