"""The pixel values of lesion masks, one for each kind of lesion and pathology, and the class sets of models.
Masks are written in `link_files`."""

from __future__ import annotations

from dataclasses import dataclass

_KINDS = ("mass", "calc")
# In rising order: where lesions overlap, the higher value wins.
_PATHOLOGIES = ("BENIGN_WITHOUT_CALLBACK", "BENIGN", "MALIGNANT")
MASK_CLASSES = (  # by pixel value
    "background",
    *("mass without callback", "calcification without callback"),
    *("benign mass", "benign calcification"),
    *("malignant mass", "malignant calcification"),
)

MALIGNANCY_OF_MASK = (0, 1, 1, 1, 1, 2, 2)  # by pixel value: 0 background, 1 benign, 2 malignant


def encode_mask_class(kind: str, pathology: str) -> int:
    return 1 + len(_KINDS) * _PATHOLOGIES.index(pathology) + _KINDS.index(kind)


def list_possible_classes(kinds: str, label: str) -> set[int]:
    """Return the pixel values that an image's mask may have; `kinds` as in the manifest: mass+calc."""
    pathologies = _PATHOLOGIES if label == "malignant" else _PATHOLOGIES[:-1]
    shown = [kind for kind in kinds.split("+") if kind]  # empty for an image without lesions
    return {0} | {encode_mask_class(kind, pathology) for kind in shown for pathology in pathologies}


@dataclass(frozen=True)
class ClassSet:
    names: tuple[str, ...]  # background first
    of_mask: tuple[int, ...]  # the class of each pixel value of a mask
    suspicious: tuple[int, ...]  # classes that count as suspicious of malignancy


CLASS_SETS: dict[str, ClassSet] = {
    "malignancy": ClassSet(
        ("background", "benign", "malignant mass", "malignant calcification"), (0, 1, 1, 1, 1, 2, 3), (2, 3)
    ),
    "kind": ClassSet(("background", "benign", "mass", "calcification"), (0, 1, 1, 2, 3, 2, 3), (2, 3)),
    "lesion": ClassSet(("background", "lesion"), (0, 1, 1, 1, 1, 1, 1), (1,)),
}
