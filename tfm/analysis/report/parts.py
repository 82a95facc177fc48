"""What a report is made of. The same parts become an HTML page and the files of a thesis pack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from matplotlib.figure import Figure

from tfm.analysis.export_table import ExportTable


@dataclass(frozen=True)
class Paragraph:
    text: str
    is_warning: bool = False


@dataclass(frozen=True)
class FigurePart:
    """A figure with its caption. `alt` says what it shows to people who cannot see it."""

    name: str  # of its files
    figure: Figure
    alt: str
    caption: str


@dataclass(frozen=True)
class PicturePart:
    """A picture that another run made."""

    name: str
    file: Path
    alt: str
    caption: str


@dataclass(frozen=True)
class TablePart:
    """A table. A cell that names a run of `runs` leads to the section of that run, and so do the numbers in its row.

    Attributes:
        runs: By the name of a model in the row, or by the run's own id: the id of the run.
        summary: What a page shows instead of the table until it is opened; "" if the table is always shown.
    """

    name: str
    table: ExportTable
    runs: Mapping[str, str] = field(default_factory=dict)
    summary: str = ""

    def find_run(self, row: Sequence[str]) -> str | None:
        """Find the run that a row is about. The last cell that names one counts: several runs may share a name."""
        return next((self.runs[cell] for cell in reversed(row) if cell in self.runs), None)


@dataclass(frozen=True)
class CodePart:
    """Text that is shown as it is, such as commands."""

    text: str


Part = Paragraph | FigurePart | PicturePart | TablePart | CodePart


@dataclass(frozen=True)
class Section:
    anchor: str
    title: str
    parts: list[Part]
    sections: list[Section] = field(default_factory=list)


def name_anchor(run: str) -> str:
    """The anchor of a run's section."""
    return f"run-{run}"


def iterate_parts(sections: Sequence[Section]) -> list[Part]:
    """All parts in the order of the report."""
    found: list[Part] = []
    for section in sections:
        found += [*section.parts, *iterate_parts(section.sections)]
    return found
