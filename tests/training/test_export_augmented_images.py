"""Augmented copies on disk equal what a training with that seed sees, also after an interruption."""

import cv2
import numpy as np
import pytest
import torch

from tests.training.small_dataset import finish_run, make_small_dataset, make_train_run
from tfm.core import files
from tfm.data.cache.cache import Cache
from tfm.data.dataset.dataset import Dataset
from tfm.training import augment
from tfm.training.export_augmented_images import write_copies
from tfm.training.inputs.samples import find_samples
from tfm.training.settings import AugmentSettings

SETTINGS = AugmentSettings(noise=0.1, rotation=30)
SEED = 7


@pytest.fixture
def opened(workspace):
    make_small_dataset(workspace)
    cache = Cache.open(workspace.cache_folder("pocket"))
    return cache, find_samples(Dataset.open(workspace.dataset_folder("pocket")), cache, "train")


def as_16_bit(cache: Cache) -> Cache:
    return Cache(cache.folder, cache.index, cache.images.astype(np.uint16) * 257, cache.breast, cache.lesions)


def contents(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_each_training_image_has_its_copies_in_the_bit_depth_of_the_cache(opened, tmp_path):
    cache, samples = opened
    for name, made, dtype in (("8", cache, np.uint8), ("16", as_16_bit(cache), np.uint16)):
        progress = list(write_copies(tmp_path / name, made, samples, SETTINGS, 2, SEED))
        assert progress == [(done, 2 * len(samples)) for done in range(1, 2 * len(samples) + 1)]
        wanted = {f"{image_id}_{copy}.png" for image_id in samples.table["image_id"] for copy in (1, 2)}
        assert set(contents(tmp_path / name)) == wanted
        copy = cv2.imread(str(tmp_path / name / f"{samples.table['image_id'][0]}_1.png"), cv2.IMREAD_UNCHANGED)
        assert (copy.dtype, copy.shape) == (dtype, cache.images.shape[1:])


def test_copy_without_augmentation_equals_its_image(opened, tmp_path):
    cache, samples = opened
    for made in (cache, as_16_bit(cache)):
        folder = tmp_path / made.images.dtype.name
        list(write_copies(folder, made, samples, AugmentSettings(augment=False), 1, SEED))
        for image_id, position in zip(samples.table["image_id"], samples.positions, strict=True):
            copy = cv2.imread(str(folder / f"{image_id}_1.png"), cv2.IMREAD_UNCHANGED)
            assert (copy == made.images[position]).all()


def test_copy_k_equals_what_training_sees_in_epoch_k(opened, workspace, tmp_path, monkeypatch):
    cache, samples = opened
    seen: list[set[bytes]] = [set(), set()]
    augment_images, calls = augment.augment_images, []

    def record(images, changes, settings):
        changed = augment_images(images, changes, settings)
        epoch, augmented = len(calls) * len(images) // len(samples), (changed * 255).round().to(torch.uint8)
        seen[epoch].update(image.numpy().tobytes() for image in augmented)
        calls.append(len(images))
        return changed

    with monkeypatch.context() as watched:
        watched.setattr(augment, "augment_images", record)
        strengths = {"noise": SETTINGS.noise, "rotation": SETTINGS.rotation, "seed": SEED}
        finish_run(make_train_run(workspace, "ResNet18_CFT", architecture="test_resnet", **strengths))
    list(write_copies(tmp_path, cache, samples, SETTINGS, 2, SEED))
    for epoch in (0, 1):
        copies = (tmp_path / f"{image_id}_{epoch + 1}.png" for image_id in samples.table["image_id"])
        assert {cv2.imread(str(path), cv2.IMREAD_UNCHANGED)[None].tobytes() for path in copies} == seen[epoch]
    assert not seen[0] & seen[1]


@pytest.mark.parametrize("stopped_after", [1, 40])
def test_copies_interrupted_anywhere_are_completed_to_the_same_files(opened, tmp_path, stopped_after, monkeypatch):
    cache, samples = opened
    list(write_copies(tmp_path / "calm", cache, samples, SETTINGS, 2, SEED))
    halted = write_copies(tmp_path / "stopped", cache, samples, SETTINGS, 2, SEED)
    for _ in range(stopped_after):
        next(halted)
    halted.close()
    (tmp_path / "stopped" / f".{samples.table['image_id'][0]}_2.png.0000.tmp").write_bytes(b"half a file")
    written = []
    augment_images = files.write_bytes
    monkeypatch.setattr(
        files, "write_bytes", lambda path, content: (written.append(path), augment_images(path, content))
    )
    list(write_copies(tmp_path / "stopped", cache, samples, SETTINGS, 2, SEED))
    assert len(written) == 2 * len(samples) - stopped_after, "existing files are kept"
    assert contents(tmp_path / "stopped") == contents(tmp_path / "calm")
