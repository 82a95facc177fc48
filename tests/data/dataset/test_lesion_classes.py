"""The numbers in a lesion mask: one for each kind and pathology, and what each class set makes of them."""

import pytest

from tfm.data.dataset.lesion_classes import CLASS_SETS, MASK_CLASSES, encode_mask_class, list_possible_classes

LESIONS = [
    (kind, pathology) for kind in ("mass", "calc") for pathology in ("BENIGN_WITHOUT_CALLBACK", "BENIGN", "MALIGNANT")
]


def test_each_kind_and_pathology_has_its_own_value_and_malignant_ones_are_highest():
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
def test_a_class_set_names_each_lesion(name, expected):
    chosen = CLASS_SETS[name]
    assert [chosen.names[chosen.of_mask[encode_mask_class(*lesion)]] for lesion in LESIONS] == expected
    assert chosen.of_mask[0] == 0


def test_the_manifest_tells_the_possible_mask_values():
    assert list_possible_classes("mass", "benign") == {
        0,
        encode_mask_class("mass", "BENIGN"),
        encode_mask_class("mass", "BENIGN_WITHOUT_CALLBACK"),
    }
    assert encode_mask_class("calc", "MALIGNANT") in list_possible_classes("mass+calc", "malignant")
    assert encode_mask_class("calc", "MALIGNANT") not in list_possible_classes("mass", "malignant")
    assert list_possible_classes("", "benign") == {0}
