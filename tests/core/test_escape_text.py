"""Names that look like commands of LaTeX, Markdown or a spreadsheet are printed as they are."""

import os

import pytest

from tfm.core.escape_text import escape_csv_cell, escape_latex, escape_markdown, escape_terminal


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("ResNet18_CFT", r"ResNet18\_CFT"),
        (r"\input{/etc/passwd}", r"\textbackslash{}input\{/etc/passwd\}"),
        ("50 % & $5 #1 ~ ^", r"50 \% \& \$5 \#1 \textasciitilde{} \textasciicircum{}"),
        ("a--b", "a-{}-{}b"),
        ("−0.010, ≤ 5", r"$-$0.010, $\le$ 5"),
        ("-0.013 (-0.036 to 0.010), 2026-01-01", r"$-$0.013 ($-$0.036 to 0.010), 2026-{}01-{}01"),
        ("[2cm] *", "{[}2cm] {*}"),
        ("Málaga ñ ü – “x”", "Málaga ñ ü – “x”"),
        ("two\n\nlines\x07", "two lines"),
        ("中", "U+4E2D"),
    ],
)
def test_latex_prints_the_text_as_it_is(text, escaped):
    assert escape_latex(text) == escaped


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("a|b", r"a\|b"),
        ("**bold** [x](y) <b>", r"\*\*bold\*\* \[x\](y) \<b\>"),
        ("# title", r"\# title"),
        ("P_00001 _a_", r"P_00001 \_a\_"),
        ("- item", r"\- item"),
        ("1. item", r"1\. item"),
        ("-0.013 (-0.036 to 0.010)", "-0.013 (-0.036 to 0.010)"),
        ("row\nrow", "row row"),
    ],
)
def test_markdown_prints_the_text_as_it_is(text, escaped):
    assert escape_markdown(text) == escaped


@pytest.mark.parametrize("text", ["=1+1", "+cmd|' /C calc'!A0", "-a", "@SUM(A1)", "\t=1", " =1", "＝1", "-1+1"])
def test_a_formula_becomes_text_in_a_spreadsheet(text):
    assert escape_csv_cell(text) == f"'{text}"


@pytest.mark.parametrize("text", ["-0.013", "+5", "-1e-05", "3", "ResNet18_CFT", "a=b", ""])
def test_numbers_and_plain_names_stay_as_they_are_in_a_spreadsheet(text):
    assert escape_csv_cell(text) == text


@pytest.mark.parametrize("control", ["\x1b[31m", "\x9b31m", "\x07", "\r", "\b", "\u202e", "\x7f"])
def test_neither_a_terminal_nor_a_table_obeys_a_name(control):
    for escape in (escape_terminal, escape_csv_cell, escape_markdown, escape_latex):
        assert not set(control) & set("\x1b\x9b\x07\r\b\u202e\x7f") & set(escape(f"red{control}=1"))
    assert escape_csv_cell(f"{control}=1").startswith(("'", "[31m", "31m"))


def test_a_byte_that_is_no_character_can_be_printed():
    assert escape_terminal(os.fsdecode(b"caf\xe9")) == "caf?"
