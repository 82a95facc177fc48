"""Compare what the runs of the leak lab claim with what is true on patients that none of them has seen."""

from __future__ import annotations

from collections.abc import Iterator

from tfm.analysis.figures.leaks import draw_claims
from tfm.analysis.figures.style import save_figure
from tfm.analysis.leaks import COLUMNS, NAMES, read_claims
from tfm.analysis.predictions import read_predictions
from tfm.commands.leak_comparison import LeakComparison
from tfm.core.errors import DataError
from tfm.core.events import Event, Picture, Result, Table
from tfm.core.runs.lookup import find_run
from tfm.core.runs.run import Run

_FACTS = ("dataset_hash", "dataset", "protocol", "synthetic")


def compare_leaks(settings: LeakComparison, run: Run) -> Iterator[Event]:
    runs = sorted(
        (find_run(run.workspace, name) for name in settings.runs),
        key=lambda one: list(NAMES).index(one.read_status().result["way"]),
    )
    environments = [one.read_environment() for one in runs]
    facts = environments[0]
    if any(one[name] != facts[name] for one in environments for name in _FACTS):
        raise DataError(
            "these runs of the leak lab were trained on different datasets",
            hint="compare the runs of one leak-lab plan",
        )
    claims = [claim for one in runs for claim in read_claims(one)]
    outside = read_predictions(runs[0].predictions_file("outside"))
    caption = (
        f"dataset {facts['dataset']} ({facts['protocol']}); {runs[0].read_status().result['model']}, each trained for "
        f"{runs[0].read_status().result['epochs']} epochs on the training and validation images, split again in each "
        f"way; unseen patients: the {outside['patient_id'].nunique()} test patients of the dataset ({len(outside)} "
        "images), the same for all; after augmentation an epoch has twice as many images; 95 % intervals over "
        "patients. Only the first row is a result. The others show what a mistake would claim"
        + ("; these images are synthetic phantoms" if facts["synthetic"] else "")
    )
    title = "Leak lab: what each split would claim"
    yield Table(title, COLUMNS, [claim.format_row() for claim in claims], caption)
    paths = save_figure(draw_claims(claims), run.figures_folder, "claims", caption)
    yield Picture(str(paths[0]), title)
    yield Result({"run": run.id, "claims": [claim.flatten() for claim in claims]}, outputs=list(map(str, paths)))
