"""Traps in the image files: damaged, missing, double, in other series, with poorer headers.
Traps in who has what are in `traps_found`, traps in the case CSVs in `traps_told`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from tfm.data.phantom.spec import VIEWS, DownloadPlan, Finding, Mammogram
from tfm.data.phantom.trap_sites import (
    change_finding,
    find_free_place,
    list_free_places,
    list_protected_patients,
    list_whole_mammograms,
    no_ground,
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
    """Which of a lesion's two files is the mask differs from lesion to lesion."""
    return _change_every_other_finding(plan, lambda finding: replace(finding, mask_first=True))


def rescale_masks(plan: DownloadPlan) -> DownloadPlan:
    """Some masks are smaller than their mammogram, 0.87 times a side."""
    return _change_every_other_finding(plan, lambda finding: replace(finding, mask_scale=0.87))


def _list_mammograms_of_view(plan: DownloadPlan, view: str, name: str) -> tuple[Mammogram, ...]:
    """File-level traps hit different views, so that two of them never meet on one file; and, while there are others,
    no woman whose whole images another trap needs."""
    needed = list_protected_patients(plan)
    mammograms = sorted(
        (m for m in plan.mammograms if m.exposure.view == view), key=lambda m: m.exposure.patient in needed
    )
    if len(mammograms) < 2:
        raise no_ground(name, "two women")
    return tuple(mammograms)


def remove_series(plan: DownloadPlan) -> DownloadPlan:
    """A mammogram's series and a lesion's series are listed but are not on the disk."""
    of_cc = _list_mammograms_of_view(plan, VIEWS[0], "missing-series")

    def lost(m: Mammogram) -> Mammogram:
        if m is of_cc[0]:
            return replace(m, absent=True)
        if m is of_cc[1]:
            return replace(m, findings=(replace(m.findings[0], absent=True), *m.findings[1:]))
        return m

    return replace(plan, mammograms=tuple(lost(m) for m in plan.mammograms))


def truncate_file(plan: DownloadPlan) -> DownloadPlan:
    """A mammogram's file is cut in half, as by a broken download."""
    cut = _list_mammograms_of_view(plan, VIEWS[1], "truncated-file")[0]
    return replace(plan, mammograms=tuple(replace(m, truncated=m is cut) for m in plan.mammograms))


def copy_series(plan: DownloadPlan) -> DownloadPlan:
    """A mammogram's series was downloaded twice and lies in a second folder too, with the same UIDs."""
    whole = list_whole_mammograms(plan)
    if not whole:
        raise no_ground("duplicate-file", "a mammogram that is whole")
    return replace(
        plan, mammograms=tuple(replace(m, twice_on_disk=True) if m is whole[0] else m for m in plan.mammograms)
    )


def overwrite_mask_file(plan: DownloadPlan) -> DownloadPlan:
    """The file of a mask holds nothing but zeros: it is no image at all."""
    place = find_free_place(plan, "unreadable-file")
    return change_finding(plan, place, lambda finding: replace(finding, mask_unreadable=True))


def empty_mask(plan: DownloadPlan) -> DownloadPlan:
    """A mask can be read, but no pixel of it is set."""
    place = find_free_place(plan, "empty-mask")
    return change_finding(plan, place, lambda finding: replace(finding, mask_empty=True))


def separate_series(plan: DownloadPlan) -> DownloadPlan:
    """Of some lesions, crop and mask lie in series of their own, one file each."""
    free = list_free_places(plan)
    if not free:
        raise no_ground("separate-series", "a lesion without another trap")
    for place in free[::3]:
        plan = change_finding(plan, place, lambda finding: replace(finding, separate=True))
    return plan


def remove_laterality(plan: DownloadPlan) -> DownloadPlan:
    """The headers of some mammograms and of their masks and crops tell neither the side nor the view."""
    silent = {m.subject for m in list_whole_mammograms(plan)[::3]}
    return replace(plan, mammograms=tuple(replace(m, no_laterality=m.subject in silent) for m in plan.mammograms))
