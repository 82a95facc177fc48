"""Traps in who was imaged and what was found: plans changed before anything is said about files.
Traps in files are in `traps_filed`, traps in the case CSVs in `traps_told`."""

from __future__ import annotations

from dataclasses import replace

from tfm.data.phantom.spec import VIEWS, DownloadPlan, Finding, Lesion, Mammogram, Side, Split
from tfm.data.phantom.trap_sites import find_repeated_scans, get_scan, no_ground


def _group_mass_training_by_patient(plan: DownloadPlan, name: str) -> list[list[Mammogram]]:
    """By woman, the mammograms in the mass training file; the trap `name` needs them and calcifications."""
    women: dict[str, list[Mammogram]] = {}
    for m in plan.mammograms:
        if (m.kind, m.split) == ("mass", "train"):
            women.setdefault(m.exposure.patient, []).append(m)
    if not women or all(m.kind == "mass" for m in plan.mammograms):
        raise no_ground(name, "a woman with a mass in training, and calcifications")
    return list(women.values())


def put_patient_in_both_splits(plan: DownloadPlan) -> DownloadPlan:
    """A woman is in the mass training file with one breast and in the calcification test file with the other."""
    added = []
    for m in _group_mass_training_by_patient(plan, "both-splits")[0]:
        other: Side = "RIGHT" if m.exposure.side == "LEFT" else "LEFT"
        lesions = tuple(replace(lesion, kind="calc") for lesion in m.exposure.lesions)
        added.append(replace(m, kind="calc", split="test", exposure=replace(m.exposure, side=other, lesions=lesions)))
    return replace(plan, mammograms=(*plan.mammograms, *added))


def repeat_scan_across_splits(plan: DownloadPlan) -> DownloadPlan:
    """One scan, pixel for pixel, stands in the mass training file and in the calcification test file, each with UIDs
    and a label of its own: benign in one, malignant in the other."""
    women = _group_mass_training_by_patient(plan, "issued-across-splits")
    # The first woman is both-splits', the last issued-twice's. Where there is no other, one view of the first is taken:
    # her other view must still be seen left out of training, as that of a woman in test.
    scans = women[1] if len(women) > 2 else [m for m in women[0] if m.exposure.view == VIEWS[0]]
    return _add_second_issue(plan, scans, "test", same_label=False)


def repeat_scan_in_training(plan: DownloadPlan) -> DownloadPlan:
    """One scan, pixel for pixel, stands in the mass and in the calcification file, each with UIDs of its own."""
    already = find_repeated_scans(plan)
    scans = [m for m in _group_mass_training_by_patient(plan, "issued-twice")[-1] if get_scan(m) not in already]
    return _add_second_issue(plan, scans, "train", same_label=True)


def _add_second_issue(plan: DownloadPlan, scans: list[Mammogram], split: Split, *, same_label: bool) -> DownloadPlan:
    """One more lesion is drawn on each scan, a calcification, which is what its second issue tells of."""
    mammograms, twins = [], []
    for m in plan.mammograms:
        if m not in scans:
            mammograms.append(m)
            continue
        lesions, pathology = m.exposure.lesions, m.findings[0].pathology
        calc = Lesion(len(lesions) + 1, "calc", lesions[0].malignant == same_label)
        scan = replace(m.exposure, lesions=(*lesions, calc))
        finding = Finding(1, len(lesions), pathology if same_label else _other_label(pathology))
        mammograms.append(replace(m, exposure=scan))
        twins.append(replace(m, kind="calc", split=split, exposure=scan, findings=(finding,)))
    return replace(plan, mammograms=(*mammograms, *twins))


def _other_label(pathology: str) -> str:
    return "BENIGN" if pathology == "MALIGNANT" else "MALIGNANT"


def _add_lesion(m: Mammogram, malignant: bool, abnormality: int, pathology: str) -> Mammogram:
    lesions = m.exposure.lesions
    exposure = replace(m.exposure, lesions=(*lesions, Lesion(len(lesions) + 1, m.kind, malignant)))
    return replace(m, exposure=exposure, findings=(*m.findings, Finding(abnormality, len(lesions), pathology)))


def _group_extendable_by_patient(plan: DownloadPlan) -> list[set[Mammogram]]:
    """By woman, where a lesion may be added: not in a breast with a scan issued twice, whose copies must stay one."""
    twice = {(patient, side) for patient, side, _ in find_repeated_scans(plan)}
    women: dict[str, set[Mammogram]] = {}
    for m in plan.mammograms:
        if (m.exposure.patient, m.exposure.side) not in twice:
            women.setdefault(m.exposure.patient, set()).add(m)
    return list(women.values())


def add_lesions(plan: DownloadPlan) -> DownloadPlan:
    """Some mammograms have two rows, one a lesion; of some of these the abnormality ids are 1 and 3."""
    women = _group_extendable_by_patient(plan)
    numbered, gapped = set[Mammogram]().union(*women[0::4]), set[Mammogram]().union(*women[1::4])
    if not gapped:
        raise no_ground("several-lesions", "two women")

    def more(m: Mammogram) -> Mammogram:
        if m not in numbered | gapped:
            return m
        abnormality = 2 if m in numbered else 3
        return _add_lesion(m, m.exposure.lesions[0].malignant, abnormality, m.findings[0].pathology)

    return replace(plan, mammograms=tuple(more(m) for m in plan.mammograms))


def mix_labels(plan: DownloadPlan) -> DownloadPlan:
    """Some mammograms have a benign and a malignant row."""
    mixed = set[Mammogram]().union(*_group_extendable_by_patient(plan)[2::4])
    if not mixed:
        raise no_ground("mixed-labels", "three women")

    def both(m: Mammogram) -> Mammogram:
        if m not in mixed:
            return m
        other = _other_label(m.findings[0].pathology)
        return _add_lesion(m, not m.exposure.lesions[0].malignant, 2, other)

    return replace(plan, mammograms=tuple(both(m) for m in plan.mammograms))
