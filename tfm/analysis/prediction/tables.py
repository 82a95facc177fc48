"""The predictions of new images as CSV files. Names from files and headers are escaped, and each row has the notice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from tfm.analysis.export_table import ExportTable, format_csv
from tfm.analysis.prediction.predicted_images import NOTICE, PredictedImage, Verdict
from tfm.analysis.settings import Unit
from tfm.core import files


def write_image_table(
    path: Path, images: Sequence[PredictedImage], verdicts: Sequence[Verdict], refused: Mapping[str, str]
) -> None:
    """Write a row for each file, the refused ones last."""
    records: list[dict[str, object]] = [
        {
            "file": image.name,
            "status": "predicted",
            "patient_id": image.facts.patient,
            "side": image.facts.side,
            "view": image.facts.view,
            "named_by": image.facts.source,
            **_list_values(verdict),
            "seen_in_training": image.seen_patient,
            "remarks": "; ".join(image.remarks),
            "reason": "",
            "notice": NOTICE,
        }
        for image, verdict in zip(images, verdicts, strict=True)
    ]
    records += [
        {"file": name, "status": "refused", "reason": reason, "notice": NOTICE} for name, reason in refused.items()
    ]
    files.write_text(path, format_csv(ExportTable("", [], [], records)))


def write_unit_table(path: Path, unit: Unit, verdicts: Sequence[Verdict]) -> None:
    records = [
        {unit: verdict.name, "images": verdict.images, **_list_values(verdict), "notice": NOTICE}
        for verdict in verdicts
    ]
    files.write_text(path, format_csv(ExportTable("", [], [], records)))


def _list_values(verdict: Verdict) -> dict[str, object]:
    return {
        "prob": verdict.prob,
        "calibrated": verdict.calibrated,
        "threshold": verdict.threshold,
        "called": verdict.called,
    }
