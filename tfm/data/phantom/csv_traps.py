"""Traps in what the case CSVs tell: their form, their paths, their values.
Traps in who has what are in `traps_found`, traps in the image files in `traps_filed`."""

from __future__ import annotations

from dataclasses import replace

from tfm.data.phantom.spec import DownloadPlan
from tfm.data.phantom.trap_sites import changed_at, free_place


def swapped_columns(plan: DownloadPlan) -> DownloadPlan:
    """A lesion's crop and mask lie in series of their own, and the CSV's columns of the two are exchanged."""
    place = free_place(plan, "swapped-columns")
    return changed_at(plan, place, lambda finding: replace(finding, separate=True, swapped=True))


def odd_values(plan: DownloadPlan) -> DownloadPlan:
    """Density, assessment and subtlety are each 0 in a row, and in another shape and margins are N/A."""
    one_row = free_place(plan, "odd-values", lambda m: len(m.findings) == 1)  # an image has one density
    plan = changed_at(plan, one_row, lambda finding: replace(finding, odd_values=("density",)))
    for_assessment = free_place(plan, "odd-values")
    plan = changed_at(plan, for_assessment, lambda finding: replace(finding, odd_values=("assessment",)))
    for_subtlety = free_place(plan, "odd-values")
    plan = changed_at(plan, for_subtlety, lambda finding: replace(finding, odd_values=("subtlety",)))
    mass = free_place(plan, "odd-values", lambda m: m.kind == "mass")  # calcifications have type and distribution
    return changed_at(plan, mass, lambda finding: replace(finding, odd_values=("shape", "surround")))


def linefeed_in_paths(plan: DownloadPlan) -> DownloadPlan:
    """Each record has a line feed inside the quotes of a path (mass: ROI mask, calcification: cropped image)."""
    return replace(plan, csv=replace(plan.csv, linefeed_in_paths=True))


def density_header(plan: DownloadPlan) -> DownloadPlan:
    """The density column is `breast_density` in the mass files and `breast density` in the calcification files."""
    return replace(plan, csv=replace(plan.csv, density_with_space=True))


def wrong_file_names(plan: DownloadPlan) -> DownloadPlan:
    """The CSVs name files 000000.dcm and 000001.dcm, and tell mask from crop wrongly; few layouts have such names."""
    return replace(plan, csv=replace(plan.csv, names_of_old=True))
