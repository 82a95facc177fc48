"""All traps in one plan do not hide each other, even with few patients."""

import pytest

from tests.data.phantoms import make_plan
from tfm.data.phantom.download_plan import DownloadPlan, Mammogram
from tfm.data.phantom.traps import TRAPS


def issues(found: DownloadPlan) -> dict[tuple[str, str, str], list[Mammogram]]:
    """Each scan, with the mammograms it is issued as."""
    scans: dict[tuple[str, str, str], list[Mammogram]] = {}
    for m in found.mammograms:
        scans.setdefault((m.exposure.patient, m.exposure.side, m.exposure.view), []).append(m)
    return scans


def splits(issued: list[Mammogram]) -> set[str]:
    return {m.split for m in issued}


def test_no_trap_hides_another_with_the_fewest_patients():
    for seed in range(6):
        mammograms = make_plan(*TRAPS, seed=seed).mammograms
        whole = [m for m in mammograms if not (m.absent or m.truncated)]
        findings = [finding for m in whole for finding in m.findings]
        hit = [f for f in findings if f.absent or f.mask_empty or f.mask_unreadable or f.swapped or f.odd_values]
        assert len(mammograms) - len(whole) == 2
        assert len(hit) == 4 + 4, "a lesion of its own for each trap that spoils a lesion, and for each odd value"
        assert sum(m.twice_on_disk for m in whole) == 1
        assert any(f.separate and f not in hit for f in findings)


@pytest.mark.parametrize("train", range(1, 13))
def test_repeated_scans_and_train_images_of_test_patients_are_complete(train):
    for seed in range(6):
        scans = issues(make_plan(*TRAPS, train_women=train, test_women=max(0, 4 - train), seed=seed))
        tested = {patient for (patient, _, _), issued in scans.items() if "test" in splits(issued)}
        left_out = [i for (patient, _, _), i in scans.items() if splits(i) == {"train"} and patient in tested]
        twice = [issued for issued in scans.values() if len(issued) > 1]
        across = [issued for issued in twice if splits(issued) == {"train", "test"}]
        assert left_out
        assert across
        assert [issued for issued in twice if splits(issued) == {"train"}]
        assert not any(m.absent or m.truncated for issued in (*left_out, *twice) for m in issued)
        for mass, calc in across:
            assert (mass.kind, mass.split, calc.kind, calc.split) == ("mass", "train", "calc", "test")
            malignant = [found.findings[0].pathology == "MALIGNANT" for found in (mass, calc)]
            assert malignant[0] != malignant[1]


def test_with_three_masses_in_training_each_repeated_scan_has_its_own_patient():
    found = make_plan(*TRAPS, train_women=5, test_women=0).mammograms
    again: dict[str, list[tuple[str, str, bool]]] = {}  # in which split, which view, of the same breast
    for mass in (m for m in found if m.kind == "mass"):
        again[mass.exposure.patient] = sorted(
            (m.split, m.exposure.view, m.exposure.side == mass.exposure.side)
            for m in found
            if m.exposure.patient == mass.exposure.patient and m.kind == "calc"
        )
    assert sorted(again.values()) == [
        [("test", "CC", False), ("test", "MLO", False)],
        [("test", "CC", True), ("test", "MLO", True)],
        [("train", "CC", True), ("train", "MLO", True)],
    ]


def test_repeated_scans_have_one_exposure_with_all_traps():
    for train in range(1, 9):
        for issued in issues(make_plan(*TRAPS, train_women=train, test_women=3)).values():
            assert len({m.exposure for m in issued}) == 1
            assert len(issued) in (1, 2)
