"""Measure trained models on their validation and test images."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from tfm.analysis.evaluated_run import EvaluatedRun, evaluate_run
from tfm.analysis.evaluation import Evaluation
from tfm.analysis.evaluation_tables import list_values, tabulate_calls, tabulate_metrics, tabulate_subgroups
from tfm.analysis.export_table import ExportTable, export_table
from tfm.analysis.external_tables import tabulate_drops
from tfm.analysis.external_test import Drop, ExternalTest
from tfm.analysis.figures.confusion import draw_confusion
from tfm.analysis.figures.learning_curves import draw_learning_curves
from tfm.analysis.figures.precision_recall import draw_precision_recall
from tfm.analysis.figures.reliability import draw_reliability
from tfm.analysis.figures.roc import draw_roc
from tfm.analysis.figures.score_distributions import draw_score_distributions
from tfm.analysis.figures.style import save_figure
from tfm.analysis.figures.subgroups import draw_subgroups
from tfm.analysis.format_intervals import format_difference, format_interval
from tfm.analysis.nearly_equal_probabilities import warn_of_nearly_equal_probabilities
from tfm.analysis.trained_run import Protocol, name_models
from tfm.commands.evaluate import Evaluate
from tfm.core import files
from tfm.core.events import Event, Note, Picture, Progress, Result, Table
from tfm.core.registry import import_object
from tfm.core.runs.inputs import report_skipped_runs
from tfm.core.runs.lookup import find_run
from tfm.core.runs.run import Run
from tfm.pipelines.external_dataset import open_external_dataset


def evaluate(settings: Evaluate, run: Run) -> Iterator[Event]:
    yield from report_skipped_runs(run.workspace, settings, "runs")
    chosen = {one.id: one for one in (find_run(run.workspace, name) for name in settings.runs)}
    external = (yield from _test_externally(settings, list(chosen.values()), run)) if settings.dataset else None
    evaluated: list[EvaluatedRun] = []
    for trained in chosen.values():
        yield Progress(f"measuring model {len(evaluated) + 1} of {len(chosen)}", 0, 1)
        evaluated.append(evaluate_run(trained, external))
    names = name_models([one.model for one in evaluated])
    yield from warn_of_nearly_equal_probabilities([one.model for one in evaluated])
    outputs: list[Path] = []
    for name, one in zip(names, evaluated, strict=True):
        yield Progress(f"writing the tables and figures of {name}", 0, 1)
        for text in one.left_out:
            yield Note(f"{name}: left out: {text}", "warning")
        part = Path(one.run.id) if len(evaluated) > 1 else Path()
        for file, title, table in _list_tables(one, name):
            yield Table(title, list(table.columns), [list(row) for row in table.rows], table.caption)
            outputs += export_table(table, run.folder / "tables" / part, file)
        for file, title, figure, caption in _draw_figures(one, name):
            outputs += save_figure(figure, run.figures_folder / part, file, caption)
            yield Picture(str(outputs[-2]), title)
    for file, title, figure, caption in _overlay_curves(dict(zip(names, evaluated, strict=True))):
        outputs += save_figure(figure, run.figures_folder, file, caption)
        yield Picture(str(outputs[-2]), title)
    values = {"run": run.id, **_list_results(evaluated)}
    metrics_file = run.folder / "metrics.json"
    files.write_json(metrics_file, values)
    summary = _summarize(dict(zip(names, evaluated, strict=True)))
    yield Result(values, [str(path) for path in (metrics_file, *outputs)], summary)


def _list_results(evaluated: Sequence[EvaluatedRun]) -> dict[str, Any]:
    """List everything for a program."""
    rows = []
    for each in evaluated:
        if each.own:
            rows += [list_values(one) for by_unit in each.own.evaluations.values() for one in by_unit.values()]
        external = {"split": "external"} if each.own else {}
        rows += [list_values(one) | external for by_unit in each.evaluations.values() for one in by_unit.values()]
    return {
        "rows": rows,
        "subgroups": [{"trained": each.run.id, **one.list_values()} for each in evaluated for one in each.subgroups],
        "left_out": [{"trained": each.run.id, "what": text} for each in evaluated for text in each.left_out],
        "drops": [record for each in evaluated if each.own for record in tabulate_drops(each, "").records],
    }


def _test_externally(settings: Evaluate, trained: list[Run], run: Run) -> Generator[Event, None, ExternalTest]:
    assert settings.dataset
    dataset = open_external_dataset(run.workspace, settings.dataset, trained)
    # torch is imported for an external test alone: it takes longer than the rest of an evaluation.
    predict_dataset = import_object("tfm.pipelines.external_test:predict_dataset")
    external: ExternalTest = yield from predict_dataset(dataset, trained, settings.machine, run)
    return external


def _summarize(evaluated: dict[str, EvaluatedRun]) -> str:
    tests = {name: one.evaluations["test"]["image"] for name, one in evaluated.items()}
    best = max(tests, key=lambda name: tests[name].auc.value)
    own = evaluated[best].own
    where = tests[best].protocol.dataset if own else "the test images"
    sentence = f"{best} has an AUC of {format_interval(tests[best].auc)} on {where}"
    sentence += f", the highest of {len(tests)} models." if len(tests) > 1 else "."
    if own is None:
        return sentence
    drop = Drop(own.evaluations["test"]["image"].auc, tests[best].auc)
    return (
        f"{sentence}\nOn its own test images it has {format_interval(drop.own)}: a drop of "
        f"{format_difference(drop.interval)}. {drop.describe()}"
    )


def _overlay_curves(evaluated: dict[str, EvaluatedRun]) -> Iterator[tuple[str, str, Figure, str]]:
    """Draw the curves of all models of a protocol in one figure: file name, title, figure and caption."""
    by_protocol: dict[Protocol, dict[str, Evaluation]] = {}
    for name, one in evaluated.items():
        test = one.evaluations["test"]["image"]
        by_protocol.setdefault(test.protocol, {})[name] = test
    groups = [group for group in by_protocol.items() if len(group[1]) > 1]
    for number, (protocol, tests) in enumerate(groups, start=1):
        ending = f"-{number}" if len(groups) > 1 else ""
        count = f"{len(tests)} models"
        yield f"roc{ending}", f"ROC curves of {count}", draw_roc(tests), protocol.caption
        figure = draw_precision_recall(tests)
        yield f"precision-recall{ending}", f"Precision-recall curves of {count}", figure, protocol.caption


def _list_tables(evaluated: EvaluatedRun, name: str) -> Iterator[tuple[str, str, ExportTable]]:
    """List file name, title and table."""
    tested = f"{name}: {evaluated.model.protocol.split}"
    if evaluated.own:
        yield "drop", f"{name}: own test and external test", tabulate_drops(evaluated, name)
    yield "metrics-test", tested, tabulate_metrics(evaluated, "test", name)
    if "val" in evaluated.evaluations:
        yield "metrics-validation", f"{name}: validation", tabulate_metrics(evaluated, "val", name)
    yield "calls", f"{name}: calls at the threshold", tabulate_calls(evaluated, name)
    if any(one.has_metrics for one in evaluated.subgroups):
        yield "subgroups", f"{name}: subgroups of the test images", tabulate_subgroups(evaluated, name)


def _draw_figures(evaluated: EvaluatedRun, name: str) -> Iterator[tuple[str, str, Figure, str]]:
    """Draw each figure that the predictions allow: file name, title, figure and caption."""
    test = evaluated.evaluations["test"]["image"]
    caption = caption_of_both = test.protocol.caption
    if evaluated.own:
        own = evaluated.own.evaluations["test"]["image"]
        both = {"own test": own, test.protocol.split: test}
        caption_of_both += f". Own test: {own.protocol.describe_with_dataset(own.protocol.sample)}"
    else:
        both = {"validation": evaluated.evaluations["val"]["image"], "test": test}
    if test.has_both_classes:
        curves = {f"{name}, {which}": one for which, one in both.items()} if evaluated.own else {name: test}
        yield "roc", f"ROC curve of {name}", draw_roc(curves), caption_of_both
        yield "precision-recall", f"Precision-recall curve of {name}", draw_precision_recall({name: test}), caption
    yield "reliability", f"Reliability diagram of {name}", draw_reliability(test), caption
    yield "confusion", f"Confusion matrices of {name}", draw_confusion(both), caption_of_both
    yield "scores", f"Probabilities of {name}", draw_score_distributions(both), caption_of_both
    if any(one.has_auc for one in evaluated.subgroups):
        yield "subgroups", f"Subgroups of {name}", draw_subgroups(test, evaluated.subgroups), caption
    if not evaluated.epochs.empty:
        words = f"{name}. The kept weights have the highest validation AUC"
        data = evaluated.model.protocol.describe_with_dataset(words)
        yield "learning-curves", f"Learning curves of {name}", draw_learning_curves(evaluated.epochs), data
