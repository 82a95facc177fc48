"""How a job is named, how far it is and how good, in the words of a list."""

from __future__ import annotations

from datetime import datetime

from tfm.core.runs.job_index import ListedJob
from tfm.core.runs.plan import Plan
from tfm.core.runs.run_progress import Count, Score

_WHOLE_COUNTS = ("epoch", "trials")  # counts that a person follows by number; others in percent
_SCORE_NAMES = {"val_auc": "AUC", "val_dice": "Dice", "val_gain": "gain"}


def name_job(one: ListedJob) -> str:
    return one.model or one.name


def describe_count(count: Count | None) -> str:
    """How far a job is, such as "epoch 7 of 40", "2 of 3 done" or "34 %"; empty if it has not counted yet."""
    if count is None or not count.total:
        return ""
    if count.name == "step":  # of a plan
        return f"{count.done} of {count.total} done"
    if count.name in _WHOLE_COUNTS:
        return f"{count.name.removesuffix('s')} {count.done} of {count.total}"
    return f"{100 * count.done // count.total} %"


def describe_state(listed: ListedJob) -> str:
    """The state, and how far a job is that is not done."""
    status = listed.status
    words = status.message if status.message and listed.state in ("waiting", "running") else listed.state  # Slurm's
    if listed.state in ("done", "damaged", "waiting", "pruned"):
        return words
    shows_count = listed.state != "failed" or isinstance(listed.job, Plan)
    count = describe_count(listed.progress) if shows_count else ""
    return f"{words}, {count}" if count else words


def format_score(score: Score | None) -> str:
    return f"{_SCORE_NAMES[score.name]} {score.value:.3f}" if score else ""


def format_start(created: str) -> str:
    """The time of today, or else the day."""
    if not created:
        return ""
    then, now = datetime.fromisoformat(created).astimezone(), datetime.now().astimezone()
    if then.date() == now.date():
        return f"{then:%H:%M}"
    return f"{then:%d %b}" if then.year == now.year else f"{then:%Y-%m-%d}"
