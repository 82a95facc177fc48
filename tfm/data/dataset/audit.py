"""The account of a dataset: promised and found, who is in which split, what was noticed and proven. Decides nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pandas as pd

from tfm.data.dataset.dataset import LABELS, MISSING
from tfm.data.dataset.dataset_plan import DatasetPlan
from tfm.data.dataset.image_table import VIEW_KEY
from tfm.data.dataset.invariants import Invariant
from tfm.data.dataset.lesion_classes import MASK_CLASSES
from tfm.data.dataset.split import SPLITS, hash_split
from tfm.data.download.catalog import Catalog
from tfm.data.download.notices import NOTICE_KINDS
from tfm.data.sources import csv_summary

_STANDING = {"hard": "hard links", "symlink": "symbolic links", "copy": "copies", "png": "PNG without loss"}
_MOST_LISTED = 200  # findings of one kind in the text; audit.json has them all
_CLASSES = ", ".join(f"{value} {name}" for value, name in enumerate(MASK_CLASSES))

Table = dict[str, dict[str, int]]  # row → column → count


def build_audit(
    catalog: Catalog, plan: DatasetPlan, proofs: Sequence[Invariant], placed_as: Counter[str]
) -> dict[str, Any]:
    """`placed_as` counts how the image files stand: "hard", "symlink", "copy" or "png"."""
    counted = csv_summary.summarize_cases(catalog.lesions)
    return {
        "protocol": plan.protocol,
        "synthetic": catalog.synthetic,
        "split_hash": hash_split(plan.manifest),
        "settings": plan.settings,
        "leaks": int((plan.manifest.groupby("patient_id")["split"].nunique() > 1).sum()),
        "proofs": [{"claim": proof.claim, "checked": proof.checked, "holds": not proof.against} for proof in proofs],
        "splits": count_splits(plan.manifest),
        "download": count_expected_and_found(catalog.lesions),
        "series": count_series(catalog, counted["series the CSVs name"]["all"]),
        "headers": catalog.headers,
        "census": counted,
        "files": dict(sorted(placed_as.items())),
        "findings": [{"kind": found.kind, "subject": found.subject, "words": found.words} for found in plan.notices],
    }


def count_splits(manifest: pd.DataFrame) -> Table:
    return {split: _split_counts(manifest[manifest["split"] == split]) for split in SPLITS}


def _split_counts(rows: pd.DataFrame) -> dict[str, int]:
    return {
        "women": rows["patient_id"].nunique(),
        "images": len(rows),
        **{label: int((rows["label"] == label).sum()) for label in LABELS},
        "with_mask": int((rows["mask"] != "").sum()),
    }


def count_expected_and_found(lesions: pd.DataFrame) -> Table:
    counts = {}
    for kind, split in sorted(set(zip(lesions["kind"], lesions["split"], strict=True)), reverse=True):
        rows = lesions[(lesions["kind"] == kind) & (lesions["split"] == split)]
        images = rows.drop_duplicates(VIEW_KEY)
        counts[f"{kind} {split}"] = {
            "images_promised": len(images),
            "images_found": int((images["image_file"] != "").sum()),
            "lesions_promised": len(rows),
            "masks_found": int((rows["mask_file"] != "").sum()),
            "crops_found": int((rows["crop_file"] != "").sum()),
        }
    return counts


def count_series(catalog: Catalog, named: int) -> dict[str, int]:
    counts = {"named by the CSVs": named, "to fetch again": len(catalog.list_series_to_fetch())}
    counts["in the download"] = catalog.series
    if catalog.listing is not None:
        counts["listed in metadata.csv"] = len(catalog.listing)
    return counts


def count_findings(account: dict[str, Any]) -> list[tuple[str, int]]:
    """Heading and how many, in the order of an audit."""
    counts = Counter(found["kind"] for found in account["findings"])
    return [(heading, counts[kind]) for kind, heading in NOTICE_KINDS.items() if counts[kind]]


def format_audit(account: dict[str, Any]) -> str:
    """The same account as Markdown."""
    proofs = "\n".join(f"- {proof['claim']}: holds ({proof['checked']} checked)" for proof in account["proofs"])
    to_fetch = account["series"]["to fetch again"]
    names_none = not account["series"]["named by the CSVs"] and "listed in metadata.csv" not in account["series"]
    unknown = "\n\nNeither the CSVs nor a metadata.csv name series: which are missing cannot be said."
    fetch = (
        f"\n\n`{MISSING}` asks NBIA Data Retriever for these {to_fetch} series, and for no other." if to_fetch else ""
    )
    fetch += unknown if names_none else ""
    parts = [
        "# Audit of the dataset",
        f"Protocol: **{account['protocol']}**. Split hash: `{account['split_hash'][:16]}`.",
        f"Women in more than one split: **{account['leaks']}**.",
        "## Proven before anything was written",
        proofs,
        "## Splits",
        _table("split", account["splits"]),
        "## Download",
        _table("CSV", account["download"]),
        "**Series**",
        _list(account["series"]) + fetch,
        "**Files**",
        _list(account["headers"]),
        f"Image files: {', '.join(f'{count} {_STANDING[how]}' for how, count in account['files'].items())}. "
        f"Values in a mask: {_CLASSES}. An image has a mask only if every one of its lesions has.",
        "## Settings",
        _list(account["settings"]),
        "## What the CSVs hold",
        *_groups(account["census"]),
        "## Findings",
        *_findings(account["findings"]),
    ]
    return "\n\n".join(parts) + "\n"


def _groups(counts: dict[str, Any]) -> list[str]:
    """A table where each row of a group has the same counts, a list where not."""
    parts = []
    for heading, group in counts.items():
        columns = {tuple(row) if isinstance(row, dict) else () for row in group.values()}
        is_table = len(columns) == 1 and columns != {()}
        lines = _table(heading, group) if is_table else _list(dict(csv_summary.flatten_counts(group)))
        parts += [lines] if is_table else [f"**{heading}**", lines]
    return parts


def _list(values: dict[str, Any]) -> str:
    return "\n".join(f"- {name}: {value}" for name, value in values.items())


def _table(corner: str, rows: Table) -> str:
    columns = list(next(iter(rows.values())))
    lines = [
        " | ".join(["", corner, *(column.replace("_", " ") for column in columns), ""]),
        "|---|" + "---:|" * len(columns),
        *(" | ".join(["", name, *(str(row[column]) for column in columns), ""]) for name, row in rows.items()),
    ]
    return "\n".join(line.strip() for line in lines)


def _findings(findings: list[dict[str, str]]) -> list[str]:
    if not findings:
        return ["Nothing was out of order."]
    parts = []
    for kind, heading in NOTICE_KINDS.items():
        found = [f"- {finding['subject']}: {finding['words']}" for finding in findings if finding["kind"] == kind]
        if found:
            more = [f"- … and {len(found) - _MOST_LISTED} more, in audit.json"] if len(found) > _MOST_LISTED else []
            parts += [f"### {heading}: {len(found)}", "\n".join(found[:_MOST_LISTED] + more)]
    return parts
