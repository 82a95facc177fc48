"""Who is kept back, and whose labels are kept: by women, the same ones for the same seed, a part of each kind."""

import numpy as np
import pandas as pd
import pytest

from tfm.core.errors import DataError
from tfm.training.inputs.samples import UNKNOWN, Samples, keep_labels, split_off_patients
from tfm.training.settings import LabelSettings

ALL = np.ones(200, dtype=bool)


def rows(benign=60, malignant=40):
    """Two images a woman; a malignant woman's other image is benign."""
    women = [f"W{number:03d}" for number in range(benign + malignant) for _ in range(2)]
    labels = [int(number >= benign and image) for number in range(benign + malignant) for image in range(2)]
    table = pd.DataFrame({"image_id": [f"I{number}" for number in range(len(women))], "patient_id": women})
    return Samples(table.assign(label=labels), np.arange(len(women)) + 1000)


def test_a_twentieth_of_the_women_is_kept_back_with_all_their_images():
    rest, back = split_off_patients(rows(), 0.05, 7, ALL)
    assert len(back.patients) == 5
    assert set(rest.patients).isdisjoint(back.patients)
    assert len(rest) + len(back) == 200
    assert len(back) == 10
    assert sorted([*rest.positions, *back.positions]) == list(rows().positions)
    assert list(rest.table["image_id"]) == [f"I{position - 1000}" for position in rest.positions]


def test_who_is_kept_back_hangs_on_the_seed_and_nothing_else():
    back = split_off_patients(rows(), 0.05, 7, ALL)[1].patients
    assert split_off_patients(rows().select(np.arange(200)[::-1].tolist()), 0.05, 7, ALL)[1].patients == back
    assert split_off_patients(rows(), 0.05, 8, ALL)[1].patients != back


def test_of_one_woman_nobody_can_be_kept_back():
    with pytest.raises(DataError, match="only 1 of the 1 training patients"):
        split_off_patients(rows(benign=1, malignant=0), 0.05, 7, ALL[:2])


def test_only_a_woman_of_whom_something_can_be_learned_chooses_the_best_epoch_and_one_is_left_to_learn_from():
    usable = np.zeros(200, dtype=bool)
    usable[[7, 60, 61]] = True  # of two women
    rest, back = split_off_patients(rows(), 0.05, 7, usable)
    assert len(back.patients) == 1
    assert {*back.patients} < {"W003", "W030"}
    assert len(rest.patients) == 99
    usable[7] = False
    with pytest.raises(DataError, match="only 1 of the 100 training patients"):
        split_off_patients(rows(), 0.05, 7, usable)


def keeping(percent):
    return LabelSettings(label_percent=percent, unlabelled="pseudo")


@pytest.mark.parametrize("percent", [5, 10, 25, 50, 100])
def test_labels_are_kept_of_as_many_women_with_and_without_a_malignant_image(percent):
    left = keep_labels(rows(), keeping(percent), 7)
    assert len(left) == 200, "nobody is lost"
    known = left.table[left.labels != UNKNOWN]
    assert known["label"].equals(rows().table.loc[known.index, "label"])
    worst = known.groupby("patient_id")["label"].max()
    assert (worst == 0).sum() == round(0.6 * percent)
    assert (worst == 1).sum() == round(0.4 * percent)
    assert len(known) == 2 * len(worst), "of all images of a woman or of none"


def test_fewer_labels_are_a_part_of_more_and_the_seed_says_whose():
    def women(percent, seed=7):
        left = keep_labels(rows(), keeping(percent), seed)
        return set(left.table["patient_id"][left.labels != UNKNOWN])

    assert women(10) < women(25)
    assert women(10, seed=8) != women(10)


def test_a_percentage_that_leaves_no_image_of_a_class_is_refused():
    with pytest.raises(DataError, match="with 10 % of the labels no malignant training image") as refusal:
        keep_labels(rows(malignant=3), keeping(10), 7)
    assert "setting: label_percent" in refusal.value.hint


def test_where_nothing_is_learned_from_images_without_a_label_they_are_left_out():
    left = keep_labels(rows(), LabelSettings(label_percent=10), 7)
    marked = keep_labels(rows(), keeping(10), 7)
    assert list(left.positions) == list(marked.positions[marked.labels != UNKNOWN])
    assert set(left.labels) == {0, 1}
