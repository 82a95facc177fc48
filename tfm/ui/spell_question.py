"""A question in the words of its reader. Both askers ask it; the answers stay as they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from tfm.ui.prompts import Choice, Question
from tfm.ui.spell_references import spell


def spell_question(question: Question) -> Question:
    return replace(
        question,
        text=spell(question.text),
        why=spell(question.why),
        aside=spell(question.aside),
        choices=[_spell_choice(choice) for choice in question.choices],
        columns=[*map(spell, question.columns)],
        marks={key: (spell(label), values) for key, (label, values) in question.marks.items()},
        actions={key: spell(label) for key, label in question.actions.items()},
        refresh=_spell_fresh(question.refresh) if question.refresh else None,
    )


def _spell_choice(choice: Choice) -> Choice:
    return replace(
        choice,
        title=choice.title if choice.title == str(choice.value) else spell(choice.title),  # a name stays as it is
        about=spell(choice.about),
        disabled=spell(choice.disabled) if choice.disabled else None,
        section=spell(choice.section),
        cells=[*map(spell, choice.cells)],
        card=spell(choice.card),
    )


def _spell_fresh(refresh: Callable[[], Question]) -> Callable[[], Question]:
    return lambda: spell_question(refresh())
