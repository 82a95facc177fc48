"""The audit of a dataset: files expected and found, splits, invariants and notices, as JSON and as Markdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pandas as pd

from tfm.core.escape_text import escape_markdown
from tfm.core.registry import find_command
from tfm.core.settings.document_command import write_document_command
from tfm.data.dataset.dataset import LABELS, MISSING
from tfm.data.dataset.dataset_plan import DatasetPlan
from tfm.data.dataset.invariants import Invariant
from tfm.data.dataset.lesion_classes import MASK_CLASSES
from tfm.data.dataset.split import SPLITS, hash_split
from tfm.data.download.notices import NOTICE_KINDS

_LINK_NAMES = {"hard": "hard links", "symlink": "symbolic links", "copy": "copies", "png": "lossless PNG"}
_SHOWN_PER_KIND = 200  # in the text; audit.json has all
PART_COLUMN = "part"
_CLASSES = ", ".join(f"{value} {name}" for value, name in enumerate(MASK_CLASSES))

Table = dict[str, dict[str, int]]  # row → column → count


def build_audit(plan: DatasetPlan, invariants: Sequence[Invariant], link_counts: Counter[str]) -> dict[str, Any]:
    """`link_counts` has the number of image files by "hard", "symlink", "copy" or "png"."""
    return {
        "protocol": plan.protocol,
        "synthetic": plan.source.synthetic,
        "split_hash": hash_split(plan.manifest),
        "settings": plan.settings,
        "leaks": int((plan.manifest.groupby("patient_id")["split"].nunique() > 1).sum()),
        "proofs": [{"claim": one.claim, "checked": one.checked, "holds": not one.violations} for one in invariants],
        "splits": count_splits(plan.manifest),
        **plan.source.describe_download(),
        "files": dict(sorted(link_counts.items())),
        "findings": [{"kind": found.kind, "subject": found.subject, "words": found.words} for found in plan.notices],
    }


def count_splits(manifest: pd.DataFrame) -> Table:
    return {
        split: {
            "women": rows["patient_id"].nunique(),
            "images": len(rows),
            **{label: int((rows["label"] == label).sum()) for label in LABELS},
            "with_mask": int((rows["mask"] != "").sum()),
        }
        for split in SPLITS
        for rows in [manifest[manifest["split"] == split]]
    }


def count_findings(account: dict[str, Any]) -> list[tuple[str, int]]:
    """Return heading and count of each kind, in the order of the audit."""
    counts = Counter(found["kind"] for found in account["findings"])
    return [(heading, counts[kind]) for kind, heading in NOTICE_KINDS.items() if counts[kind]]


def format_audit(account: dict[str, Any]) -> str:
    """Format an audit as Markdown."""
    proofs = "\n".join(f"- {proof['claim']}: holds ({proof['checked']} checked)" for proof in account["proofs"])
    parts = [
        "# Audit of the dataset",
        f"Protocol: **{account['protocol']}**. Split hash: `{account['split_hash'][:16]}`.",
        f"Patients in more than one split: **{account['leaks']}**.",
        "## Checked before anything was written",
        proofs,
        *(["## Collection", _format_list(account["collection"])] if "collection" in account else []),
        "## Splits",
        _format_table("split", account["splits"]),
        "## Download",
        _format_table(PART_COLUMN, account["download"]),
        *(["**Series**", _format_series(account["series"])] if "series" in account else []),
        "**Files**",
        _format_list(account["headers"]),
        f"Image files: {', '.join(f'{count} {_LINK_NAMES[how]}' for how, count in account['files'].items())}. "
        f"Values in a mask: {_CLASSES}. An image has a mask only if each of its lesions has one.",
        "## Settings",
        _format_list(account["settings"]),
        *(["## Content of the CSVs", *_format_groups(account["census"])] if "census" in account else []),
        "## Notices",
        *format_notices(account["findings"]),
    ]
    return "\n\n".join(parts) + "\n"


def _format_series(series: dict[str, int]) -> str:
    to_fetch = series["to fetch again"]
    names_none = not series["named by the CSVs"] and "listed in metadata.csv" not in series
    unknown = "\n\nNeither the CSVs nor a metadata.csv name series, so missing series are unknown."
    return _format_list(series) + (_tell_how_to_fetch(to_fetch) if to_fetch else "") + (unknown if names_none else "")


def _tell_how_to_fetch(series: int) -> str:
    download = find_command("download").settings
    command = write_document_command("download", [], download.model_validate({"missing_from": "NAME"}), download())
    return (
        f"\n\n`{command}`, with the name of this dataset, downloads these {series} series. Without the program, open "
        f"`{MISSING}` in NBIA Data Retriever."
    )


def _format_groups(counts: dict[str, Any]) -> list[str]:
    """Format a group as a table if all its rows have the same columns, otherwise as a list."""
    parts = []
    for heading, group in counts.items():
        columns = {tuple(row) if isinstance(row, dict) else () for row in group.values()}
        is_table = len(columns) == 1 and columns != {()}
        counted = [(label_column(name), count) for name, count in flatten_counts(group)]
        lines = _format_table(heading, group) if is_table else _format_list(dict(counted))
        parts += [lines] if is_table else [f"**{label_column(heading)}**", lines]
    return parts


def flatten_counts(counts: dict[str, Any]) -> list[tuple[str, str]]:
    """Return (label, count) pairs, with the labels of nested groups joined by colons."""
    rows = []
    for what, count in counts.items():
        if isinstance(count, dict):
            rows += [(f"{what}: {part}", number) for part, number in flatten_counts(count)]
        else:
            rows.append((what, str(count)))
    return rows


def label_column(column: str) -> str:
    """Format the name of a count. audit.json calls patients "women" in all versions."""
    return column.replace("women", "patients").replace("promised", "expected").replace("_", " ")


def _format_list(values: dict[str, Any]) -> str:
    return "\n".join(f"- {escape_markdown(name)}: {escape_markdown(str(value))}" for name, value in values.items())


def _format_table(corner: str, rows: Table) -> str:
    columns = list(next(iter(rows.values())))
    lines = [
        " | ".join(["", corner, *map(label_column, columns), ""]),
        "|---|" + "---:|" * len(columns),
        *(
            " | ".join(["", escape_markdown(label_column(name)), *(str(row[column]) for column in columns), ""])
            for name, row in rows.items()
        ),
    ]
    return "\n".join(line.strip() for line in lines)


def format_notices(findings: list[dict[str, str]]) -> list[str]:
    """Format the notices as parts of a Markdown text."""
    if not findings:
        return ["None."]
    parts = []
    for kind, heading in NOTICE_KINDS.items():
        named = [f"{finding['subject']}: {finding['words']}" for finding in findings if finding["kind"] == kind]
        found = [f"- {escape_markdown(one)}" for one in named]
        if found:
            rest = len(found) - _SHOWN_PER_KIND
            more = [f"- … and {rest} more, in audit.json"] if rest > 0 else []
            parts += [f"### {heading}: {len(found)}", "\n".join(found[:_SHOWN_PER_KIND] + more)]
    return parts
