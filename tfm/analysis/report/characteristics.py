"""What is known of the images of each split: the first table of a paper."""

from __future__ import annotations

import pandas as pd

from tfm.analysis.export_table import ExportTable
from tfm.analysis.report.patient_flow import SPLIT_TITLES

_GROUPS = {
    "label": "Pathology",
    "kind": "Lesions",
    "view": "View",
    "side": "Breast",
    "density": "Breast density (1 to 4)",
    "assessment": "BI-RADS assessment",
    "subtlety": "Subtlety (1: subtle, 5: obvious)",
}


def tabulate_characteristics(manifest: pd.DataFrame) -> ExportTable:
    """Count the patients and images of each split, and the images with each known value."""
    parts = {title: manifest[manifest["split"] == split] for split, title in SPLIT_TITLES.items()}
    rows = [
        ["Patients", *(f"{part['patient_id'].nunique():,}" for part in parts.values())],
        ["Images", *(f"{len(part):,}" for part in parts.values())],
    ]
    for column, heading in _GROUPS.items():
        values = sorted(manifest[column].dropna().unique())
        for value in [*values, *([None] if manifest[column].isna().any() else [])]:
            name = "unknown" if value is None else str(value).lower() if column in ("side", "label") else str(value)
            rows.append([f"{heading}: {name}", *(_format_share(part[column], value) for part in parts.values())])
    caption = (
        "Images of each split, with their share of the split. An image with several lesions has their highest value."
    )
    records = [dict(zip(["what", *SPLIT_TITLES], row, strict=True)) for row in rows]
    return ExportTable(caption, ["", *parts], rows, records)


def _format_share(values: pd.Series, value: object) -> str:
    count = int(values.isna().sum() if value is None else (values == value).fillna(False).sum())
    return f"{count:,} ({count / len(values):.0%})" if len(values) else "0"
