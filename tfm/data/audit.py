"""The account of a dataset: promised and found, who is in which split, what was noticed. It decides nothing."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pandas as pd

from tfm.data.arrange import Arrangement
from tfm.data.catalog import Catalog
from tfm.data.dataset import LABELS, MASK_CLASSES
from tfm.data.findings import FINDING_KINDS
from tfm.data.images import VIEW_KEY
from tfm.data.split import SPLITS, prove_no_leak, split_hash

_STANDING = {"hard": "hard links", "symlink": "symbolic links", "copy": "copies"}


def audit(catalog: Catalog, arrangement: Arrangement, placed_as: Counter[str]) -> dict[str, Any]:
    """`placed_as` counts how the image files stand: "hard", "symlink" or "copy"."""
    manifest = arrangement.manifest
    prove_no_leak(manifest)
    return {
        "protocol": arrangement.protocol,
        "synthetic": catalog.synthetic,
        "split_hash": split_hash(manifest),
        "settings": arrangement.settings,
        "leaks": 0,
        "splits": {split: _split_counts(manifest[manifest["split"] == split]) for split in SPLITS},
        "download": _promised_and_found(catalog.lesions),
        "files": dict(sorted(placed_as.items())),
        "findings": [
            {"kind": found.kind, "subject": found.subject, "words": found.words} for found in arrangement.findings
        ],
    }


def _split_counts(rows: pd.DataFrame) -> dict[str, int]:
    return {
        "women": rows["patient_id"].nunique(),
        "images": len(rows),
        **{label: int((rows["label"] == label).sum()) for label in LABELS},
        "with_mask": int((rows["mask"] != "").sum()),
    }


def _promised_and_found(lesions: pd.DataFrame) -> dict[str, dict[str, int]]:
    counts = {}
    for kind, split in sorted(set(zip(lesions["kind"], lesions["split"], strict=True)), reverse=True):
        rows = lesions[(lesions["kind"] == kind) & (lesions["split"] == split)]
        images = rows.drop_duplicates(VIEW_KEY)
        counts[f"{kind} {split}"] = {
            "images_promised": len(images),
            "images_found": int((images["image_file"] != "").sum()),
            "lesions_promised": len(rows),
            "masks_found": int((rows["mask_file"] != "").sum()),
        }
    return counts


def as_text(account: dict[str, Any]) -> str:
    """The same account as Markdown."""
    classes = ", ".join(f"{value} {name}" for value, name in enumerate(MASK_CLASSES))
    parts = [
        "# Audit of the dataset",
        f"Protocol: **{account['protocol']}**. Split hash: `{account['split_hash'][:16]}`.",
        f"Women in more than one split: **{account['leaks']}** (checked before anything was written).",
        "## Splits",
        _table("split", account["splits"]),
        "## Download",
        _table("CSV", account["download"]),
        f"Image files: {', '.join(f'{count} {_STANDING[how]}' for how, count in account['files'].items())}. "
        f"Values in a mask: {classes}. An image has a mask only if every one of its lesions has.",
        "## Settings",
        "\n".join(f"- {name}: {value}" for name, value in account["settings"].items()),
        "## Findings",
        *_findings(account["findings"]),
    ]
    return "\n\n".join(parts) + "\n"


def _table(corner: str, rows: dict[str, dict[str, int]]) -> str:
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
    for kind, heading in FINDING_KINDS.items():
        found = [f"- {finding['subject']}: {finding['words']}" for finding in findings if finding["kind"] == kind]
        if found:
            parts += [f"### {heading}: {len(found)}", "\n".join(found)]
    return parts
