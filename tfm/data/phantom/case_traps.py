"""Traps in patients and lesions. Traps in files are in file_traps, traps in the form of the CSVs in csv_traps."""

from __future__ import annotations

from dataclasses import replace

from tfm.data.phantom.spec import VIEWS, DownloadPlan, Finding, Lesion, Mammogram, Side, Split
from tfm.data.phantom.trap_sites import find_repeated_scans, get_scan, make_trap_error


def _group_mass_training_by_patient(plan: DownloadPlan, name: str) -> list[list[Mammogram]]:
    """Group the mammograms of the mass training file, which the trap `name` needs, by patient."""
    patients: dict[str, list[Mammogram]] = {}
    for m in plan.mammograms:
        if (m.kind, m.split) == ("mass", "train"):
            patients.setdefault(m.exposure.patient, []).append(m)
    if not patients or all(m.kind == "mass" for m in plan.mammograms):
        raise make_trap_error(name, "a patient with a mass in training, and calcifications")
    return list(patients.values())


def put_patient_in_both_splits(plan: DownloadPlan) -> DownloadPlan:
    """Put one patient in the mass training file with one breast and in the calcification test file with the other."""
    added = []
    for m in _group_mass_training_by_patient(plan, "both-splits")[0]:
        other: Side = "RIGHT" if m.exposure.side == "LEFT" else "LEFT"
        lesions = tuple(replace(lesion, kind="calc") for lesion in m.exposure.lesions)
        added.append(replace(m, kind="calc", split="test", exposure=replace(m.exposure, side=other, lesions=lesions)))
    return replace(plan, mammograms=(*plan.mammograms, *added))


def repeat_scan_across_splits(plan: DownloadPlan) -> DownloadPlan:
    """Issue one scan in the mass training file and again in the calcification test file, with other UIDs and the
    opposite label."""
    patients = _group_mass_training_by_patient(plan, "issued-across-splits")
    # both-splits uses the first patient, issued-twice the last. Without a third patient, use one view of the first: the
    # other view must stay a training image of a patient in test.
    scans = patients[1] if len(patients) > 2 else [m for m in patients[0] if m.exposure.view == VIEWS[0]]
    return _add_second_issue(plan, scans, "test", same_label=False)


def repeat_scan_in_training(plan: DownloadPlan) -> DownloadPlan:
    """Issue one scan in the mass training file and again in the calcification training file, with other UIDs."""
    repeated = find_repeated_scans(plan)
    scans = [m for m in _group_mass_training_by_patient(plan, "issued-twice")[-1] if get_scan(m) not in repeated]
    return _add_second_issue(plan, scans, "train", same_label=True)


def _add_second_issue(plan: DownloadPlan, scans: list[Mammogram], split: Split, *, same_label: bool) -> DownloadPlan:
    """Add a calcification to each scan and issue the scan again with this lesion."""
    mammograms, copies = [], []
    for m in plan.mammograms:
        if m not in scans:
            mammograms.append(m)
            continue
        lesions, pathology = m.exposure.lesions, m.findings[0].pathology
        calc = Lesion(len(lesions) + 1, "calc", lesions[0].malignant == same_label)
        scan = replace(m.exposure, lesions=(*lesions, calc))
        finding = Finding(1, len(lesions), pathology if same_label else _other_label(pathology))
        mammograms.append(replace(m, exposure=scan))
        copies.append(replace(m, kind="calc", split=split, exposure=scan, findings=(finding,)))
    return replace(plan, mammograms=(*mammograms, *copies))


def _other_label(pathology: str) -> str:
    return "BENIGN" if pathology == "MALIGNANT" else "MALIGNANT"


def _add_lesion(m: Mammogram, malignant: bool, abnormality: int, pathology: str) -> Mammogram:
    lesions = m.exposure.lesions
    exposure = replace(m.exposure, lesions=(*lesions, Lesion(len(lesions) + 1, m.kind, malignant)))
    return replace(m, exposure=exposure, findings=(*m.findings, Finding(abnormality, len(lesions), pathology)))


def _group_extendable_by_patient(plan: DownloadPlan) -> list[set[Mammogram]]:
    """Group by patient the mammograms that may get another lesion: not those of a breast with a repeated scan."""
    repeated = {(patient, side) for patient, side, _ in find_repeated_scans(plan)}
    patients: dict[str, set[Mammogram]] = {}
    for m in plan.mammograms:
        if (m.exposure.patient, m.exposure.side) not in repeated:
            patients.setdefault(m.exposure.patient, set()).add(m)
    return list(patients.values())


def add_lesions(plan: DownloadPlan) -> DownloadPlan:
    """Give some mammograms two lesions with ids 1 and 2, and some two lesions with ids 1 and 3."""
    patients = _group_extendable_by_patient(plan)
    numbered, gapped = set[Mammogram]().union(*patients[0::4]), set[Mammogram]().union(*patients[1::4])
    if not gapped:
        raise make_trap_error("several-lesions", "two patients")

    def add_same_label(m: Mammogram) -> Mammogram:
        if m not in numbered | gapped:
            return m
        abnormality = 2 if m in numbered else 3
        return _add_lesion(m, m.exposure.lesions[0].malignant, abnormality, m.findings[0].pathology)

    return replace(plan, mammograms=tuple(add_same_label(m) for m in plan.mammograms))


def mix_labels(plan: DownloadPlan) -> DownloadPlan:
    """Give some mammograms a benign and a malignant lesion."""
    mixed = set[Mammogram]().union(*_group_extendable_by_patient(plan)[2::4])
    if not mixed:
        raise make_trap_error("mixed-labels", "three patients")

    def add_other_label(m: Mammogram) -> Mammogram:
        if m not in mixed:
            return m
        other = _other_label(m.findings[0].pathology)
        return _add_lesion(m, not m.exposure.lesions[0].malignant, 2, other)

    return replace(plan, mammograms=tuple(add_other_label(m) for m in plan.mammograms))
