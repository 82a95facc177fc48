"""Traps in the form, the paths and the values of the case CSVs."""

from __future__ import annotations

from dataclasses import replace

from tfm.data.phantom.spec import DownloadPlan
from tfm.data.phantom.trap_sites import change_finding, find_free_place


def swap_columns(plan: DownloadPlan) -> DownloadPlan:
    """Put crop and mask of one lesion in separate series and swap their columns in the CSV."""
    place = find_free_place(plan, "swapped-columns")
    return change_finding(plan, place, lambda finding: replace(finding, separate=True, swapped=True))


def write_odd_values(plan: DownloadPlan) -> DownloadPlan:
    """Write 0 for density, assessment and subtlety in one row each, and N/A for shape and margins in another."""
    one_row = find_free_place(plan, "odd-values", lambda m: len(m.findings) == 1)  # an image has one density
    plan = change_finding(plan, one_row, lambda finding: replace(finding, odd_values=("density",)))
    for_assessment = find_free_place(plan, "odd-values")
    plan = change_finding(plan, for_assessment, lambda finding: replace(finding, odd_values=("assessment",)))
    for_subtlety = find_free_place(plan, "odd-values")
    plan = change_finding(plan, for_subtlety, lambda finding: replace(finding, odd_values=("subtlety",)))
    mass = find_free_place(plan, "odd-values", lambda m: m.kind == "mass")  # calcifications lack these columns
    return change_finding(plan, mass, lambda finding: replace(finding, odd_values=("shape", "surround")))


def insert_linefeeds(plan: DownloadPlan) -> DownloadPlan:
    """Put a line feed inside a quoted path of each row (mass: ROI mask, calcification: cropped image)."""
    return replace(plan, csv=replace(plan.csv, linefeed_in_paths=True))


def rename_density_column(plan: DownloadPlan) -> DownloadPlan:
    """Call the density column `breast_density` for masses and `breast density` for calcifications."""
    return replace(plan, csv=replace(plan.csv, density_with_space=True))


def use_2017_file_names(plan: DownloadPlan) -> DownloadPlan:
    """Use the file names 000000.dcm and 000001.dcm, which confuse mask and crop and do not exist in most layouts."""
    return replace(plan, csv=replace(plan.csv, names_of_2017=True))
