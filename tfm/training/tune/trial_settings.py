"""The settings of a trial: what all trials share, and what of a trial's values has an effect.

Whether a value suits its own setting is checked in `settings`; drawing values is left to `study`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tfm.core.errors import RunError, SettingsError
from tfm.core.registry import Stage
from tfm.core.runs import inputs
from tfm.core.runs.workspace import Workspace
from tfm.core.settings.base import Settings
from tfm.core.settings.presets import Preset
from tfm.core.settings.resolve import find_names_without_effect, resolve


@dataclass(frozen=True)
class TrialTemplate:
    """The stage that each trial runs, the model it trains, and the settings that all trials share."""

    stage: Stage
    model: Preset
    shared: Mapping[str, Any]

    def fill(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Merge a trial's values into the shared ones, and drop what has no effect beside the rest.

        For example, dropout has no effect where no layer is trained. What remains can be given to the stage.
        """
        given = {**self.shared, **values}
        while idle := find_names_without_effect(self.stage.settings, self.model.settings, given) & given.keys():
            given = {name: value for name, value in given.items() if name not in idle}
        return given

    def resolve(self, given: Mapping[str, Any]) -> Settings:
        return resolve(self.stage.settings, self.model.settings, given)

    def check_space(self, workspace: Workspace, space: Mapping[str, Any]) -> None:
        """Refuse a value, or an end of a range, that has no effect or is refused beside all other values."""
        ends = {
            name: given if isinstance(given, list) else [given["low"], given["high"]] for name, given in space.items()
        }
        values = [(name, value) for name, options in ends.items() for value in options]
        given = list_fixed_values(space)
        for name, value in values:
            error = self._try_value(workspace, given, name, value)
            others = ({**given, other: beside} for other, beside in values if other != name)
            if error and all(self._try_value(workspace, beside, name, value) for beside in others):
                raise SettingsError(
                    f"the space to search holds {value} for {name}, and with {self.model.name} {error.message}",
                    hint=error.hint,
                    fields=("space",),
                )

    def _try_value(
        self, workspace: Workspace, given: Mapping[str, Any], name: str, value: Any
    ) -> SettingsError | RunError | None:
        try:
            # A value without effect is given all the same, so that it is refused.
            settings = self.resolve(self.fill({**given, name: value}) | {name: value})
            inputs.check_inputs(workspace, settings)
        except (SettingsError, RunError) as error:
            return error
        return None


def list_fixed_values(space: Mapping[str, Any]) -> dict[str, Any]:
    """List the settings with a single value, which holds for all trials."""
    return {name: options[0] for name, options in space.items() if isinstance(options, list) and len(options) == 1}
