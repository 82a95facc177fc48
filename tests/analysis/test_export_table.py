"""Tables as files: programs read plain numbers, people read text, and no name becomes a command."""

import csv
import json
import math

import pytest

from tfm.analysis.export_table import ExportTable, export_table

TABLE = ExportTable(
    caption="dataset a_b; 95 % intervals",
    columns=["model", "AUC (95 % interval)"],
    rows=[["ResNet18_CFT", "0.812 (0.760 to 0.855)"], ["=2+5|x", "–"]],
    records=[
        {"model": "ResNet18_CFT", "auc": 0.8123456789, "auc_low": 0.76, "seeds": [7, 8]},
        {"model": "=2+5|x", "auc": math.nan, "auc_low": None, "seeds": [7]},
    ],
)


@pytest.fixture
def exported(tmp_path):
    """The content of each file, by its ending."""
    paths = export_table(TABLE, tmp_path / "new", "table")
    return {path.suffix[1:]: path.read_text(encoding="utf-8") for path in paths}


def test_csv_holds_every_digit_and_no_formula(exported):
    rows = list(csv.reader(exported["csv"].splitlines()))
    assert rows == [
        ["model", "auc", "auc_low", "seeds"],
        ["ResNet18_CFT", "0.8123456789", "0.76", "7 8"],
        ["'=2+5|x", "", "", "7"],
    ]


def test_json_holds_every_digit_and_null_for_what_is_unknown(exported):
    content = json.loads(exported["json"])
    assert content["caption"] == TABLE.caption
    assert content["rows"][0] == TABLE.records[0]
    assert content["rows"][1] == {"model": "=2+5|x", "auc": None, "auc_low": None, "seeds": [7]}


def test_markdown_is_a_table_with_its_caption(exported):
    assert exported["md"].splitlines() == [
        "| model | AUC (95 % interval) |",
        "| --- | ---: |",
        "| ResNet18_CFT | 0.812 (0.760 to 0.855) |",
        r"| \=2+5\|x | – |",
        "",
        "dataset a_b; 95 % intervals",
    ]


def test_latex_is_a_booktabs_table_with_escaped_names(exported):
    lines = exported["tex"].splitlines()
    assert lines[0] == r"% dataset a\_b; 95 \% intervals"
    assert lines[3:] == [
        r"\begin{tabular}{lr}",
        r"\toprule",
        r"model & AUC (95 \% interval) \\",
        r"\midrule",
        r"ResNet18\_CFT & 0.812 (0.760 to 0.855) \\",
        r"=2+5\textbar{}x & – \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]


def test_a_table_without_rows_is_valid(tmp_path):
    empty = ExportTable("nothing", ["model"], [], [])
    assert {path.name for path in export_table(empty, tmp_path, "empty")} == {
        f"empty.{ending}" for ending in ("csv", "md", "tex", "json")
    }
