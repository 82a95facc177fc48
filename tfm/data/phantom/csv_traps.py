"""Traps in what the case CSVs tell: their form, their paths, their values.
Traps in who has what are in `traps_found`, traps in the image files in `traps_filed`."""

from __future__ import annotations

from dataclasses import replace

from tfm.data.phantom.spec import DownloadPlan
from tfm.data.phantom.trap_sites import change_finding, find_free_place


def swap_columns(plan: DownloadPlan) -> DownloadPlan:
    """A lesion's crop and mask lie in series of their own, and the CSV's columns of the two are exchanged."""
    place = find_free_place(plan, "swapped-columns")
    return change_finding(plan, place, lambda finding: replace(finding, separate=True, swapped=True))


def write_odd_values(plan: DownloadPlan) -> DownloadPlan:
    """Density, assessment and subtlety are each 0 in a row, and in another shape and margins are N/A."""
    one_row = find_free_place(plan, "odd-values", lambda m: len(m.findings) == 1)  # an image has one density
    plan = change_finding(plan, one_row, lambda finding: replace(finding, odd_values=("density",)))
    for_assessment = find_free_place(plan, "odd-values")
    plan = change_finding(plan, for_assessment, lambda finding: replace(finding, odd_values=("assessment",)))
    for_subtlety = find_free_place(plan, "odd-values")
    plan = change_finding(plan, for_subtlety, lambda finding: replace(finding, odd_values=("subtlety",)))
    mass = find_free_place(plan, "odd-values", lambda m: m.kind == "mass")  # calcifications have type and distribution
    return change_finding(plan, mass, lambda finding: replace(finding, odd_values=("shape", "surround")))


def insert_linefeeds(plan: DownloadPlan) -> DownloadPlan:
    """Each record has a line feed inside the quotes of a path (mass: ROI mask, calcification: cropped image)."""
    return replace(plan, csv=replace(plan.csv, linefeed_in_paths=True))


def rename_density_column(plan: DownloadPlan) -> DownloadPlan:
    """The density column is `breast_density` in the mass files and `breast density` in the calcification files."""
    return replace(plan, csv=replace(plan.csv, density_with_space=True))


def use_2017_file_names(plan: DownloadPlan) -> DownloadPlan:
    """The CSVs name files 000000.dcm and 000001.dcm, and tell mask from crop wrongly; few layouts have such names."""
    return replace(plan, csv=replace(plan.csv, names_of_old=True))
