"""Texts of files are no formulas in the tables of a dataset."""

import pandas as pd

from tfm.data.dataset.audit import format_notices
from tfm.data.format_table import format_table


def test_a_formula_in_a_table_is_text_and_a_number_stays_a_number():
    table = pd.DataFrame({"shape": ["=cmd|' /C calc'!A0", "OVAL", "-", ""], "level": [-1, 2, 3, None]})
    assert format_table(table.astype({"level": "Int64"})).splitlines() == [
        "shape,level",
        "'=cmd|' /C calc'!A0,-1",
        "OVAL,2",
        "'-,3",
        ",",
    ]


def test_a_name_in_the_audit_is_neither_a_link_nor_an_escape_code():
    name = "P_00001 \x1b[2J[x](http://y) <script>"
    (_, line) = format_notices([{"kind": "unreadable", "subject": name, "words": "is | empty"}])
    assert line == r"- P_00001 \[2J\[x\](http://y) \<script\>: is \| empty"
