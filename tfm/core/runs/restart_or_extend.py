"""A new run from an old one: restarted with the same settings, or extended to a higher total."""

from __future__ import annotations

from typing import Any

from tfm.core import registry
from tfm.core.errors import RunError, SettingsError
from tfm.core.runs import inputs
from tfm.core.runs.executors import Executor
from tfm.core.runs.find_or_create import find_or_create_run
from tfm.core.runs.resolve_command_settings import find_preset, load_settings
from tfm.core.runs.run import Run
from tfm.core.settings.fields import SettingField, find_field, get_value, list_fields
from tfm.core.settings.resolve import find_fields_without_effect, resolve


def restart_run(run: Run, executor: Executor | None = None) -> Run:
    """Create a new run with the same settings, which the executor can start; the old one stays as it is."""
    _check_is_independent(run)
    preset = find_preset(run.workspace, run.read_stage(), run.read_preset())
    stage = registry.find_stage(run.read_stage())
    return find_or_create_run(run.workspace, stage, load_settings(run), preset, fresh=True, executor=executor)


def find_extensible_field(run: Run) -> SettingField | None:
    """The setting whose higher total extends a run, if its stage has one that has an effect."""
    if run.read_status().part_of:
        return None
    stage = registry.find_stage(run.read_stage())
    useless = {field.name for field, _ in find_fields_without_effect(stage.settings, run.read_settings())}
    name = stage.extends_by
    return find_field(stage.settings, name) if name and name not in useless else None


def describe_extension(run: Run) -> str:
    """What an extension of a run of this stage does."""
    stage = registry.find_stage(run.read_stage())
    assert stage.extends_by is not None
    known = {field.name: field for field in list_fields(stage.settings)}
    return known.get("extends", known[stage.extends_by]).explanation


def extend_run(run: Run, total: Any, executor: Executor | None = None) -> Run:
    """Create a run that continues from the end of this one to a higher total, which the executor can start."""
    _check_is_independent(run)
    stage = registry.find_stage(run.read_stage())
    field = find_extensible_field(run)
    if field is None:
        raise RunError(
            f"{run.id} cannot be extended: it has no setting that can grow",
            hint=f"repeat it: {run.describe_restart()}",
        )
    before = get_value(load_settings(run), field)
    origin = {"extends": run.id} if "extends" in stage.settings.model_fields else {}
    settings = resolve(stage.settings, {}, run.read_settings() | {field.name: total} | origin)
    if get_value(settings, field) <= before:
        raise SettingsError(
            f"{run.id} was already started with {before} {field.name.replace('_', ' ')}",
            hint="give a higher total",
            fields=(field.name,),
        )
    inputs.check_inputs(run.workspace, settings)
    preset = find_preset(run.workspace, run.read_stage(), run.read_preset())
    return find_or_create_run(run.workspace, stage, settings, preset, executor=executor)


def _check_is_independent(run: Run) -> None:
    """Refuse a trial of a study: on its own it would hide that it was chosen among many."""
    owner = run.read_status().part_of
    if owner:
        raise RunError(
            f"{run.id} belongs to {owner} and cannot be continued on its own",
            hint=f"repeat all of {owner}: {run.describe_restart()}",
        )
