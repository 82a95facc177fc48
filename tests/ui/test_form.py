"""A form asks what matters, checks with the settings' own types, and ends in the words a command line carries."""

import io
import shlex

import pytest
import yaml
from rich.console import Console

from tests.ui.scripted import BACK, LEAVE, Scripted
from tfm.core import command_list, registry
from tfm.core.errors import SettingsError
from tfm.core.runs.find_or_create import find_or_create_job
from tfm.core.runs.resolve_command_settings import find_preset, resolve_settings
from tfm.core.settings.fields import list_fields
from tfm.ui.chosen_presets import VARIES
from tfm.ui.equivalent_command_line import FilledForm, write_command
from tfm.ui.field_prompts import build_question
from tfm.ui.form import Form
from tfm.ui.plain_asker import PlainAsker
from tfm.ui.prompts import Back, ToMenu


def form(stage, workspace, **answers):
    asker = Scripted({"review": "start"} | answers)
    return Form(stage, workspace, asker, Console(file=io.StringIO(), width=100), no_trial), asker


def no_trial(filled):
    raise AssertionError(f"nobody asked to try {filled} out")


def with_products(workspace, *, caches=("c",)):
    folder = workspace.dataset_folder("d")
    folder.mkdir(parents=True)
    (folder / "manifest.csv").write_text("x")
    for name in caches:
        workspace.cache_folder(name).mkdir(parents=True)
        (workspace.cache_folder(name) / "index.csv").write_text("x")
    return workspace


def test_important_settings_are_asked_and_others_keep_their_defaults(workspace, tmp_path):
    asked, asker = form("phantom", workspace, out=str(tmp_path), difficulty="0.5")
    filled = asked.fill()
    assert asker.names[0] == "out"
    assert "seed" not in asker.names
    assert filled == FilledForm("phantom", (), {"out": str(tmp_path), "difficulty": 0.5})


def test_a_wrong_answer_is_reported_with_the_message_of_the_setting(workspace):
    asked, asker = form("organize", workspace, download=BACK)
    with pytest.raises(Back):
        asked.fill()
    question = asker.asked[0]
    assert "does not exist" in question.find_problem("/no/such/place")
    assert question.find_problem("/") is None


def test_back_returns_question_by_question_and_leaves_the_form(workspace, tmp_path):
    asked, asker = form("phantom", workspace, out=(str(tmp_path), str(tmp_path)), train_women=(BACK, "5"))
    assert asked.fill().given["train_women"] == 5
    assert asker.names[:4] == ["out", "train_women", "out", "train_women"]


def test_back_from_the_summary_asks_the_last_question_again(workspace, tmp_path):
    asked, _ = form("phantom", workspace, out=str(tmp_path), traps=("none", "all"), review=(BACK, "start"))
    assert asked.fill().given["traps"] == "all"


def test_leaving_a_form_keeps_the_answers(workspace, tmp_path):
    asked, _ = form("phantom", workspace, out=str(tmp_path), train_women=LEAVE)
    with pytest.raises(ToMenu):
        asked.fill()
    again, asker = form("phantom", workspace)
    assert again.fill().given["out"] == str(tmp_path)
    assert asker.asked[0].default == str(tmp_path)


def test_leaving_without_an_answer_writes_nothing(workspace):
    asked, _ = form("phantom", workspace, out=LEAVE)
    with pytest.raises(ToMenu):
        asked.fill()
    assert not workspace.root.exists()


def test_any_setting_can_be_changed_and_changed_back(workspace, tmp_path):
    asked, _ = form(
        "phantom", workspace, out=str(tmp_path), review=("change", "change", "start"),
        setting=("seed", "seed"), seed=("7", "0"),
    )  # fmt: skip
    assert "seed" not in asked.fill().given


def test_answers_belong_to_one_preset(workspace):
    with_products(workspace)
    first, _ = form("train", workspace, preset=["MammoCNN"], learning_rate="0.123")
    assert first.fill().given == {"learning_rate": 0.123}
    other, _ = form("train", workspace, preset=["ResNet18_CFT"])
    assert other.fill().given == {}
    again, _ = form("train", workspace, preset=["MammoCNN"])
    assert again.fill().given == {"learning_rate": 0.123}


def test_a_cache_is_asked_only_if_there_are_several(workspace):
    with_products(workspace)
    asked, asker = form("train", workspace, preset=["MammoCNN"])
    asked.fill()
    assert "cache" not in asker.names
    with_products_more = workspace.cache_folder("second")
    with_products_more.mkdir(parents=True)
    (with_products_more / "index.csv").write_text("x")
    asked, asker = form("train", workspace, preset=["MammoCNN"], cache="second")
    assert asked.fill().given["cache"] == "second"


def test_several_models_make_a_queue_with_one_command(workspace):
    with_products(workspace)
    asked, _ = form("train", workspace, preset=["MammoCNN", "ResNet18_CFT"], epochs="3")
    words = shlex.split(write_command(asked.fill(), workspace))
    assert words[:5] == ["python", "wizard.py", "train", "MammoCNN", "ResNet18_CFT"]
    assert words[5:7] == ["--epochs", "3"]


def test_rules_across_fields_ask_only_their_fields_again(workspace, tmp_path):
    asked, asker = form(
        "phantom", workspace, out=str(tmp_path / "out"), traps=("both-splits", "none"),
        review=("change", "mend", "start"), setting="kinds", kinds=["mass"],
    )  # fmt: skip
    assert asked.fill().given == {"out": str(tmp_path / "out"), "kinds": ["mass"]}
    assert asker.names.count("traps") == 2
    assert asker.names.count("difficulty") == 1


@pytest.mark.parametrize("name", command_list.list_commands())
def test_every_setting_of_every_stage_makes_a_question(name, workspace):
    for field in list_fields(registry.find_command(name).settings):
        question = build_question(field, field.default, workspace)
        assert question.text
        assert field.question in question.why


def test_the_shown_command_means_the_same_settings(workspace, tmp_path):
    from tfm.ui.cli import parse_assignment

    (tmp_path / "download").mkdir()
    filled = FilledForm("organize", (), {"download": [str(tmp_path / "download")], "lesions": "mass", "val_share": 0.2})
    words = shlex.split(write_command(filled, workspace))
    options = dict(zip(words[4::2], words[5::2], strict=True))
    options.pop("--workspace")
    given = {"download": [words[3]]} | {name[2:].replace("-", "_"): value for name, value in options.items()}
    preset = find_preset(workspace, "organize")
    assert resolve_settings(workspace, "organize", given, preset) == resolve_settings(
        workspace, "organize", filled.given, preset
    )
    assert parse_assignment("resize.height=128") == ("resize.height", "128")
    assert parse_assignment("orient=false") == ("orient", "false")


def test_a_setting_of_a_step_can_be_changed_and_is_part_of_the_command(workspace):
    with_products(workspace)
    asked, _ = form(
        "preprocess", workspace, review=("change", "start"), setting="resize.height", **{"resize.height": "128"}
    )
    filled = asked.fill()
    assert filled.given == {"resize.height": 128}
    assert write_command(filled, workspace).split()[3:5] == ["--set", "resize.height=128"]
    settings = resolve_settings(workspace, "preprocess", filled.given, find_preset(workspace, "preprocess"))
    assert settings.chain.parse_steps()["resize"].height == 128


def test_a_saved_answer_to_an_unknown_setting_is_ignored(workspace):
    with_products(workspace)
    workspace.answers_file.write_text("preprocess fast: {orient: 3, resize.height: 64}\n")
    asked, _ = form("preprocess", workspace)
    assert asked.fill().given == {"resize.height": 64}
    asked, _ = form("preprocess", workspace, review=("reset", "start"))
    assert asked.fill().given == {}


def test_a_step_without_settings_is_not_offered_for_change(workspace):
    with_products(workspace)
    asked, asker = form("preprocess", workspace, review=("change", "start"), setting=BACK)
    asked.fill()
    offered = next(question for question in asker.asked if question.name == "setting").choices
    assert "resize.height" in [choice.value for choice in offered]
    assert "orient" not in [choice.value for choice in offered]


def test_a_broken_user_preset_is_disabled_and_the_others_stay(workspace):
    with_products(workspace)
    own = workspace.root / "models"
    own.mkdir()
    (own / "bad.yaml").write_text("title: [x")
    (own / "MammoCNN.yaml").write_text("title: mine")
    asked, asker = form("train", workspace, preset=["ResNet18_CFT"])
    assert asked.fill().presets == ("ResNet18_CFT",)
    grey = {choice.value for choice in asker.asked[0].choices if choice.disabled}
    assert grey == {"bad", "MammoCNN"}


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"modle": {"architecture": "resnet18"}}, "there is no setting called modle"),
        ({"optim": {"epochz": 3}}, "there is no setting called epochz"),
        ({"optim": 3}, "optim is a group of settings"),
        ({"model": {"architecture": "resnet81"}}, "resnet81"),
    ],
)
def test_a_preset_with_wrong_settings_is_disabled_and_names_its_file(workspace, settings, says):
    with_products(workspace, caches=("c", "e"))
    own = workspace.root / "models"
    own.mkdir()
    preset = {"title": "Mine", "about": "mine", "stage": "train", "settings": settings}
    (own / "mine.yaml").write_text(yaml.safe_dump(preset))
    asked, asker = form("train", workspace, preset=LEAVE)
    with pytest.raises(ToMenu):
        asked.fill()
    why = next(choice.disabled for choice in asker.asked[0].choices if choice.value == "mine")
    assert says in why
    assert str(own / "mine.yaml") in why
    with pytest.raises(SettingsError, match=r"mine\.yaml"):
        find_or_create_job(workspace, "train", {}, ["MammoCNN", "mine"])


def test_a_preset_that_disappears_during_a_form_raises_an_error(workspace):
    """Nothing could be asked that mends it, and so nothing is tried again."""
    with_products(workspace, caches=("c", "e"))
    asked, _ = form("train", workspace)
    asked.state.presets = ("no such one",)
    with pytest.raises(SettingsError, match="no such one"):
        asked.ask_all()


def test_several_models_keep_their_own_values_unless_answered(workspace):
    with_products(workspace)
    asked, asker = form("train", workspace, preset=["MammoCNN", "ResNet18_CFT"])
    assert asked.fill().given == {}
    weights = next(question for question in asker.asked if question.name == "weights")
    assert weights.default == VARIES
    asked, _ = form("train", workspace, preset=["MammoCNN", "ResNet18_CFT"], weights="none")
    assert asked.fill().given == {"weights": "none"}


def test_folds_and_seeds_are_asked_last_and_make_a_queue(workspace):
    asked, asker = form("learn", workspace, folds="2", seeds="3")
    filled = asked.fill()
    assert asker.names == ["sections", "epochs", "folds", "seeds", "review"]
    assert filled.given == {"folds": 2, "seeds": 3}
    assert "--folds 2 --seeds 3" in write_command(filled, workspace)
    screen = asked.console.file.getvalue()
    assert "A queue of 6 runs" in screen
    assert "fold2-seed9" in screen
    again, _ = form("learn", workspace)
    assert again.fill().given == {"folds": 2, "seeds": 3}, "as last time"


def test_a_damaged_saved_repeat_is_ignored(workspace):
    workspace.create_folder()
    workspace.answers_file.write_text("learn: {seeds: a few, sections: 2}")
    asked, _ = form("learn", workspace)
    assert asked.fill().given == {"sections": 2}


def test_a_repeat_that_can_only_be_one_is_not_asked(workspace):
    asked, asker = form("learn", workspace, sections="1")
    assert asked.fill().given == {"sections": 1}
    assert "folds" not in asker.names


def test_more_folds_than_exist_cannot_be_started(workspace):
    asked, asker = form("learn", workspace, folds=("9", "3"), review=("mend", "start"))
    assert asked.fill().given == {"folds": 3}
    before_mending = asker.asked[asker.names.index("review")]
    assert "start" not in [choice.value for choice in before_mending.choices]


def test_an_optional_run_offers_none(workspace):
    extends = next(field for field in list_fields(registry.find_command("learn").settings) if field.name == "extends")
    question = build_question(extends, None, workspace)
    assert [(choice.value, choice.title) for choice in question.choices] == [(None, "none")]


def test_an_explanation_is_printed_without_markup(monkeypatch):
    field = next(field for field in list_fields(registry.find_command("train").settings) if field.name == "weights")
    lines = iter(["?", "none"])
    monkeypatch.setattr("builtins.input", lambda _: next(lines))
    console = Console(file=io.StringIO(), width=200)
    assert PlainAsker(console).ask(build_question(field, "none", None)) == "none"
    assert "run:ID: the best checkpoint" in console.file.getvalue()
