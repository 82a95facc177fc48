"""The traps of CBIS-DDSM by name. Each is a function that adds a trap to a plan."""

from __future__ import annotations

from collections.abc import Callable

from tfm.core.errors import SettingsError
from tfm.data.phantom import case_traps, csv_traps, file_traps
from tfm.data.phantom.spec import DownloadPlan

# By name, in the order in which they are applied.
TRAPS: dict[str, Callable[[DownloadPlan], DownloadPlan]] = {
    "both-splits": case_traps.put_patient_in_both_splits,
    "issued-across-splits": case_traps.repeat_scan_across_splits,
    "issued-twice": case_traps.repeat_scan_in_training,
    "several-lesions": case_traps.add_lesions,
    "mixed-labels": case_traps.mix_labels,
    "arbitrary-order": file_traps.swap_file_order,
    "mask-size": file_traps.rescale_masks,
    "missing-series": file_traps.remove_series,
    "truncated-file": file_traps.truncate_file,
    "duplicate-file": file_traps.copy_series,
    "unreadable-file": file_traps.overwrite_mask_file,
    "empty-mask": file_traps.empty_mask,
    "swapped-columns": csv_traps.swap_columns,
    "separate-series": file_traps.separate_series,
    "odd-values": csv_traps.write_odd_values,
    "no-laterality": file_traps.remove_laterality,
    "linefeed-in-paths": csv_traps.insert_linefeeds,
    "density-header": csv_traps.rename_density_column,
    "wrong-file-names": csv_traps.use_2017_file_names,
}


def parse_traps(text: str) -> frozenset[str]:
    """Parse `all`, `none`, or names separated by commas."""
    if text.strip() in ("all", "none"):
        return frozenset(TRAPS if text.strip() == "all" else ())
    names = frozenset(name.strip() for name in text.split(",") if name.strip())
    check_traps(names)
    return names


def check_traps(names: frozenset[str]) -> None:
    unknown = sorted(names - set(TRAPS))
    if unknown:
        raise SettingsError(
            f"unknown traps: {', '.join(unknown)}",
            hint=f"choose all, none, or names from {', '.join(TRAPS)}",
            fields=("traps",),
        )


def apply_traps(plan: DownloadPlan, names: frozenset[str]) -> DownloadPlan:
    for name, apply_trap in TRAPS.items():
        if name in names:
            plan = apply_trap(plan)
    return plan
