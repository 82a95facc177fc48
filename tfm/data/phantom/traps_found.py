"""Traps in who was imaged and what was found: plans changed before anything is said about files.
Traps in files are in `traps_filed`, traps in the case CSVs in `traps_told`."""

from __future__ import annotations

from dataclasses import replace

from tfm.data.phantom.ground import no_ground
from tfm.data.phantom.spec import DownloadPlan, Finding, Lesion, Mammogram, Side


def _mass_patients_in_training(plan: DownloadPlan) -> list[str]:
    mass = (m.exposure.patient for m in plan.mammograms if (m.kind, m.split) == ("mass", "train"))
    return list(dict.fromkeys(mass))


def _both_kinds(plan: DownloadPlan) -> bool:
    return {m.kind for m in plan.mammograms} == {"mass", "calc"}


def both_splits(plan: DownloadPlan) -> DownloadPlan:
    """A woman is in the mass training file with one breast and in the calcification test file with the other."""
    patients = _mass_patients_in_training(plan)
    if not patients or not _both_kinds(plan):
        raise no_ground("both-splits", "a woman with a mass in training, and calcifications")
    added = []
    for m in plan.mammograms:
        if m.exposure.patient == patients[0]:
            other: Side = "RIGHT" if m.exposure.side == "LEFT" else "LEFT"
            lesions = tuple(replace(lesion, kind="calc") for lesion in m.exposure.lesions)
            added.append(
                replace(m, kind="calc", split="test", exposure=replace(m.exposure, side=other, lesions=lesions))
            )
    return replace(plan, mammograms=plan.mammograms + tuple(added))


def issued_twice(plan: DownloadPlan) -> DownloadPlan:
    """One scan, pixel for pixel, stands in the mass and in the calcification file, each with UIDs of its own."""
    patients = _mass_patients_in_training(plan)
    if not patients or not _both_kinds(plan):
        raise no_ground("issued-twice", "a woman with a mass in training, and calcifications")
    mammograms: list[Mammogram] = []
    twins: list[Mammogram] = []
    for m in plan.mammograms:
        if (m.exposure.patient, m.kind) != (patients[-1], "mass"):
            mammograms.append(m)
            continue
        calc = Lesion(len(m.exposure.lesions) + 1, "calc", m.exposure.lesions[0].malignant)
        scan = replace(m.exposure, lesions=(*m.exposure.lesions, calc))
        finding = Finding(1, len(m.exposure.lesions), m.findings[0].pathology)
        mammograms.append(replace(m, exposure=scan))
        twins.append(replace(m, kind="calc", exposure=scan, findings=(finding,)))
    return replace(plan, mammograms=(*mammograms, *twins))


def _with_another_lesion(m: Mammogram, malignant: bool, abnormality: int, pathology: str) -> Mammogram:
    lesions = m.exposure.lesions
    exposure = replace(m.exposure, lesions=(*lesions, Lesion(len(lesions) + 1, m.kind, malignant)))
    return replace(m, exposure=exposure, findings=(*m.findings, Finding(abnormality, len(lesions), pathology)))


def _once_issued(plan: DownloadPlan) -> list[str]:
    """Women to whom a lesion may be added: not to a scan issued twice, whose copies must stay one scan."""
    scans: dict[tuple[str, str, str], int] = {}
    for m in plan.mammograms:
        scan = (m.exposure.patient, m.exposure.side, m.exposure.view)
        scans[scan] = scans.get(scan, 0) + 1
    twice = {patient for (patient, _, _), count in scans.items() if count > 1}
    return [p for p in dict.fromkeys(m.exposure.patient for m in plan.mammograms) if p not in twice]


def several_lesions(plan: DownloadPlan) -> DownloadPlan:
    """Some mammograms have two rows, one a lesion; of some of these the abnormality ids are 1 and 3."""
    patients = _once_issued(plan)
    numbered, gapped = set(patients[0::4]), set(patients[1::4])
    if not gapped:
        raise no_ground("several-lesions", "two women")

    def more(m: Mammogram) -> Mammogram:
        if m.exposure.patient not in numbered | gapped:
            return m
        abnormality = 2 if m.exposure.patient in numbered else 3
        return _with_another_lesion(m, m.exposure.lesions[0].malignant, abnormality, m.findings[0].pathology)

    return replace(plan, mammograms=tuple(more(m) for m in plan.mammograms))


def mixed_labels(plan: DownloadPlan) -> DownloadPlan:
    """Some mammograms have a benign and a malignant row."""
    patients = _once_issued(plan)
    mixed = set(patients[2::4])
    if not mixed:
        raise no_ground("mixed-labels", "three women")

    def both(m: Mammogram) -> Mammogram:
        if m.exposure.patient not in mixed:
            return m
        pathology = "BENIGN" if m.findings[0].pathology == "MALIGNANT" else "MALIGNANT"
        return _with_another_lesion(m, not m.exposure.lesions[0].malignant, 2, pathology)

    return replace(plan, mammograms=tuple(both(m) for m in plan.mammograms))
