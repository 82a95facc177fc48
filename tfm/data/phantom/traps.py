"""CBIS-DDSM's own traps, each a function from a clean plan to one with the trap in it.
A trap's docstring is what a person reads about it. Files that show the traps are written in `download`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from tfm.core.errors import SettingsError
from tfm.data.phantom.spec import VIEWS, DownloadPlan, Finding, Lesion, Mammogram, Side

_Plant = Callable[[DownloadPlan], DownloadPlan]
_PLANTS: dict[str, _Plant] = {}  # in the order of planting: who is imaged, what is found, then how it is written
TRAPS: dict[str, str] = {}


def _trap(name: str) -> Callable[[_Plant], _Plant]:
    def register(plant: _Plant) -> _Plant:
        _PLANTS[name] = plant
        TRAPS[name] = " ".join((plant.__doc__ or "").split())
        return plant

    return register


def parse_traps(text: str) -> frozenset[str]:
    """`all`, `none`, or names with commas between."""
    if text.strip() in ("all", "none"):
        return frozenset(TRAPS if text.strip() == "all" else ())
    names = frozenset(name.strip() for name in text.split(",") if name.strip())
    check(names)
    return names


def check(names: frozenset[str]) -> None:
    unknown = sorted(names - set(TRAPS))
    if unknown:
        raise SettingsError(
            f"unknown traps: {', '.join(unknown)}",
            hint=f"choose all, none, or some of {', '.join(TRAPS)}",
            fields=("traps",),
        )


def plant(plan: DownloadPlan, names: frozenset[str]) -> DownloadPlan:
    for name, plant_one in _PLANTS.items():
        if name in names:
            plan = plant_one(plan)
    return plan


def _no_ground(name: str, needed: str) -> SettingsError:
    return SettingsError(
        f"the trap {name} needs {needed}",
        hint=f"ask for more women or both kinds of findings, or leave {name} out",
        fields=("traps", "train_women", "kinds"),
    )


def _mass_patients_in_training(plan: DownloadPlan) -> list[str]:
    mass = (m.exposure.patient for m in plan.mammograms if (m.kind, m.split) == ("mass", "train"))
    return list(dict.fromkeys(mass))


def _both_kinds(plan: DownloadPlan) -> bool:
    return {m.kind for m in plan.mammograms} == {"mass", "calc"}


@_trap("both-splits")
def _both_splits(plan: DownloadPlan) -> DownloadPlan:
    """A woman is in the mass training file with one breast and in the calcification test file with the other."""
    patients = _mass_patients_in_training(plan)
    if not patients or not _both_kinds(plan):
        raise _no_ground("both-splits", "a woman with a mass in training, and calcifications")
    added = []
    for m in plan.mammograms:
        if m.exposure.patient == patients[0]:
            other: Side = "RIGHT" if m.exposure.side == "LEFT" else "LEFT"
            lesions = tuple(replace(lesion, kind="calc") for lesion in m.exposure.lesions)
            added.append(
                replace(m, kind="calc", split="test", exposure=replace(m.exposure, side=other, lesions=lesions))
            )
    return replace(plan, mammograms=plan.mammograms + tuple(added))


@_trap("issued-twice")
def _issued_twice(plan: DownloadPlan) -> DownloadPlan:
    """One scan, pixel for pixel, stands in the mass and in the calcification file, each with UIDs of its own."""
    patients = _mass_patients_in_training(plan)
    if not patients or not _both_kinds(plan):
        raise _no_ground("issued-twice", "a woman with a mass in training, and calcifications")
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


@_trap("several-lesions")
def _several_lesions(plan: DownloadPlan) -> DownloadPlan:
    """Some mammograms have two rows, one a lesion; of some of these the abnormality ids are 1 and 3."""
    patients = _once_issued(plan)
    numbered, gapped = set(patients[0::4]), set(patients[1::4])
    if not gapped:
        raise _no_ground("several-lesions", "two women")

    def more(m: Mammogram) -> Mammogram:
        if m.exposure.patient not in numbered | gapped:
            return m
        abnormality = 2 if m.exposure.patient in numbered else 3
        return _with_another_lesion(m, m.exposure.lesions[0].malignant, abnormality, m.findings[0].pathology)

    return replace(plan, mammograms=tuple(more(m) for m in plan.mammograms))


@_trap("mixed-labels")
def _mixed_labels(plan: DownloadPlan) -> DownloadPlan:
    """Some mammograms have a benign and a malignant row."""
    patients = _once_issued(plan)
    mixed = set(patients[2::4])
    if not mixed:
        raise _no_ground("mixed-labels", "three women")

    def both(m: Mammogram) -> Mammogram:
        if m.exposure.patient not in mixed:
            return m
        pathology = "BENIGN" if m.findings[0].pathology == "MALIGNANT" else "MALIGNANT"
        return _with_another_lesion(m, not m.exposure.lesions[0].malignant, 2, pathology)

    return replace(plan, mammograms=tuple(both(m) for m in plan.mammograms))


def _every_other_finding(plan: DownloadPlan, change: Callable[[Finding], Finding]) -> DownloadPlan:
    count, mammograms = 0, []
    for m in plan.mammograms:
        findings = []
        for finding in m.findings:
            findings.append(finding if count % 2 else change(finding))
            count += 1
        mammograms.append(replace(m, findings=tuple(findings)))
    return replace(plan, mammograms=tuple(mammograms))


@_trap("arbitrary-order")
def _arbitrary_order(plan: DownloadPlan) -> DownloadPlan:
    """Which of 1-1.dcm and 1-2.dcm is the mask differs from lesion to lesion."""
    return _every_other_finding(plan, lambda finding: replace(finding, mask_first=True))


@_trap("mask-size")
def _mask_size(plan: DownloadPlan) -> DownloadPlan:
    """Some masks are smaller than their mammogram, 0.87 times a side."""
    return _every_other_finding(plan, lambda finding: replace(finding, mask_scale=0.87))


def _of_view(plan: DownloadPlan, view: str, name: str) -> tuple[Mammogram, ...]:
    """File-level traps hit different views, so that two of them never meet on one file."""
    mammograms = tuple(m for m in plan.mammograms if m.exposure.view == view)
    if len(mammograms) < 2:
        raise _no_ground(name, "two women")
    return mammograms


@_trap("missing-series")
def _missing_series(plan: DownloadPlan) -> DownloadPlan:
    """A mammogram's series and a lesion's series are listed in metadata.csv but are not on the disk."""
    of_cc = _of_view(plan, VIEWS[0], "missing-series")

    def lost(m: Mammogram) -> Mammogram:
        if m is of_cc[0]:
            return replace(m, absent=True)
        if m is of_cc[1]:
            return replace(m, findings=(replace(m.findings[0], absent=True), *m.findings[1:]))
        return m

    return replace(plan, mammograms=tuple(lost(m) for m in plan.mammograms))


@_trap("truncated-file")
def _truncated_file(plan: DownloadPlan) -> DownloadPlan:
    """A mammogram's file is cut in half, as by a broken download."""
    cut = _of_view(plan, VIEWS[1], "truncated-file")[0]
    return replace(plan, mammograms=tuple(replace(m, truncated=m is cut) for m in plan.mammograms))


@_trap("linefeed-in-paths")
def _linefeed_in_paths(plan: DownloadPlan) -> DownloadPlan:
    """Each record has a line feed inside the quotes of a path (mass: ROI mask, calcification: cropped image)."""
    return replace(plan, csv=replace(plan.csv, linefeed_in_paths=True))


@_trap("density-header")
def _density_header(plan: DownloadPlan) -> DownloadPlan:
    """The density column is `breast_density` in the mass files and `breast density` in the calcification files."""
    return replace(plan, csv=replace(plan.csv, density_with_space=True))


@_trap("wrong-file-names")
def _wrong_file_names(plan: DownloadPlan) -> DownloadPlan:
    """The CSVs name files 000000.dcm and 000001.dcm, which do not exist, and tell mask from crop wrongly."""
    return replace(plan, csv=replace(plan.csv, names_of_old=True))
