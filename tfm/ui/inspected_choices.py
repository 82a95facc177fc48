"""The choices that the inspection of an input leaves, and why it excludes the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from tfm.core.errors import SettingsError
from tfm.core.registry import InspectionResult
from tfm.core.settings.base import Settings
from tfm.core.settings.fields import get_value, list_fields
from tfm.ui.chosen_presets import VARIES
from tfm.ui.field_prompts import format_name, format_value
from tfm.ui.prompts import Question
from tfm.ui.spell_references import spell


def check_offered(inspection: InspectionResult, resolved: Sequence[Settings]) -> None:
    """Refuse an answer or default that the inspection excludes."""
    for settings in resolved:
        for field in list_fields(type(settings)):
            value = get_value(settings, field)
            wrong = [
                one
                for one in (value or [] if field.is_list else [value])
                if not _is_offered(inspection, field.name, one)
            ]
            if wrong:
                raise SettingsError(
                    f"{format_name(field.name)}: {format_value(wrong)} cannot be chosen here",
                    hint=_explain(inspection, field.name),
                    fields=(field.name,),
                )


def choose_offered(inspection: InspectionResult, name: str, value: Any, several: bool) -> Any:
    """The value, or one that is offered instead."""
    if name not in inspection.choices or value == VARIES:
        return value
    offered = [one for one in (value or [] if several else [value]) if _is_offered(inspection, name, one)]
    offered = offered or inspection.choices[name]
    return offered if several else offered[0]


def disable_excluded(inspection: InspectionResult, question: Question) -> Question:
    """Disable the choices that are excluded, with the reason."""
    name = question.name
    if name not in inspection.choices:
        return question
    why = spell(_explain(inspection, name))
    choices = [
        choice if _is_offered(inspection, name, choice.value) else replace(choice, disabled=why)
        for choice in question.choices
    ]
    default = choose_offered(inspection, name, question.default, question.several)
    return replace(question, choices=choices, default=default)


def _is_offered(inspection: InspectionResult, name: str, value: Any) -> bool:
    return value == VARIES or value in inspection.choices.get(name, [value])


def _explain(inspection: InspectionResult, name: str) -> str:
    return inspection.reasons.get(name, "not available with these inputs")
