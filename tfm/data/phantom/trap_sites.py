"""Choose lesions and mammograms for traps so that no trap hides another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tfm.core.errors import SettingsError
from tfm.data.phantom.download_plan import DownloadPlan, Finding, Mammogram, Side, View

Scan = tuple[str, Side, View]  # patient, side, view


def make_trap_error(name: str, needed: str) -> SettingsError:
    return SettingsError(
        f"the trap {name} needs {needed}",
        hint=f"use more patients or both kinds of lesions, or leave out {name}",
        fields=("traps", "train_women", "kinds"),
    )


def find_free_place(
    plan: DownloadPlan, name: str, preferred: Callable[[Mammogram], bool] = lambda _: True
) -> tuple[int, int]:
    """Return the best place for one more trap: the index of a mammogram and the index of its finding."""
    return min(list_free_places(plan, name), key=lambda place: not preferred(plan.mammograms[place[0]]))


def list_free_places(plan: DownloadPlan, name: str) -> list[tuple[int, int]]:
    """List the findings without a trap, those of the mammograms with the fewest traps first. `name` is the new trap."""
    free = [
        (number, place)
        for number, m in enumerate(plan.mammograms)
        if not (m.absent or m.truncated)
        for place, finding in enumerate(m.findings)
        if not _is_taken(finding)
    ]
    if not free:
        raise make_trap_error(name, "a lesion without another trap")
    return sorted(free, key=lambda found: _count_traps(plan.mammograms[found[0]]))


def list_complete_mammograms(plan: DownloadPlan) -> list[Mammogram]:
    """List the readable mammograms, those with the fewest traps first."""
    return sorted((m for m in plan.mammograms if not (m.absent or m.truncated)), key=_count_traps)


def get_scan(m: Mammogram) -> Scan:
    return m.exposure.patient, m.exposure.side, m.exposure.view


def find_repeated_scans(plan: DownloadPlan) -> set[Scan]:
    """Return the scans that are in two case CSVs."""
    issues = Counter(map(get_scan, plan.mammograms))
    return {scan for scan, count in issues.items() if count > 1}


def list_protected_patients(plan: DownloadPlan) -> set[str]:
    """Return the patients in both splits or with a repeated scan: these traps need complete files."""
    splits: dict[str, set[str]] = {}
    for m in plan.mammograms:
        splits.setdefault(m.exposure.patient, set()).add(m.split)
    in_both = {patient for patient, found in splits.items() if len(found) > 1}
    return in_both | {patient for patient, _, _ in find_repeated_scans(plan)}


def change_mammogram(plan: DownloadPlan, chosen: Mammogram, **changes: Any) -> DownloadPlan:
    return replace(plan, mammograms=tuple(replace(m, **changes) if m is chosen else m for m in plan.mammograms))


def change_finding(plan: DownloadPlan, place: tuple[int, int], **changes: Any) -> DownloadPlan:
    chosen = plan.mammograms[place[0]]
    findings = list(chosen.findings)
    findings[place[1]] = replace(findings[place[1]], **changes)
    return change_mammogram(plan, chosen, findings=tuple(findings))


def _is_taken(finding: Finding) -> bool:
    files = finding.absent or finding.mask_empty or finding.mask_unreadable
    return files or finding.swapped or bool(finding.odd_values)


def _count_traps(m: Mammogram) -> int:
    return m.twice_on_disk + sum(map(_is_taken, m.findings))
