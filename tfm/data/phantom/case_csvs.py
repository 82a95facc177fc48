"""Build the text of the case CSVs with the official columns. Tables that list the files of a layout are in layouts."""

from __future__ import annotations

from tfm.core.randomness import generator_at
from tfm.data.phantom.download_plan import CsvForm, DownloadPlan, Fact, Finding, Kind, Mammogram
from tfm.data.phantom.layouts import LAYOUTS, Layout, Row, format_csv
from tfm.data.phantom.series import CROP, FULL, MASK, Instance, Series, build_full_series, build_lesion_series

_ABNORMALITY = {"mass": "mass", "calc": "calcification"}
_SHAPE_COLUMNS = {"mass": ("mass shape", "mass margins"), "calc": ("calc type", "calc distribution")}
_SHAPES: dict[tuple[Kind, bool], tuple[tuple[str, ...], tuple[str, ...]]] = {
    ("mass", False): (("ROUND", "OVAL"), ("CIRCUMSCRIBED",)),
    ("mass", True): (("IRREGULAR", "IRREGULAR-ARCHITECTURAL_DISTORTION"), ("SPICULATED",)),
    ("calc", False): (("COARSE", "ROUND_AND_REGULAR-LUCENT_CENTER"), ("CLUSTERED", "REGIONAL")),
    ("calc", True): (("PLEOMORPHIC", "FINE_LINEAR_BRANCHING"), ("CLUSTERED", "SEGMENTAL")),
}
_ODD: dict[Fact, object] = {"density": 0, "assessment": 0, "subtlety": 0, "shape": "N/A", "surround": "N/A"}
_ASSESSMENTS = {"MALIGNANT": (4, 4, 5), "BENIGN": (3, 4, 4), "BENIGN_WITHOUT_CALLBACK": (2,)}


def build_case_csvs(plan: DownloadPlan) -> dict[str, str]:
    """Map file names to text, without files that would have no rows."""
    rows: dict[str, list[Row]] = {}
    for m in plan.mammograms:
        name = f"{m.kind}_case_description_{m.split}_set.csv"
        rows.setdefault(name, []).extend(_build_row(m, finding, plan) for finding in m.findings)
    return {name: format_csv(found) for name, found in sorted(rows.items())}


def _build_row(m: Mammogram, finding: Finding, plan: DownloadPlan) -> Row:
    exposure = m.exposure
    lesion = exposure.lesions[finding.lesion]
    # A lesion has the same description in both views.
    rng = generator_at(exposure.seed, "phantom words", exposure.patient, exposure.side, lesion.number)
    shapes, surrounds = _SHAPES[lesion.kind, lesion.malignant]
    subtlety = round(5 - 3 * exposure.difficulty - rng.uniform(0, 1))  # first: the order of draws affects the values
    facts: dict[Fact, object] = {
        "density": exposure.density,
        "shape": shapes[rng.integers(len(shapes))],
        "surround": surrounds[rng.integers(len(surrounds))],
        "assessment": rng.choice(_ASSESSMENTS[finding.pathology]),
        "subtlety": subtlety,
    }
    for fact in finding.odd_values:
        facts[fact] = _ODD[fact]
    shape, surround = _SHAPE_COLUMNS[m.kind]
    full, crop, mask = _build_paths(m, finding, plan.csv, LAYOUTS[plan.layout])
    return {
        "patient_id": exposure.patient,
        "breast density" if plan.csv.density_with_space and m.kind == "calc" else "breast_density": facts["density"],
        "left or right breast": exposure.side,
        "image view": exposure.view,
        "abnormality id": finding.abnormality,
        "abnormality type": _ABNORMALITY[m.kind],
        shape: facts["shape"],
        surround: facts["surround"],
        "assessment": facts["assessment"],
        "pathology": finding.pathology,
        "subtlety": facts["subtlety"],
        "image file path": full,
        "cropped image file path": crop,
        "ROI mask file path": mask,
    }


def _build_paths(m: Mammogram, finding: Finding, form: CsvForm, layout: Layout) -> tuple[str, str, str]:
    path = {
        instance.description: f"{series.subject}/{series.study}/{series.uid}/"
        + (_format_2017_name(m.kind, series, instance) if form.names_of_2017 else layout.name_in_case_csv(instance))
        for series in (build_full_series(m), *build_lesion_series(m, finding))
        for instance in series.instances
    }
    full, crop, mask = path[FULL], path[CROP], path[MASK]
    if finding.swapped:
        crop, mask = mask, crop
    if not form.linefeed_in_paths:
        return full, crop, mask
    return (full, crop, mask + "\n") if m.kind == "mass" else (full, crop + "\n", mask)


def _format_2017_name(kind: Kind, series: Series, instance: Instance) -> str:
    """Return the file name in the CSVs of 2017, which does not depend on the order of the files."""
    second = {"mass": MASK, "calc": CROP}[kind]
    return "000001.dcm" if len(series.instances) == 2 and instance.description == second else "000000.dcm"
