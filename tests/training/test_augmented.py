"""Augmented copies on disk: what a training with that seed sees, whatever happened while they were written."""

import cv2
import numpy as np
import pytest
import torch

from tests.training.small_dataset import finish_run, make_small_dataset, make_train_run
from tfm.core import files
from tfm.data.cache.cache import Cache
from tfm.data.dataset.dataset import Dataset
from tfm.training import augment
from tfm.training.augmented_copies import write_copies
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


def test_each_training_image_has_its_copies_as_deep_as_the_cache(opened, tmp_path):
    cache, rows = opened
    for name, made, dtype in (("8", cache, np.uint8), ("16", as_16_bit(cache), np.uint16)):
        told = list(write_copies(tmp_path / name, made, rows, SETTINGS, 2, SEED))
        assert told == [(done, 2 * len(rows)) for done in range(1, 2 * len(rows) + 1)]
        wanted = {f"{image_id}_{copy}.png" for image_id in rows.table["image_id"] for copy in (1, 2)}
        assert set(contents(tmp_path / name)) == wanted
        copy = cv2.imread(str(tmp_path / name / f"{rows.table['image_id'][0]}_1.png"), cv2.IMREAD_UNCHANGED)
        assert (copy.dtype, copy.shape) == (dtype, cache.images.shape[1:])


def test_without_augmentation_a_copy_is_its_image(opened, tmp_path):
    cache, rows = opened
    for made in (cache, as_16_bit(cache)):
        folder = tmp_path / made.images.dtype.name
        list(write_copies(folder, made, rows, AugmentSettings(augment=False), 1, SEED))
        for image_id, position in zip(rows.table["image_id"], rows.positions, strict=True):
            copy = cv2.imread(str(folder / f"{image_id}_1.png"), cv2.IMREAD_UNCHANGED)
            assert (copy == made.images[position]).all()


def test_copy_k_is_what_the_kth_epoch_of_a_training_sees(opened, workspace, tmp_path, monkeypatch):
    cache, rows = opened
    seen: list[set[bytes]] = [set(), set()]
    really, calls = augment.augment_images, []

    def noted(images, drawn, settings):
        changed = really(images, drawn, settings)
        epoch, films = len(calls) * len(images) // len(rows), (changed * 255).round().to(torch.uint8)
        seen[epoch].update(image.numpy().tobytes() for image in films)
        calls.append(len(images))
        return changed

    with monkeypatch.context() as watched:
        watched.setattr(augment, "augment_images", noted)
        strengths = {"noise": SETTINGS.noise, "rotation": SETTINGS.rotation, "seed": SEED}
        finish_run(make_train_run(workspace, "ResNet18_CFT", architecture="test_resnet", **strengths))
    list(write_copies(tmp_path, cache, rows, SETTINGS, 2, SEED))
    for epoch in (0, 1):
        copies = (tmp_path / f"{image_id}_{epoch + 1}.png" for image_id in rows.table["image_id"])
        assert {cv2.imread(str(path), cv2.IMREAD_UNCHANGED)[None].tobytes() for path in copies} == seen[epoch]
    assert not seen[0] & seen[1]


@pytest.mark.parametrize("stopped_after", [1, 40])
def test_stopped_anywhere_it_goes_on_and_ends_the_same(opened, tmp_path, stopped_after, monkeypatch):
    cache, rows = opened
    list(write_copies(tmp_path / "calm", cache, rows, SETTINGS, 2, SEED))
    halted = write_copies(tmp_path / "stopped", cache, rows, SETTINGS, 2, SEED)
    for _ in range(stopped_after):
        next(halted)
    halted.close()
    (tmp_path / "stopped" / f".{rows.table['image_id'][0]}_2.png.0000.tmp").write_bytes(b"half a file")
    written = []
    really = files.write_bytes
    monkeypatch.setattr(files, "write_bytes", lambda path, content: (written.append(path), really(path, content)))
    list(write_copies(tmp_path / "stopped", cache, rows, SETTINGS, 2, SEED))
    assert len(written) == 2 * len(rows) - stopped_after, "what stands is not drawn again"
    assert contents(tmp_path / "stopped") == contents(tmp_path / "calm")
