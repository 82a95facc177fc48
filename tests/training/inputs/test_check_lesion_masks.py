"""Which images have known lesions, and which masks are refused."""

import numpy as np
import pytest

from tests.training.small_dataset import make_small_dataset, rewrite_manifest
from tfm.core.errors import DataError
from tfm.core.runs.workspace import Workspace
from tfm.data.cache.cache import Cache
from tfm.data.dataset.dataset import Dataset
from tfm.data.dataset.lesion_classes import encode_mask_class
from tfm.training.inputs.check_lesion_masks import (
    check_any_lesion,
    check_enough_known_lesions,
    count_mask_pixels,
    has_known_lesions,
)
from tfm.training.inputs.samples import find_samples


@pytest.fixture
def workspace(tmp_path):
    workspace = Workspace(tmp_path / "workspace")
    make_small_dataset(workspace)
    return workspace


def open_val(workspace):
    dataset = Dataset.open(workspace.dataset_folder("pocket"))
    cache = Cache.open(workspace.cache_folder("pocket"))
    return dataset, cache, find_samples(dataset, cache, "val")


def test_lesions_are_known_with_a_mask_or_without_any_lesion(workspace):
    def without(manifest):
        first, second = manifest.index[manifest["split"] == "val"][:2]
        manifest.loc[[first, second], "mask"] = ""
        manifest.loc[second, "lesions"] = "0"
        return manifest

    rewrite_manifest(workspace, without)
    dataset, _, samples = open_val(workspace)
    assert has_known_lesions(dataset, samples).tolist() == [False] + [True] * (len(samples) - 1)
    assert len(samples.select(has_known_lesions(dataset, samples))) == len(samples) - 1


def test_masks_that_contradict_the_manifest_are_refused_by_name(workspace):
    """For example masks of an older version, in which 2 was a malignant mass."""
    dataset, cache, samples = open_val(workspace)
    assert (count_mask_pixels(dataset, cache, samples).sum(1) == cache.images[0].size).all()
    arrays = np.load(cache.folder / "lesions.npy")
    arrays[arrays == encode_mask_class("mass", "MALIGNANT")] = 2
    np.save(cache.folder / "lesions.npy", arrays)
    with pytest.raises(DataError, match=r"P_val01_LEFT_CC contains the value 2 \(calc.* without callback\)") as refusal:
        count_mask_pixels(*open_val(workspace))
    assert "organize the download again" in refusal.value.hint


def test_single_training_image_with_known_lesions_is_refused(workspace):
    _, _, samples = open_val(workspace)
    with pytest.raises(DataError, match="only 1 training images have known lesions"):
        check_enough_known_lesions(samples.select([0]), "none")
    check_enough_known_lesions(samples.select([0, 1]), "none")


def test_sampling_needs_both_classes(workspace):
    _, _, samples = open_val(workspace)
    benign = samples.select(samples.labels == 0)
    check_enough_known_lesions(benign, "none")
    with pytest.raises(DataError, match="all 8 training images with known lesions are benign"):
        check_enough_known_lesions(benign, "sampling")


def test_split_without_a_lesion_is_refused():
    with pytest.raises(DataError, match="no validation image has a lesion"):
        check_any_lesion("validation", np.array([[100, 0, 0, 0, 0, 0, 0]]))
