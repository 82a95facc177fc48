"""The traps of CBIS-DDSM by name, and those in image files and in the form of the CSVs.
Traps in patients and lesions are in case_traps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import count
from typing import Any

from tfm.core.errors import SettingsError
from tfm.data.phantom import case_traps
from tfm.data.phantom.download_plan import VIEWS, DownloadPlan, Mammogram
from tfm.data.phantom.trap_sites import (
    change_finding,
    change_mammogram,
    find_free_place,
    list_complete_mammograms,
    list_free_places,
    list_protected_patients,
    make_trap_error,
)

Trap = Callable[[DownloadPlan], DownloadPlan]


def _change_csvs(**changes: bool) -> Trap:
    return lambda plan: replace(plan, csv=replace(plan.csv, **changes))


def _change_one_finding(name: str, **changes: Any) -> Trap:
    return lambda plan: change_finding(plan, find_free_place(plan, name), **changes)


def _change_every_other_finding(**changes: Any) -> Trap:
    def change(plan: DownloadPlan) -> DownloadPlan:
        number, mammograms = count(), []
        for m in plan.mammograms:
            findings = tuple(one if next(number) % 2 else replace(one, **changes) for one in m.findings)
            mammograms.append(replace(m, findings=findings))
        return replace(plan, mammograms=tuple(mammograms))

    return change


def _list_mammograms_of_view(plan: DownloadPlan, view: str, name: str) -> list[Mammogram]:
    """List the mammograms of a view, those of protected patients last.

    Traps that spoil whole mammograms use different views, so that two of them never affect the same file.
    """
    protected = list_protected_patients(plan)
    mammograms = [m for m in plan.mammograms if m.exposure.view == view]
    if len(mammograms) < 2:
        raise make_trap_error(name, "two patients")
    return sorted(mammograms, key=lambda m: m.exposure.patient in protected)


def remove_series(plan: DownloadPlan) -> DownloadPlan:
    """Leave out the series of one mammogram and of one lesion, but list them."""
    first, second, *_ = _list_mammograms_of_view(plan, VIEWS[0], "missing-series")
    lesion, *others = second.findings
    plan = change_mammogram(plan, first, absent=True)
    return change_mammogram(plan, second, findings=(replace(lesion, absent=True), *others))


def truncate_file(plan: DownloadPlan) -> DownloadPlan:
    """Cut the file of one mammogram in half, like an interrupted download."""
    return change_mammogram(plan, _list_mammograms_of_view(plan, VIEWS[1], "truncated-file")[0], truncated=True)


def copy_series(plan: DownloadPlan) -> DownloadPlan:
    """Write the series of one mammogram again in a second folder, with the same UIDs."""
    complete = list_complete_mammograms(plan)
    if not complete:
        raise make_trap_error("duplicate-file", "a complete mammogram")
    return change_mammogram(plan, complete[0], twice_on_disk=True)


def separate_series(plan: DownloadPlan) -> DownloadPlan:
    """Put crop and mask of some lesions in separate series with one file each."""
    for place in list_free_places(plan, "separate-series")[::3]:
        plan = change_finding(plan, place, separate=True)
    return plan


def remove_laterality(plan: DownloadPlan) -> DownloadPlan:
    """Remove side and view from the headers of some mammograms and of their masks and crops."""
    chosen = {m.subject for m in list_complete_mammograms(plan)[::3]}
    return replace(plan, mammograms=tuple(replace(m, no_laterality=m.subject in chosen) for m in plan.mammograms))


def write_odd_values(plan: DownloadPlan) -> DownloadPlan:
    """Write 0 for density, assessment and subtlety in one row each, and N/A for shape and margins in another."""
    preferred: dict[tuple[str, ...], Callable[[Mammogram], bool]] = {
        ("density",): lambda m: len(m.findings) == 1,  # an image has one density
        ("assessment",): lambda _: True,
        ("subtlety",): lambda _: True,
        ("shape", "surround"): lambda m: m.kind == "mass",  # calcifications lack these columns
    }
    for columns, is_preferred in preferred.items():
        plan = change_finding(plan, find_free_place(plan, "odd-values", is_preferred), odd_values=columns)
    return plan


# By name, in the order in which they are applied.
TRAPS: dict[str, Trap] = {
    "both-splits": case_traps.put_patient_in_both_splits,
    "issued-across-splits": case_traps.repeat_scan_across_splits,
    "issued-twice": case_traps.repeat_scan_in_training,
    "several-lesions": case_traps.add_lesions,
    "mixed-labels": case_traps.mix_labels,
    "arbitrary-order": _change_every_other_finding(mask_first=True),
    "mask-size": _change_every_other_finding(mask_scale=0.87),
    "missing-series": remove_series,
    "truncated-file": truncate_file,
    "duplicate-file": copy_series,
    "unreadable-file": _change_one_finding("unreadable-file", mask_unreadable=True),
    "empty-mask": _change_one_finding("empty-mask", mask_empty=True),
    "swapped-columns": _change_one_finding("swapped-columns", separate=True, swapped=True),
    "separate-series": separate_series,
    "odd-values": write_odd_values,
    "no-laterality": remove_laterality,
    "linefeed-in-paths": _change_csvs(linefeed_in_paths=True),
    "density-header": _change_csvs(density_with_space=True),
    "wrong-file-names": _change_csvs(names_of_2017=True),
}


def parse_traps(text: str) -> frozenset[str]:
    """Parse `all`, `none`, or names separated by commas."""
    if text.strip() in ("all", "none"):
        return frozenset(TRAPS if text.strip() == "all" else ())
    names = frozenset(name.strip() for name in text.split(",") if name.strip())
    unknown = sorted(names - set(TRAPS))
    if unknown:
        raise SettingsError(
            f"unknown traps: {', '.join(unknown)}",
            hint=f"choose all, none, or names from {', '.join(TRAPS)}",
            fields=("traps",),
        )
    return names
