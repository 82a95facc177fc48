"""A space beside the model that is searched: what of it a trial is given, and whether each value can be tried.

Whether a value is one of its setting stands in settings, what is drawn from the space is the study's affair.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tfm.core.errors import RunError, SettingsError
from tfm.core.registry import find_stage
from tfm.core.runs import inputs
from tfm.core.runs.workspace import Workspace
from tfm.core.settings.presets import Preset
from tfm.core.settings.resolve import find_names_without_effect, resolve


def given_to_trial(model: Preset, values: Mapping[str, Any]) -> dict[str, Any]:
    """All but what has no effect beside the rest, as dropout where no layer is trained: as if nobody had said it."""
    given = dict(values)
    while idle := find_names_without_effect(find_stage("train").settings, model.settings, given) & given.keys():
        given = {name: value for name, value in given.items() if name not in idle}
    return given


def only_values(space: Mapping[str, Any]) -> dict[str, Any]:
    """What holds for all trials."""
    return {name: options[0] for name, options in space.items() if isinstance(options, list) and len(options) == 1}


def check_values(workspace: Workspace, model: Preset, shared: Mapping[str, Any], space: Mapping[str, Any]) -> None:
    """Each value, and each end of a range, does something and can be, with the model as it is or beside at least one
    other value of the space."""
    values = [(name, value) for name, options in space.items() for value in _ends(options)]
    given = {**shared, **only_values(space)}
    for name, value in values:
        refusal = _refusal(workspace, model, given, name, value)
        others = ({**given, other: beside} for other, beside in values if other != name)
        if refusal and all(_refusal(workspace, model, beside, name, value) for beside in others):
            raise SettingsError(
                f"the space to search holds {value} for {name}, and with {model.name} {refusal.message}",
                hint=refusal.hint,
                fields=("space",),
            )


def _ends(options: Any) -> list[Any]:
    return options if isinstance(options, list) else [options["low"], options["high"]]


def _refusal(
    workspace: Workspace, model: Preset, given: Mapping[str, Any], name: str, value: Any
) -> SettingsError | RunError | None:
    try:
        rest = given_to_trial(model, {**given, name: value})
        settings = resolve(find_stage("train").settings, model.settings, {**rest, name: value})
        inputs.check_inputs(workspace, settings)
    except (SettingsError, RunError) as error:
        return error
    return None
