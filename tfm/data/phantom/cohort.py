"""Plan the patients, lesions and labels of a phantom download. No pixels and no files here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tfm.core.errors import SettingsError
from tfm.core.randomness import generator_at
from tfm.data.phantom.download_plan import (
    KINDS,
    VIEWS,
    DownloadPlan,
    Exposure,
    Finding,
    Kind,
    LayoutName,
    Lesion,
    Mammogram,
    Side,
    Split,
)
from tfm.data.phantom.traps import TRAPS


class _Case(NamedTuple):
    kind: Kind
    malignant: bool


def plan_download(
    *,
    train_women: int,
    test_women: int,
    kinds: tuple[Kind, ...],
    height: int,
    difficulty: float,
    traps: frozenset[str],
    shuffle_labels: bool,
    seed: int,
    layout: LayoutName = "nbia",
) -> DownloadPlan:
    if not kinds:
        raise SettingsError("no kind of lesion is chosen", hint=f"choose from {', '.join(KINDS)}", fields=("kinds",))
    kinds = tuple(kind for kind in KINDS if kind in kinds)
    recipe: dict[str, object] = {
        "train_women": train_women,
        "test_women": test_women,
        "kinds": list(kinds),
        "height": height,
        "difficulty": float(difficulty),
        "traps": sorted(traps),
        "shuffle_labels": shuffle_labels,
        "seed": seed,
        "layout": layout,
    }
    mammograms: list[Mammogram] = []
    splits: tuple[tuple[Split, int, int], ...] = (("train", train_women, 0), ("test", test_women, train_women))
    for split, count, before in splits:
        even = [_Case(kinds[i % len(kinds)], i // len(kinds) % 2 == 1) for i in range(count)]
        cases = [even[i] for i in generator_at(seed, "phantom cases", split).permutation(count)]
        labels = _assign_pathologies(cases, seed, split, shuffle_labels)
        for number, (case, pathology) in enumerate(zip(cases, labels, strict=True), start=before + 1):
            mammograms += _make_mammograms(f"P_{number:05d}", case, pathology, split, height, difficulty, seed)
    plan = DownloadPlan(recipe, tuple(mammograms), layout)
    for name, add_trap in TRAPS.items():
        if name in traps:
            plan = add_trap(plan)
    return plan


def _assign_pathologies(cases: Sequence[_Case], seed: int, split: Split, shuffle: bool) -> list[str]:
    """Return the pathology of each patient in the CSV: the truth, or the same labels shuffled over the patients.

    Shuffling gives malignant and benign lesions of a kind the same share of each label. A plain permutation of a few
    patients could by chance be close to the truth and would then be no control.
    """
    rng = generator_at(seed, "phantom pathologies", split)
    true = [
        "MALIGNANT" if case.malignant else "BENIGN_WITHOUT_CALLBACK" if rng.uniform() < 0.25 else "BENIGN"
        for case in cases
    ]
    if not shuffle:
        return true
    shuffled = list(true)
    for kind in KINDS:
        patients = [int(i) for i in rng.permutation(len(cases)) if cases[i].kind == kind]
        patients.sort(key=lambda i: cases[i].malignant)
        labels = sorted((true[i] for i in patients), key=lambda pathology: pathology == "MALIGNANT")
        first = int(rng.integers(2))  # which class gets the odd label: a fixed choice would be a small clue
        for place, label in zip(patients[first::2] + patients[1 - first :: 2], labels, strict=True):
            shuffled[place] = label
    return shuffled


def _make_mammograms(
    patient: str, case: _Case, pathology: str, split: Split, height: int, difficulty: float, seed: int
) -> list[Mammogram]:
    rng = generator_at(seed, "phantom woman", patient)
    side: Side = "LEFT" if rng.uniform() < 0.5 else "RIGHT"
    density = int(rng.integers(1, 5))
    lesions = (Lesion(1, case.kind, case.malignant),)
    return [
        Mammogram(
            case.kind,
            split,
            Exposure(seed, patient, side, view, density, height, float(difficulty), lesions),
            (Finding(abnormality=1, lesion=0, pathology=pathology),),
        )
        for view in VIEWS
    ]
