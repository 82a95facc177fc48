"""Compute which differences between models a test set can show."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict

from tfm.analysis.comparison_tables import format_patients
from tfm.analysis.export_table import ExportTable, export_table
from tfm.analysis.format_intervals import format_number
from tfm.analysis.units import PLURALS, group_by_unit
from tfm.commands.power import CHANCE, Power
from tfm.core.errors import DataError
from tfm.core.events import Event, Result, Table
from tfm.core.runs.run import Run
from tfm.data.dataset.dataset import Dataset
from tfm.metrics.power import PlannedTest

_COLUMNS = ["true difference", "chance to find it", "patients needed for 80 %"]
_DIFFERENCES = (0.01, 0.02, 0.05, 0.1)


def compute_power(settings: Power, run: Run) -> Iterator[Event]:
    dataset = Dataset.open(run.workspace.dataset_folder(settings.dataset))
    planned = _plan_test(dataset, settings)
    detectable = planned.find_detectable_difference(settings.auc)
    shown = sorted({settings.difference, *(one for one in _DIFFERENCES if settings.auc - one > CHANCE)})
    records = [
        {"difference": difference, **asdict(planned.assess_difference(settings.auc, difference))}
        for difference in shown
    ]
    rows = [
        [f"{record['difference']:g}", f"{100 * record['power']:.0f} %", format_patients(record["patients_needed"])]
        for record in records
    ]
    table = ExportTable(_describe_assumptions(settings, planned, dataset.protocol), _COLUMNS, rows, records)
    outcome = _describe_outcome(settings, detectable, records[shown.index(settings.difference)])
    yield Table("Can this test set tell two models apart?", _COLUMNS, rows, table.caption)
    paths = export_table(table, run.figures_folder, "power")
    values = {
        "run": run.id,
        "dataset": settings.dataset,
        "unit": settings.units.unit,
        "detectable_difference": detectable if math.isfinite(detectable) else None,
        "differences": records,
        "summary": outcome,
    }
    yield Result(values, [str(path) for path in paths], outcome)


def _plan_test(dataset: Dataset, settings: Power) -> PlannedTest:
    images = dataset.select_images("test")
    labels = (images["label"] == "malignant").astype(int)
    unit = settings.units.unit
    units = group_by_unit(images[["patient_id", "side"]].assign(label=labels, prob=0.0), unit)
    if units["label"].nunique() < 2:
        raise DataError(
            f"the dataset {settings.dataset} has test {PLURALS[unit]} of one class only",
            hint="choose a dataset whose test set has benign and malignant images",
        )
    return PlannedTest(
        units["label"].to_numpy(),
        units["patient_id"].to_numpy(),
        settings.model_correlation,
        settings.patient_correlation,
    )


def _describe_outcome(settings: Power, detectable: float, wanted: dict[str, float]) -> str:
    if not math.isfinite(detectable):
        return f"This test set cannot tell a model with an AUC of {settings.auc:g} from chance."
    found = f"a difference of {settings.difference:g} is found with a chance of {100 * wanted['power']:.0f} %"
    return (
        f"The smallest difference that this test set shows is about {format_number(detectable)} (power 80 %); {found}. "
        f"To find it in 8 of 10 studies, about {format_patients(wanted['patients_needed'])} patients would be needed."
    )


def _describe_assumptions(settings: Power, planned: PlannedTest, protocol: str) -> str:
    unit, malignant = settings.units.unit, int(planned.labels.sum())
    return (
        f"dataset {settings.dataset} ({protocol}), test, per {unit}: {planned.labels.size} {PLURALS[unit]} "
        f"({malignant} malignant) of {len(set(planned.patients))} patients. Assumed: the better model has an AUC of "
        f"{settings.auc:g}, the scores of both models correlate by {settings.model_correlation:g}, and those of two "
        f"images of a patient by {settings.patient_correlation:g}. For one comparison at the 5 % level, paired and "
        "clustered by patient. Found means in the right direction, so the chance for a tiny difference is below 5 %"
    )
