"""Order, normalisation and augmentation: pure functions of an address, of the image and of nothing else."""

import numpy as np
import pytest
import torch

from tests.train.pocket import make_products, rewrite_manifest
from tfm.core.errors import DataError
from tfm.data.cache import Cache
from tfm.data.dataset import Dataset
from tfm.train import augment
from tfm.train.batches import Images, measure, order
from tfm.train.rows import check_learnable, rows_of


@pytest.fixture
def opened(workspace):
    make_products(workspace)
    return Dataset.open(workspace.dataset_folder("pocket")), Cache.open(workspace.cache_folder("pocket"))


def test_an_epoch_takes_every_image_once_in_batches_of_nearly_one_size():
    batches = order(seed=1, epoch=2, count=50, batch_size=16)
    assert sorted(np.concatenate(batches)) == list(range(50))
    assert {len(batch) for batch in batches} == {12, 13}


def test_the_order_hangs_on_seed_and_epoch_alone():
    first = np.concatenate(order(1, 2, 50, 16))
    np.random.default_rng().random(100)
    assert (np.concatenate(order(1, 2, 50, 7)) == first).all(), "the batch size cuts the order, and does not change it"
    assert (np.concatenate(order(1, 3, 50, 16)) != first).any()
    assert (np.concatenate(order(2, 2, 50, 16)) != first).any()


def test_rows_find_each_image_where_the_cache_has_it(opened):
    dataset, cache = opened
    rows = rows_of(dataset, cache, "val")
    assert list(cache.index["image_id"].iloc[rows.positions]) == list(rows.table["image_id"])
    truth = dataset.manifest.set_index("image_id")["label"]
    assert list(rows.labels) == [int(truth[image] == "malignant") for image in rows.table["image_id"]]


def test_a_cache_of_another_dataset_is_refused(workspace, opened):
    _, cache = opened

    def rename(manifest):
        return manifest.assign(image_id=manifest["image_id"].str.replace("P_train00", "P_9999"))

    rewrite_manifest(workspace, rename)
    with pytest.raises(DataError, match="2 of 36 train images are not in the cache") as refusal:
        rows_of(Dataset.open(workspace.dataset_folder("pocket")), cache, "train")
    assert "preprocess" in refusal.value.hint


@pytest.mark.parametrize(("split", "named"), [("train", "training"), ("val", "validation")])
def test_one_class_only_is_refused_before_anything_is_trained(workspace, opened, split, named):
    _, cache = opened
    rewrite_manifest(workspace, lambda manifest: manifest[(manifest.split != split) | (manifest.label == "benign")])
    dataset = Dataset.open(workspace.dataset_folder("pocket"))
    with pytest.raises(DataError, match=f"{named} images are benign"):
        check_learnable(*(rows_of(dataset, cache, name) for name in ("train", "val", "test")))


def test_an_empty_split_is_refused(workspace, opened):
    _, cache = opened
    rewrite_manifest(workspace, lambda manifest: manifest[manifest.split != "test"])
    dataset = Dataset.open(workspace.dataset_folder("pocket"))
    with pytest.raises(DataError, match="no test image"):
        check_learnable(*(rows_of(dataset, cache, name) for name in ("train", "val", "test")))


def test_normalisation_is_that_of_the_breast_in_the_training_images_alone(opened):
    dataset, cache = opened
    train = rows_of(dataset, cache, "train")
    inside = cache.images[train.positions][cache.breast[train.positions] > 0] / 255
    measured = measure(cache, train)
    assert measured.mean == pytest.approx(inside.mean(), rel=1e-12)
    assert measured.deviation == pytest.approx(inside.std(), rel=1e-9)


def test_an_images_augmentation_does_not_hang_on_its_batch(opened):
    dataset, cache = opened
    train = rows_of(dataset, cache, "train")
    images = Images(cache, train, measure(cache, train), torch.device("cpu"))
    drawn = augment.draw(seed=4, epoch=1, count=len(train))
    alone = images.batch(np.array([7]), drawn[[7]])
    among = images.batch(np.array([3, 7, 5]), drawn[[3, 7, 5]])
    torch.testing.assert_close(among[1:2], alone)
    assert not torch.equal(alone, images.batch(np.array([7])))


def still(mirror: float = 1, upside_down: float = 1) -> np.ndarray:
    return np.array([[0, 0, 0, 0, mirror, upside_down, 0]], dtype=np.float32)


def test_an_augmentation_of_nothing_changes_nothing():
    image = torch.rand(1, 1, 48, 32)
    torch.testing.assert_close(augment.apply(image, still()), image)
    torch.testing.assert_close(augment.apply(image, still(mirror=-1)), image.flip(-1))
    torch.testing.assert_close(augment.apply(image, still(upside_down=-1)), image.flip(-2))


def extent(places: torch.Tensor) -> int:
    return int(places.max() - places.min())


def test_turning_an_oblong_image_keeps_a_square_square():
    image = torch.zeros(1, 1, 96, 48)
    image[..., 40:56, 16:32] = 1
    turned = still()
    turned[0, 0] = 1
    moved = augment.apply(image, turned)[0, 0] > 0.5
    rows, columns = torch.nonzero(moved, as_tuple=True)
    assert abs(int(moved.sum()) - 256) < 12, "its area stays"
    assert abs(extent(rows) - extent(columns)) <= 1, "it is as wide as it is high"


def test_augmentation_is_mild():
    image = torch.zeros(64, 1, 64, 64)
    image[..., 24:40, 24:40] = 0.5
    moved = augment.apply(image, augment.draw(seed=1, epoch=0, count=64))
    assert moved.min() >= 0
    assert moved.max() <= 1
    areas = (moved > 0.25).sum(dim=(1, 2, 3))
    assert (areas > 180).all(), "the square of 256 pixels never leaves the image"
    assert (areas < 350).all()
