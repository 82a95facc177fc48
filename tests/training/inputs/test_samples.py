"""Samples of each split: found in the cache, split by patient, with all or some of their labels."""

import numpy as np
import pandas as pd
import pytest

from tests.training.small_dataset import make_small_dataset, rewrite_manifest
from tfm.core.errors import DataError
from tfm.data.cache.cache import Cache
from tfm.data.dataset.dataset import Dataset
from tfm.training.inputs.samples import UNKNOWN, Samples, check_learnable, find_samples, keep_labels, split_off_patients
from tfm.training.inputs.settings import LabelSettings

ALL_USABLE = np.ones(200, dtype=bool)


def make_samples(benign=60, malignant=40):
    """Make two images for each patient. A malignant patient's other image is benign."""
    patients = [f"W{number:03d}" for number in range(benign + malignant) for _ in range(2)]
    labels = [int(number >= benign and image) for number in range(benign + malignant) for image in range(2)]
    table = pd.DataFrame({"image_id": [f"I{number}" for number in range(len(patients))], "patient_id": patients})
    return Samples(table.assign(label=labels), np.arange(len(patients)) + 1000)


def test_share_of_the_patients_is_split_off_with_all_their_images():
    rest, held_out = split_off_patients(make_samples(), 0.05, 7, ALL_USABLE)
    assert len(held_out.patients) == 5
    assert set(rest.patients).isdisjoint(held_out.patients)
    assert len(rest) + len(held_out) == 200
    assert len(held_out) == 10
    assert sorted([*rest.positions, *held_out.positions]) == list(make_samples().positions)
    assert list(rest.table["image_id"]) == [f"I{position - 1000}" for position in rest.positions]


def test_split_depends_only_on_names_and_seed():
    held_out = split_off_patients(make_samples(), 0.05, 7, ALL_USABLE)[1].patients
    assert (
        split_off_patients(make_samples().select(np.arange(200)[::-1].tolist()), 0.05, 7, ALL_USABLE)[1].patients
        == held_out
    )
    assert split_off_patients(make_samples(), 0.05, 8, ALL_USABLE)[1].patients != held_out


def test_one_patient_cannot_be_split():
    with pytest.raises(DataError, match="only 1 of the 1 training patients"):
        split_off_patients(make_samples(benign=1, malignant=0), 0.05, 7, ALL_USABLE[:2])


def test_split_takes_only_patients_with_a_usable_image_and_leaves_one_to_train_on():
    usable = np.zeros(200, dtype=bool)
    usable[[7, 60, 61]] = True  # of two patients
    rest, held_out = split_off_patients(make_samples(), 0.05, 7, usable)
    assert len(held_out.patients) == 1
    assert {*held_out.patients} < {"W003", "W030"}
    assert len(rest.patients) == 99
    usable[7] = False
    with pytest.raises(DataError, match="only 1 of the 100 training patients"):
        split_off_patients(make_samples(), 0.05, 7, usable)


def keep_percent(percent):
    return LabelSettings(label_percent=percent, unlabelled="pseudo")


@pytest.mark.parametrize("percent", [5, 10, 25, 50, 100])
def test_labels_are_kept_for_the_same_share_of_patients_with_and_without_a_malignant_image(percent):
    labelled = keep_labels(make_samples(), keep_percent(percent), 7)
    assert len(labelled) == 200, "no image is lost"
    known = labelled.table[labelled.labels != UNKNOWN]
    assert known["label"].equals(make_samples().table.loc[known.index, "label"])
    worst = known.groupby("patient_id")["label"].max()
    assert (worst == 0).sum() == round(0.6 * percent)
    assert (worst == 1).sum() == round(0.4 * percent)
    assert len(known) == 2 * len(worst), "all images of a patient or none"


def test_fewer_labels_are_a_subset_of_more_and_depend_on_the_seed():
    def patients(percent, seed=7):
        labelled = keep_labels(make_samples(), keep_percent(percent), seed)
        return set(labelled.table["patient_id"][labelled.labels != UNKNOWN])

    assert patients(10) < patients(25)
    assert patients(10, seed=8) != patients(10)


def test_percentage_that_leaves_no_image_of_a_class_is_refused():
    with pytest.raises(DataError, match="with 10 % of the labels no malignant training image") as refusal:
        keep_labels(make_samples(malignant=3), keep_percent(10), 7)
    assert "setting: label_percent" in refusal.value.hint


def test_ignored_images_without_a_label_are_dropped():
    labelled = keep_labels(make_samples(), LabelSettings(label_percent=10), 7)
    marked = keep_labels(make_samples(), keep_percent(10), 7)
    assert list(labelled.positions) == list(marked.positions[marked.labels != UNKNOWN])
    assert set(labelled.labels) == {0, 1}


@pytest.fixture
def opened(workspace):
    make_small_dataset(workspace)
    return Dataset.open(workspace.dataset_folder("pocket")), Cache.open(workspace.cache_folder("pocket"))


def test_samples_find_each_image_in_the_cache(opened):
    dataset, cache = opened
    make_samples = find_samples(dataset, cache, "val")
    assert list(cache.index["image_id"].iloc[make_samples.positions]) == list(make_samples.table["image_id"])
    truth = dataset.manifest.set_index("image_id")["label"]
    assert list(make_samples.labels) == [int(truth[image] == "malignant") for image in make_samples.table["image_id"]]


def test_cache_of_another_dataset_is_refused(workspace, opened):
    _, cache = opened

    def rename(manifest):
        return manifest.assign(image_id=manifest["image_id"].str.replace("P_train00", "P_9999"))

    rewrite_manifest(workspace, rename)
    with pytest.raises(DataError, match="2 of 36 train images are not in the cache") as refusal:
        find_samples(Dataset.open(workspace.dataset_folder("pocket")), cache, "train")
    assert "preprocess" in refusal.value.hint


@pytest.mark.parametrize(("split", "named"), [("train", "training"), ("val", "validation")])
def test_split_with_one_class_is_refused(workspace, opened, split, named):
    _, cache = opened
    rewrite_manifest(workspace, lambda manifest: manifest[(manifest.split != split) | (manifest.label == "benign")])
    dataset = Dataset.open(workspace.dataset_folder("pocket"))
    with pytest.raises(DataError, match=f"{named} images are benign"):
        check_learnable(*(find_samples(dataset, cache, name) for name in ("train", "val", "test")))


def test_empty_split_is_refused(workspace, opened):
    _, cache = opened
    rewrite_manifest(workspace, lambda manifest: manifest[manifest.split != "test"])
    dataset = Dataset.open(workspace.dataset_folder("pocket"))
    with pytest.raises(DataError, match="the test split has no images"):
        check_learnable(*(find_samples(dataset, cache, name) for name in ("train", "val", "test")))
