"""Whatever a person answers in a form, the shown command means the same."""

import io
import random
import shlex

import pytest
import typer
from rich.console import Console

from tests.estimated_models import GIVEN, write_data
from tests.ui.test_form import no_trial
from tfm.core import command_list, registry
from tfm.core.runs.expand_repeats import split_repeats, split_values_by_preset
from tfm.core.runs.find_or_create import find_or_create_job
from tfm.core.runs.resolve_command_settings import find_started_command, get_started_command, resolve_settings
from tfm.core.runs.workspace import Workspace
from tfm.ui.cli import build_command, collect_settings
from tfm.ui.equivalent_command_line import write_command
from tfm.ui.form import Form
from tfm.ui.prompts import Back

TEXTS = ["3", "0.25", "0.001", "1", "two words", "none", "a, b", "1, 2", "[1, 2]", "{a: 1}", "7"]
CHANGES, MOST_REVIEWS = 6, 40
FORMS = [
    name
    for name in [*command_list.list_commands(), "look", "learn"]
    if isinstance(registry.find_command(name), registry.Stage | registry.Planner)
    and name != "organize"  # `look` is like it
]


class Dice:
    """Opens rows of the review at random, and answers at random until the form can start."""

    is_plain = True

    def __init__(self, seed, folder):
        self.random = random.Random(seed)
        self.folder = folder
        self.reviews = 0

    def ask(self, question):
        offered = [choice.value for choice in question.choices if not choice.disabled]
        if question.name == "review":
            self.reviews += 1
            if self.reviews > CHANGES and "start" in offered:
                return "start"
            assert self.reviews < MOST_REVIEWS, "the form never offers to start"
            rows = [value for value in offered if value not in ("start", "command", "trial", "place")]
            return question.default if question.default in rows else self.random.choice(rows)
        if question.name == "sure":
            return True
        if question.several:
            return self.random.sample(offered, self.random.randint(0 if question.optional else 1, min(3, len(offered))))
        if question.choices:
            return self.random.choice(offered)
        texts = [str(self.folder)] if question.is_path else self.random.sample(TEXTS, len(TEXTS))
        for text in texts:
            if question.find_problem(text) is None:
                return question.parse(text)
        raise Back


@pytest.fixture(scope="module")
def filled_workspace(tmp_path_factory):
    workspace = write_data(Workspace(tmp_path_factory.mktemp("place") / "workspace"))
    trained = find_or_create_job(workspace, "train", GIVEN, ["MammoCNN"])
    trained.update(state="done", result={})
    others = {
        "train": GIVEN | {"seed": 5},
        "explain": {"run": trained.id},
        "leak-training": GIVEN | {"way": "by-image"},
    }
    for name, given in others.items():
        find_or_create_job(workspace, name, given, ["MammoCNN"] if name == "train" else []).update(
            state="done", result={}
        )
    return workspace


def resolve(workspace, name, presets, given):
    """The settings of each run, and how often each is repeated."""
    given, counts = split_repeats(registry.find_command(find_started_command(workspace, name, presets)), given)
    pairs = split_values_by_preset(workspace, name, given, presets)
    return counts, [
        resolve_settings(workspace, get_started_command(name, preset), own, preset) for preset, own in pairs
    ]


def read_options(words):
    """The presets and settings of a command line."""
    app = typer.Typer()
    app.command()(build_command(words[0], words))
    options = dict(typer.main.get_command(app).make_context(words[0], words[1:]).params)
    presets = options.pop("presets", None) or ()
    for other in ("workspace", "on", "detach", "quiet", "json"):
        options.pop(other)
    return (presets,) if isinstance(presets, str) else tuple(presets), collect_settings(options)


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(1, 6))])
@pytest.mark.parametrize("name", FORMS)
def test_random_answers_mean_the_same_as_the_shown_command(name, seed, filled_workspace, tmp_path):
    for film in ("mass-train-1", "calc-test-1", "mass-train-2"):
        (tmp_path / f"{film}.dcm").touch()
    form = Form(name, filled_workspace, Dice(seed, tmp_path), Console(file=io.StringIO(), width=100), no_trial)
    filled = form.fill()
    words = shlex.split(write_command(filled, filled_workspace))[2:]
    meant = resolve(filled_workspace, name, filled.presets, filled.given)
    assert resolve(filled_workspace, name, *read_options(words)) == meant, words
