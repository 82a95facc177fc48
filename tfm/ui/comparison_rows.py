"""The rows of a finished comparison, as cells of a table and as a card. Nothing here draws or asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

COLUMNS = ["#", "model", "AUC (95 %)", "difference to best", "Holm p", "sens.", "spec.", "epochs", "minutes"]
SORTINGS = ("rank", "sensitivity", "specificity", "epochs", "minutes")
_SORTED_COLUMNS = {"sensitivity": 5, "specificity": 6, "epochs": 7, "minutes": 8}
_NAME = 1
_MINUS = "\N{MINUS SIGN}"


@dataclass(frozen=True)
class ComparedModel:
    """A row of the result of `compare`: one model, or the mean of all, which has no rank."""

    values: Mapping[str, Any]

    @property
    def name(self) -> str:
        return str(self.values["model"])

    @property
    def runs(self) -> list[str]:
        return list(self.values.get("run_ids") or [])

    @property
    def protocol(self) -> str:
        return str(self.values["protocol"])

    @property
    def dataset(self) -> str:
        return self.protocol.partition(";")[0]

    @property
    def epochs(self) -> int | None:
        """Of all its runs."""
        return sum(self.values.get("epochs") or []) or None

    def format_cells(self) -> list[str]:
        rank, p = self.values["rank"], self.values.get("holm_p")
        mark = "*" if self.values.get("like_the_best") else ""
        return [
            f"{rank}{mark}" if rank else "–",
            self.name,
            self._format_interval("auc"),
            self._format_interval("difference") if rank != 1 else "",
            _format_p_value(p) if p is not None else "",
            _format_number(self.values.get("sensitivity"), 2),
            _format_number(self.values.get("specificity"), 2),
            str(self.epochs or ""),
            _format_number(self.values.get("minutes"), 1),
        ]

    @property
    def card(self) -> str:
        """All that a narrow window has no column for."""
        values, count = self.values, len(self.runs)
        alike = "The best, or not to be told from it by this test. " if values.get("like_the_best") else ""
        first = (
            f"{alike}Sensitivity {self._format_interval('sensitivity')}, specificity "
            f"{self._format_interval('specificity')}."
        )
        needed = values.get("patients_needed")
        p = f"Holm p {_format_p_value(values['holm_p'])}. " if values.get("holm_p") is not None else ""
        more = f"{p}About {float(f'{needed:.2g}'):,.0f} patients would be needed to tell it apart. " if needed else p
        costs = [
            f"{count} run{'s' * (count > 1)}",
            *([f"{self.epochs} epoch{'s' * (self.epochs > 1)}"] if self.epochs else []),
            f"{_format_number(values.get('minutes'), 1)} min",
            f"{values.get('parameters') or 0:,} parameters",
            f"weights {values.get('weights')}",
        ]
        external = (
            f"Own test: AUC {self._format_interval('own_auc')}, a drop of {self._format_interval('auc_drop')}.\n"
            if values.get("own_auc") is not None
            else ""
        )
        return f"{external}{first}\n{more}{', '.join(costs)}."

    def sort_key(self, sorting: str) -> tuple[bool, float]:
        """Smaller comes first: the best rank, the highest rate, the lowest cost. What is unknown comes last."""
        value = self.epochs if sorting == "epochs" else self.values.get(sorting)
        is_rate = sorting in ("sensitivity", "specificity")
        return value is None, (-value if is_rate else value) if value is not None else 0.0

    def _format_interval(self, name: str) -> str:
        value, low, high = (self.values.get(f"{name}{end}") for end in ("", "_low", "_high"))
        ends = f" ({_format_number(low)} to {_format_number(high)})" if low is not None else ""
        return f"{_format_number(value)}{ends}"


def list_compared_models(result: Mapping[str, Any]) -> list[ComparedModel]:
    """The rows by rank, one protocol after the other. Comparisons of older versions have none."""
    return [ComparedModel(row) for row in result.get("models") or []]


def show_sorted_column(cells: Sequence[str], sorting: str) -> list[str]:
    """Put the column of the sorting behind the name: a narrow window drops the last ones."""
    place = _SORTED_COLUMNS.get(sorting)
    if place is None:
        return list(cells)
    others = [cell for at, cell in enumerate(cells) if at != place]
    return [*others[: _NAME + 1], cells[place], *others[_NAME + 1 :]]


def _format_number(value: float | None, digits: int = 3) -> str:
    return "" if value is None else f"{value:.{digits}f}".replace("-", _MINUS)


def _format_p_value(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
