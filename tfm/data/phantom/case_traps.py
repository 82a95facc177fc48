"""Traps in patients and lesions. The other traps are in traps."""

from __future__ import annotations

from dataclasses import replace

from tfm.data.phantom.download_plan import VIEWS, DownloadPlan, Finding, Kind, Lesion, Mammogram, Side, Split
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
        if m in scans:
            extended = _add_lesion(m, 1, "calc", same_label=same_label)
            copies.append(replace(extended, kind="calc", split=split, findings=extended.findings[-1:]))
            m = replace(m, exposure=extended.exposure)
        mammograms.append(m)
    return replace(plan, mammograms=(*mammograms, *copies))


def _add_lesion(m: Mammogram, abnormality: int, kind: Kind, *, same_label: bool) -> Mammogram:
    lesions, pathology = m.exposure.lesions, m.findings[0].pathology
    lesion = Lesion(len(lesions) + 1, kind, lesions[0].malignant == same_label)
    if not same_label:
        pathology = "BENIGN" if pathology == "MALIGNANT" else "MALIGNANT"
    finding = Finding(abnormality, len(lesions), pathology)
    return replace(m, exposure=replace(m.exposure, lesions=(*lesions, lesion)), findings=(*m.findings, finding))


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
    ids = {m: second for first, second in ((0, 2), (1, 3)) for group in patients[first::4] for m in group}
    if 3 not in ids.values():
        raise make_trap_error("several-lesions", "two patients")
    return replace(
        plan,
        mammograms=tuple(_add_lesion(m, ids[m], m.kind, same_label=True) if m in ids else m for m in plan.mammograms),
    )


def mix_labels(plan: DownloadPlan) -> DownloadPlan:
    """Give some mammograms a benign and a malignant lesion."""
    mixed = set[Mammogram]().union(*_group_extendable_by_patient(plan)[2::4])
    if not mixed:
        raise make_trap_error("mixed-labels", "three patients")
    return replace(
        plan,
        mammograms=tuple(_add_lesion(m, 2, m.kind, same_label=False) if m in mixed else m for m in plan.mammograms),
    )
