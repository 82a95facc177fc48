"""A finished comparison as a table to work with: sort it, open a model, leave one out, report it."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from rich.console import Console, Group
from rich.text import Text

from tfm.core.events import Picture
from tfm.core.runs.run import Run
from tfm.ui import render
from tfm.ui.comparison_rows import COLUMNS, SORTINGS, ComparedModel, list_compared_models, show_sorted_column
from tfm.ui.list_rows import shorten
from tfm.ui.next_steps import NextStep, write_report
from tfm.ui.prompts import Asker, Back, Choice, Pressed, Question, ToMenu, wait_for_enter
from tfm.ui.result_page import ResultPage, build_page
from tfm.ui.screens import job_end
from tfm.ui.screens.draw_result import draw_protocol, draw_warnings
from tfm.ui.screens.show_pages import show_pages
from tfm.ui.spell_references import spell

_ROOM_OF_OTHERS = 34  # columns of rank and AUC; a long name displaces the others, which the card has
_SHORTEST_NAME, _LONGEST_NAME = 12, 80
_ACTIONS = {"r": "ROC", "w": "report", "t": "thesis", "s": "sort", "x": "leave out", "p": "protocol"}
_WHY = """\
*: the best model, and all that this test cannot tell from it. Differences are to the best model.
Enter opens the model under the cursor: evaluate it, explain it, or see its training.
r says where the figures are, w writes a report as one page, t adds figures, tables and text for LaTeX.
s sorts by the next column, x compares again without the model under the cursor, p shows warnings and protocol."""


def show_comparison(run: Run, asker: Asker, console: Console) -> NextStep | None:
    """Returns the step that the person wants to go on with; None for home."""
    models, page = list_compared_models(run.read_status().result), build_page(run)
    sorting, place = SORTINGS[0], None
    room = _LONGEST_NAME if asker.is_plain else max(_SHORTEST_NAME, console.width - _ROOM_OF_OTHERS)
    with contextlib.suppress(Back, ToMenu):
        while True:
            answer = asker.ask(_build_question(page, models, sorting, place, room))
            key, place = (answer.key, answer.value) if isinstance(answer, Pressed) else ("", answer)
            if key == "s":
                sorting, place = SORTINGS[(SORTINGS.index(sorting) + 1) % len(SORTINGS)], None
            elif key in ("r", "p"):
                show_pages(
                    partial(_print_pictures, page) if key == "r" else partial(job_end.print_end, run), asker, console
                )
            elif key == "x" and len(_leave_out(run, models[place])) < 2:
                console.print(Text(spell("Two models are needed for a comparison: none can be left out."), "yellow"))
                wait_for_enter(asker)
            else:
                with contextlib.suppress(Back):
                    return replace(_choose_step(key, run, models[place], asker), origin=run)
    return None


def _build_question(
    page: ResultPage, models: Sequence[ComparedModel], sorting: str, place: int | None, room: int
) -> Question:
    protocols = list(dict.fromkeys(model.protocol for model in models))
    groups = [protocols.index(model.protocol) for model in models]
    order = sorted(range(len(models)), key=lambda at: (groups[at], models[at].sort_key(sorting)))
    choices = []
    for at in order:
        model = models[at]
        rank, name, *cells = model.format_cells()
        section = f"{groups[at] + 1}. {model.dataset}" if len(protocols) > 1 else ""
        row = show_sorted_column([rank, shorten(name, room), *cells], sorting)
        mean = None if model.runs else "the mean of the models, with no runs of its own"
        choices.append(Choice(at, model.name, disabled=mean, section=section, cells=row, card=model.card))
    count = sum(bool(model.runs) for model in models)
    return Question(
        "comparison",
        "1 model" if count == 1 else f"{count} models",
        _WHY,
        choices,
        default=next(at for at in order if models[at].runs) if place is None else place,
        aside="" if sorting == SORTINGS[0] else f"sorted by {sorting}",
        head=_draw_head(page, protocols),
        columns=show_sorted_column(COLUMNS, sorting),
        actions=_ACTIONS,
    )


def _draw_head(page: ResultPage, protocols: Sequence[str]) -> Group:
    """The outcome, what to bear in mind, and what it was measured on."""
    dim = [draw_protocol(protocol) for protocol in protocols[:1]]
    return Group(Text(spell(page.summary), "bold"), *draw_warnings(page.notes), *dim, Text())


def _print_pictures(page: ResultPage, console: Console) -> None:
    pictures = [event for event in page.figures if isinstance(event, Picture)]
    render.print_events(console, list(pictures))


def _leave_out(run: Run, model: ComparedModel) -> list[str]:
    return [one for one in run.read_settings()["runs"] if one not in model.runs]


def _keep_dataset(run: Run) -> dict[str, str]:
    """The other dataset of an external test."""
    dataset = run.read_settings().get("dataset")
    return {"dataset": dataset} if dataset else {}


def _choose_step(key: str, run: Run, model: ComparedModel, asker: Asker) -> NextStep:
    runs = list(run.read_settings()["runs"])
    match key:
        case "w":
            return write_report(runs)
        case "t":
            return NextStep("Thesis pack", "", "report", given={"runs": runs, "thesis": True})
        case "x":
            given = {"runs": _leave_out(run, model), **_keep_dataset(run)}
            return NextStep("Compare", f"without {model.name}", "compare", given=given)
    given = {"runs": model.runs, **_keep_dataset(run)}
    steps = [NextStep("Evaluate", "every metric, subgroups and calibration", "evaluate", given=given)]
    if len(model.runs) == 1:
        steps.append(NextStep("Explain", "where it looks", "explain", given={"run": model.runs[0]}))
    choices = [Choice(step, step.title, step.about) for step in steps]
    chosen: NextStep = asker.ask(Question("model", model.name, choices=choices, default=steps[0]))
    return chosen
