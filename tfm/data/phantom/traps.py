"""CBIS-DDSM's own traps, each a function from a clean plan to one with the trap in it; its docstring is what a person
reads about it. They stand in `traps_found`, `traps_filed` and `traps_told`; here they are named and planted."""

from __future__ import annotations

from collections.abc import Callable

from tfm.core.errors import SettingsError
from tfm.data.phantom import case_traps, csv_traps, file_traps
from tfm.data.phantom.spec import DownloadPlan

_IN_ORDER_OF_PLANTING: tuple[Callable[[DownloadPlan], DownloadPlan], ...] = (
    case_traps.both_splits,
    case_traps.issued_across_splits,
    case_traps.issued_twice,
    case_traps.several_lesions,
    case_traps.mixed_labels,
    file_traps.arbitrary_order,
    file_traps.mask_size,
    file_traps.missing_series,
    file_traps.truncated_file,
    file_traps.duplicate_file,
    file_traps.unreadable_file,
    file_traps.empty_mask,
    csv_traps.swapped_columns,
    file_traps.separate_series,
    csv_traps.odd_values,
    file_traps.no_laterality,
    csv_traps.linefeed_in_paths,
    csv_traps.density_header,
    csv_traps.wrong_file_names,
)
_PLANTS = {plant.__name__.replace("_", "-"): plant for plant in _IN_ORDER_OF_PLANTING}
TRAPS = {name: " ".join((plant.__doc__ or "").split()) for name, plant in _PLANTS.items()}


def parse_traps(text: str) -> frozenset[str]:
    """`all`, `none`, or names with commas between."""
    if text.strip() in ("all", "none"):
        return frozenset(TRAPS if text.strip() == "all" else ())
    names = frozenset(name.strip() for name in text.split(",") if name.strip())
    check(names)
    return names


def check(names: frozenset[str]) -> None:
    unknown = sorted(names - set(TRAPS))
    if unknown:
        raise SettingsError(
            f"unknown traps: {', '.join(unknown)}",
            hint=f"choose all, none, or some of {', '.join(TRAPS)}",
            fields=("traps",),
        )


def plant(plan: DownloadPlan, names: frozenset[str]) -> DownloadPlan:
    for name, plant_one in _PLANTS.items():
        if name in names:
            plan = plant_one(plan)
    return plan
