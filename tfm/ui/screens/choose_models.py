"""The question for models: a table of what each would cost here, the card of one, and which to begin with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

from tfm.core import machine
from tfm.core.errors import SettingsError
from tfm.core.runs import lookup
from tfm.core.runs.comparable_runs import list_trained_models, list_training_commands
from tfm.core.runs.estimates import Estimate, read_estimates, start_probe
from tfm.core.runs.inputs import find_readable_runs
from tfm.core.runs.job_index import JobIndex
from tfm.core.runs.pending_models import list_pending_models
from tfm.core.runs.product_facts import read_dataset_facts
from tfm.core.runs.resolve_command_settings import find_preset
from tfm.core.runs.suggested_models import suggest_models
from tfm.core.runs.workspace import Workspace
from tfm.core.settings.preset_groups import CLASSIC, group_models
from tfm.core.settings.presets import Preset
from tfm.ui import render
from tfm.ui.prompts import Choice, Question
from tfm.ui.spell_references import spell

COLUMNS = ("model", "weights", "time", "", "memory", "params")
_UNKNOWN = "…"  # it is being measured
_WHY = """\
Each model is one run; several make a queue, one after the other.
Time and memory are measured on this machine: by earlier runs, else by a few steps and scaled (≈). With early stopping
a training takes less time. OPW: only pretrained weights, no layer is trained. PFT: the last layers are trained.
CFT: all layers are trained."""


class ModelChooser:
    """`given` are the settings that are known already: the dataset, the cache and other first weights."""

    def __init__(self, workspace: Workspace, given: Mapping[str, Any]) -> None:
        self.workspace = workspace
        self.given = {name: given[name] for name in ("dataset", "cache", "weights") if given.get(name)}

    def ask_several(self, chosen: Sequence[str]) -> Question:
        """Ask for the models of a queue. Without an earlier choice, those that suit the data are marked, but none that
        is trained, runs or waits already."""
        names = [name for group in group_models(self.workspace.list_presets("models")).values() for name in group]
        begun = self._trained | self._pending.keys()
        suggested = [] if begun else list(self._suggest(self._read_estimates(names)))
        marked = [name for name in chosen if name in names and name not in begun]

        def build() -> Question:
            estimates = self._read_estimates(names)
            reasons = self._suggest(estimates)
            classic = group_models(names).get(CLASSIC, [])
            choices = self._list_choices(names, estimates, reasons)
            offered = [choice.value for choice in choices if not choice.disabled]
            return Question(
                "preset",
                "Which models?",
                _WHY,
                choices,
                several=True,
                default=[name for name in marked if name in offered] or suggested,
                aside=self._describe_data(),
                columns=COLUMNS,
                marks={"s": ("suggested", list(reasons)), "t": ("classic ten", classic)},
                refresh=self._measure(names, build),
                head="",
            )

        return build()

    def ask_one(self, question: Question, commands: Sequence[str]) -> Question:
        """Turn a question for a model into the table. A model without trained layers has nothing to search."""
        known = {name: preset for name, preset in self._presets.items() if isinstance(preset, Preset)}
        names = [name for name, preset in known.items() if preset.stage in commands and not _is_frozen(preset)]

        def build() -> Question:
            choices = self._list_choices(names, self._read_estimates(names), {})
            aside = self._describe_data()
            return replace(
                question, choices=choices, check=None, aside=aside, columns=COLUMNS, refresh=self._measure(names, build)
            )

        return build()

    @cached_property
    def _trained(self) -> set[str]:
        found = find_readable_runs(lookup.read_runs(self.workspace))
        return list_trained_models((run for run, stage in found if stage in list_training_commands()), self.given)

    @cached_property
    def _pending(self) -> dict[str, str]:
        return list_pending_models(JobIndex(self.workspace), self.given)

    @cached_property
    def _presets(self) -> dict[str, Preset | str]:
        """Each model, or why it cannot be read."""
        found: dict[str, Preset | str] = {}
        for name in self.workspace.list_presets("models"):
            try:
                preset = find_preset(self.workspace, "train", name)
                assert preset is not None
                found[name] = preset
            except SettingsError as error:
                found[name] = error.message
        return found

    def _read_estimates(self, names: Sequence[str]) -> dict[str, Estimate]:
        return read_estimates(self.workspace, "train", self._list_readable(names), self.given)

    def _list_readable(self, names: Sequence[str]) -> list[str]:
        return [name for name in names if isinstance(self._presets[name], Preset)]

    def _measure(self, names: Sequence[str], build: Callable[[], Question]) -> Callable[[], Question]:
        """Measure in the background what is not known, but only while a person looks at the question."""

        def refresh() -> Question:
            start_probe(self.workspace, "train", self._list_readable(names), self.given)
            return build()

        return refresh

    def _suggest(self, estimates: Mapping[str, Estimate]) -> dict[str, str]:
        """Leave out models of whose weights it is not known yet whether they can be reached."""
        known = {name: one for name, one in estimates.items() if one.weights != "ImageNet"}
        return suggest_models(self.workspace, "train", known, self.given)

    def _list_choices(
        self, names: Sequence[str], estimates: Mapping[str, Estimate], suggested: Mapping[str, str]
    ) -> list[Choice]:
        choices = []
        for section, group in group_models(names).items():
            for name in group:
                preset = self._presets[name]
                if isinstance(preset, str):
                    cells = (name, *[""] * (len(COLUMNS) - 1))
                    choices.append(Choice(name, name, disabled=spell(preset), section=section, cells=cells))
                    continue
                estimate = estimates[name]
                parameters, weights, time, memory = _format_estimate(estimate)
                cells = (name, weights, time, spell(self._describe_state(name, suggested)), memory, parameters)
                card, reason = _build_card(preset, estimate, suggested.get(name, "")), _find_missing_weights(estimate)
                choices.append(Choice(name, name, disabled=reason, section=section, cells=cells, card=card))
        return choices

    def _describe_state(self, name: str, suggested: Mapping[str, str]) -> str:
        state = self._pending.get(name) or ("done" if name in self._trained else "")
        return state or ("suggested" if name in suggested else "")

    def _describe_data(self) -> str:
        names = [self.given["dataset"]] if "dataset" in self.given else self.workspace.list_products("dataset")
        facts = read_dataset_facts(self.workspace.dataset_folder(names[0])) if len(names) == 1 else None
        images = f"{facts.training_images} training images · " if facts else ""
        return images + machine.describe_device()


def _is_frozen(preset: Preset) -> bool:
    return bool(preset.settings.get("model", {}).get("trained") == "none")


def _build_card(preset: Preset, estimate: Estimate, reason: str) -> str:
    parts = [preset.title, preset.about, *([f"Suggested: {reason}"] if reason else [])]
    if estimate.problem:
        parts.append(_find_missing_weights(estimate) or estimate.problem)
    return spell("\n".join(parts))


def _find_missing_weights(estimate: Estimate) -> str | None:
    """Why a model cannot start from its weights, and what to do."""
    if not estimate.problem or "not reachable" not in estimate.weights:
        return None
    return f"Its weights are not on this machine: {estimate.problem}, or set weights to none on the next screen."


def _format_estimate(estimate: Estimate) -> tuple[str, str, str, str]:
    if estimate.problem and estimate.parameters is None:
        return "", _shorten_weights(estimate.weights), "", ""
    parameters = f"{estimate.parameters / 1e6:.1f} M" if estimate.parameters else _UNKNOWN
    mark = "" if estimate.is_measured else "≈ "
    time = mark + render.format_time_left(estimate.seconds) if estimate.seconds else _UNKNOWN
    memory = f"{estimate.memory_gib:.1f} GB" if estimate.memory_gib else _UNKNOWN
    return parameters, _shorten_weights(estimate.weights), time, memory


def _shorten_weights(weights: str) -> str:
    """Short enough for a column of a window of 60 columns."""
    known, _, place = weights.partition(", ")
    if place == "here":
        return spell(weights).rpartition(", ")[2]
    return spell("absent" if place == "not reachable" else place or known)
