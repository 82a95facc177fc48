"""The numbers in a lesion mask: one for each kind and pathology, and what each class set makes of them."""

import pytest

from tfm.data.dataset.lesion_classes import CLASS_SETS, MASK_CLASSES, encode_mask_class, list_possible_classes

LESIONS = [
    (kind, pathology) for kind in ("mass", "calc") for pathology in ("BENIGN_WITHOUT_CALLBACK", "BENIGN", "MALIGNANT")
]


def test_every_kind_with_every_pathology_has_a_number_of_its_own_and_the_malignant_ones_are_highest():
    numbers = [encode_mask_class(*lesion) for lesion in LESIONS]
    assert sorted(numbers) == list(range(1, len(MASK_CLASSES)))
    malignant = {encode_mask_class(kind, "MALIGNANT") for kind in ("mass", "calc")}
    assert min(malignant) > max(set(numbers) - malignant)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("malignancy", ["benign", "benign", "malignant mass", "benign", "benign", "malignant calcification"]),
        ("kind", ["benign", "mass", "mass", "benign", "calcification", "calcification"]),
        ("lesion", ["lesion"] * 6),
    ],
)
def test_a_class_set_calls_each_lesion_by_its_own_words(name, expected):
    chosen = CLASS_SETS[name]
    assert [chosen.names[chosen.of_mask[encode_mask_class(*lesion)]] for lesion in LESIONS] == expected
    assert chosen.of_mask[0] == 0


def test_a_manifest_says_what_a_mask_may_hold():
    assert list_possible_classes("mass", "benign") == {
        0,
        encode_mask_class("mass", "BENIGN"),
        encode_mask_class("mass", "BENIGN_WITHOUT_CALLBACK"),
    }
    assert encode_mask_class("calc", "MALIGNANT") in list_possible_classes("mass+calc", "malignant")
    assert encode_mask_class("calc", "MALIGNANT") not in list_possible_classes("mass", "malignant")
    assert list_possible_classes("", "benign") == {0}
