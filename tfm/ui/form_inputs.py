"""The inputs that a form takes when nobody names one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tfm.core.runs import inputs
from tfm.core.runs.matching_products import PARTNERS, list_newest, select_matching
from tfm.core.runs.workspace import Workspace
from tfm.core.settings.fields import SettingField


def find_default_inputs(
    workspace: Workspace, fields: Sequence[SettingField], given: Mapping[str, Any]
) -> dict[str, Any]:
    """Map settings to the newest dataset, its newest cache, all runs, or the only run that they can name.

    A given dataset decides the cache, and a given cache the dataset.
    """
    found: dict[str, Any] = {}
    for field in fields:
        if field.input is None or not (field.is_required or field.input.completes):
            continue
        kind = field.input.kind
        if kind in PARTNERS:
            partner = given.get(PARTNERS[kind]) or found.get(PARTNERS[kind])
            matching = select_matching(workspace, kind, partner)
            if newest := [name for name in list_newest(workspace, kind) if name in matching]:
                found[field.name] = newest[0]
        if kind == "run" and field.is_list:
            found[field.name] = inputs.list_all_runs(workspace, field)
        elif kind == "run" and len(runs := inputs.list_readable_runs(workspace, field)) == 1:
            found[field.name] = runs[0].id
    return found


def list_ambiguous_inputs(workspace: Workspace, found: Mapping[str, Any]) -> dict[str, Any]:
    """The default inputs that a command has to name. The only dataset, the only cache and all runs need no name."""
    single = {name for name in found if name in PARTNERS and len(workspace.list_products(name)) == 1}
    return {name: value for name, value in found.items() if name not in single and not isinstance(value, list)}
