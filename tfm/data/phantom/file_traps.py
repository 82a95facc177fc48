"""Traps in the image files: damaged, missing, duplicated, in other series, with incomplete headers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from tfm.data.phantom.spec import VIEWS, DownloadPlan, Finding, Mammogram
from tfm.data.phantom.trap_sites import (
    change_finding,
    change_mammogram,
    find_free_place,
    list_complete_mammograms,
    list_free_places,
    list_protected_patients,
    make_trap_error,
)


def _change_every_other_finding(plan: DownloadPlan, change: Callable[[Finding], Finding]) -> DownloadPlan:
    count, mammograms = 0, []
    for m in plan.mammograms:
        findings = []
        for finding in m.findings:
            findings.append(finding if count % 2 else change(finding))
            count += 1
        mammograms.append(replace(m, findings=tuple(findings)))
    return replace(plan, mammograms=tuple(mammograms))


def swap_file_order(plan: DownloadPlan) -> DownloadPlan:
    """Make the mask the first file of the series for every other lesion."""
    return _change_every_other_finding(plan, lambda finding: replace(finding, mask_first=True))


def rescale_masks(plan: DownloadPlan) -> DownloadPlan:
    """Make every other mask smaller than its mammogram: 0.87 times its height and width."""
    return _change_every_other_finding(plan, lambda finding: replace(finding, mask_scale=0.87))


def _list_mammograms_of_view(plan: DownloadPlan, view: str, name: str) -> tuple[Mammogram, ...]:
    """List the mammograms of a view, those of protected patients last.

    Traps that spoil whole mammograms use different views, so that two of them never affect the same file.
    """
    protected = list_protected_patients(plan)
    mammograms = sorted(
        (m for m in plan.mammograms if m.exposure.view == view), key=lambda m: m.exposure.patient in protected
    )
    if len(mammograms) < 2:
        raise make_trap_error(name, "two patients")
    return tuple(mammograms)


def remove_series(plan: DownloadPlan) -> DownloadPlan:
    """Leave out the series of one mammogram and of one lesion, but list them."""
    of_cc = _list_mammograms_of_view(plan, VIEWS[0], "missing-series")
    plan = change_mammogram(plan, of_cc[0], absent=True)
    lesion, *others = of_cc[1].findings
    return change_mammogram(plan, of_cc[1], findings=(replace(lesion, absent=True), *others))


def truncate_file(plan: DownloadPlan) -> DownloadPlan:
    """Cut the file of one mammogram in half, like an interrupted download."""
    return change_mammogram(plan, _list_mammograms_of_view(plan, VIEWS[1], "truncated-file")[0], truncated=True)


def copy_series(plan: DownloadPlan) -> DownloadPlan:
    """Write the series of one mammogram again in a second folder, with the same UIDs."""
    complete = list_complete_mammograms(plan)
    if not complete:
        raise make_trap_error("duplicate-file", "a complete mammogram")
    return change_mammogram(plan, complete[0], twice_on_disk=True)


def overwrite_mask_file(plan: DownloadPlan) -> DownloadPlan:
    """Overwrite the file of one mask with zeros, so that it is not an image."""
    place = find_free_place(plan, "unreadable-file")
    return change_finding(plan, place, lambda finding: replace(finding, mask_unreadable=True))


def empty_mask(plan: DownloadPlan) -> DownloadPlan:
    """Clear all pixels of one mask."""
    place = find_free_place(plan, "empty-mask")
    return change_finding(plan, place, lambda finding: replace(finding, mask_empty=True))


def separate_series(plan: DownloadPlan) -> DownloadPlan:
    """Put crop and mask of some lesions in separate series with one file each."""
    free = list_free_places(plan)
    if not free:
        raise make_trap_error("separate-series", "a lesion without another trap")
    for place in free[::3]:
        plan = change_finding(plan, place, lambda finding: replace(finding, separate=True))
    return plan


def remove_laterality(plan: DownloadPlan) -> DownloadPlan:
    """Remove side and view from the headers of some mammograms and of their masks and crops."""
    chosen = {m.subject for m in list_complete_mammograms(plan)[::3]}
    return replace(plan, mammograms=tuple(replace(m, no_laterality=m.subject in chosen) for m in plan.mammograms))
