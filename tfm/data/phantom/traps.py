"""CBIS-DDSM's own traps, each a function from a clean plan to one with the trap in it; its docstring is what a person
reads about it. They stand in `traps_found`, `traps_filed` and `traps_told`; here they are named and planted."""

from __future__ import annotations

from collections.abc import Callable

from tfm.core.errors import SettingsError
from tfm.data.phantom import traps_filed, traps_found, traps_told
from tfm.data.phantom.spec import DownloadPlan

_IN_ORDER_OF_PLANTING: tuple[Callable[[DownloadPlan], DownloadPlan], ...] = (
    traps_found.both_splits,
    traps_found.issued_across_splits,
    traps_found.issued_twice,
    traps_found.several_lesions,
    traps_found.mixed_labels,
    traps_filed.arbitrary_order,
    traps_filed.mask_size,
    traps_filed.missing_series,
    traps_filed.truncated_file,
    traps_filed.duplicate_file,
    traps_filed.unreadable_file,
    traps_filed.empty_mask,
    traps_told.swapped_columns,
    traps_filed.separate_series,
    traps_told.odd_values,
    traps_filed.no_laterality,
    traps_told.linefeed_in_paths,
    traps_told.density_header,
    traps_told.wrong_file_names,
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
