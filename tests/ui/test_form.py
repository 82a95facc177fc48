"""A form asks what has no good default, shows the rest on its review, and ends in the words of a command line."""

import io
import shlex
import shutil

import pytest
import yaml
from rich.console import Console

from tests.core.runs.test_inputs import write_product
from tests.data.small_collections import write_own
from tests.ui.scripted import BACK, LEAVE, Scripted, read_head, read_rows
from tfm.core import command_list, registry
from tfm.core.errors import SettingsError
from tfm.core.runs.find_or_create import find_or_create_job
from tfm.core.runs.resolve_command_settings import find_preset, resolve_settings
from tfm.core.settings.fields import find_field, list_fields
from tfm.ui.equivalent_command_line import FilledForm, write_command
from tfm.ui.field_prompts import build_question
from tfm.ui.form import Form
from tfm.ui.form_state import FormState
from tfm.ui.plain_asker import PlainAsker
from tfm.ui.prompts import Back, Pressed, ToMenu


def form(stage, workspace, **answers):
    asker = Scripted({"review": "start"} | answers)
    return Form(stage, workspace, asker, Console(file=io.StringIO(), width=100), no_trial), asker


def no_trial(filled):
    raise AssertionError(f"nobody asked to try {filled} out")


def with_products(workspace, *, caches=("c",)):
    folder = workspace.dataset_folder("d")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "manifest.csv").write_text("x")
    for name in caches:
        workspace.cache_folder(name).mkdir(parents=True)
        (workspace.cache_folder(name) / "index.csv").write_text("x")
    return workspace


def with_two_datasets(workspace):
    for dataset in ("own", "clinic"):
        write_product(workspace, f"dataset/{dataset}/manifest.csv", dataset)
        write_product(workspace, f"cache/of-{dataset}/index.csv", dataset)


def test_only_what_has_no_good_default_is_asked_and_the_review_shows_what_matters(workspace, tmp_path):
    asked, asker = form("phantom", workspace, out=str(tmp_path))
    assert asked.fill() == FilledForm("phantom", (), {"out": str(tmp_path)})
    assert asker.names == ["out", "review"]
    rows = read_rows(asker.asked[-1])
    assert rows["out"] == str(tmp_path)
    assert {"train_women", "difficulty", "change", "start", "command"} <= rows.keys()
    assert "seed" not in rows
    assert asker.asked[-1].default == "start"


def test_each_row_of_the_review_can_be_changed(workspace, tmp_path):
    asked, asker = form("phantom", workspace, out=str(tmp_path), difficulty="0.5")
    assert asked.fill().given == {"out": str(tmp_path), "difficulty": 0.5}
    assert read_rows(asker.asked[-1])["difficulty"] == "0.5"


def test_a_wrong_answer_is_reported_with_the_message_of_the_setting(workspace):
    asked, asker = form("organize", workspace, download=BACK)
    with pytest.raises(Back):
        asked.fill()
    assert "does not exist" in asker.asked[0].find_problem("/no/such/place")
    assert asker.asked[0].find_problem("/") is None


def test_an_answer_that_the_inspection_reads_reaches_it(workspace, tmp_path):
    write_own(tmp_path / "own", 6)
    (tmp_path / "own" / "labels.csv").unlink()
    for label, patients in (("benign", (2, 4, 6)), ("malignant", (1, 3, 5))):
        (tmp_path / "own" / label).mkdir()
        for number in patients:
            shutil.move(tmp_path / "own" / "images" / f"p{number}_cc.png", tmp_path / "own" / label)
    shutil.rmtree(tmp_path / "own" / "images")
    asked, _ = form("organize", workspace, download=str(tmp_path / "own"), patient_from="{patient}_{view}")
    given = asked.fill().given
    assert given["patient_from"] == "{patient}_{view}"
    assert given["split"] == "random", "the inspection has read the images"


def test_esc_at_a_row_returns_to_the_review_and_changes_nothing(workspace, tmp_path):
    asked, asker = form(
        "phantom", workspace, out=str(tmp_path), train_women=BACK, review=("change", "start"), setting=BACK
    )
    assert asked.fill().given == {"out": str(tmp_path)}
    assert asker.names == ["out", "review", "train_women", "review", "setting", "review"]
    assert read_rows(asker.find("review")[0]) == read_rows(asker.asked[-1])


def test_esc_on_the_review_asks_the_last_question_again(workspace):
    asked, asker = form("phantom", workspace, out=("/a", "/b"), review=(BACK, "start"))
    assert asked.fill().given["out"] == "/b"
    assert asker.find("out")[1].default == "/a"


def test_ctrl_c_keeps_the_answers(workspace, tmp_path):
    asked, _ = form("phantom", workspace, out=str(tmp_path), train_women="5", review=LEAVE)
    with pytest.raises(ToMenu):
        asked.fill()
    again, asker = form("phantom", workspace)
    assert again.fill().given == {"out": str(tmp_path), "train_women": 5}
    assert asker.asked[0].default == str(tmp_path)


def test_leaving_without_an_answer_writes_nothing(workspace):
    asked, _ = form("phantom", workspace, out=LEAVE)
    with pytest.raises(ToMenu):
        asked.fill()
    assert not workspace.root.exists()


def test_any_setting_can_be_changed_and_changed_back_and_the_review_shows_it_meanwhile(workspace):
    asked, asker = form(
        "phantom", workspace, out="/out", review=("change", "change", "start"), setting=("seed", "seed"),
        seed=("7", "0"),
    )  # fmt: skip
    assert "seed" not in asked.fill().given
    assert [read_rows(review).get("seed") for review in asker.find("review")] == [None, "7", None]


def test_reset_restores_the_defaults_and_keeps_what_is_required(workspace):
    asked, asker = form("phantom", workspace, out="/out", train_women="5", review=(Pressed("r", "start"), "start"))
    assert asked.fill().given == {"out": "/out"}
    assert ["r" in review.actions for review in asker.find("review")] == [True, True, True]


def test_what_is_suggested_is_not_asked_and_survives_a_reset(workspace):
    asked, asker = form("train", with_products(workspace), epochs="3", review=(Pressed("r", "start"), "start"))
    filled = asked.fill(FilledForm("train", ("MammoCNN",), {"seeds": 2}))
    assert filled == FilledForm("train", ("MammoCNN",), {"seeds": 2})
    assert asker.names == ["review", "epochs", "review", "review"]


def test_answers_belong_to_one_preset(workspace):
    with_products(workspace)
    first, _ = form("train", workspace, preset=["MammoCNN"], learning_rate="0.123")
    assert first.fill().given == {"learning_rate": 0.123}
    other, _ = form("train", workspace, preset=["ResNet18_CFT"])
    assert other.fill().given == {}
    again, _ = form("train", workspace, preset=["MammoCNN"])
    assert again.fill().given == {"learning_rate": 0.123}


def test_what_was_answered_stays_when_another_model_is_added(workspace):
    with_products(workspace)
    form("train", workspace, preset=["MammoCNN"], patience="9", review=("change", "start"), setting="patience")[
        0
    ].fill()
    both = ["MammoCNN", "ResNet18_CFT"]
    asked, asker = form("train", workspace, preset=(["MammoCNN"], both), epochs="3", review=("preset", "start"))
    assert asked.fill() == FilledForm("train", tuple(both), {"epochs": 3}), "and last time's patience does not"
    assert asker.find("preset")[1].default == ["MammoCNN"]


def test_the_newest_cache_is_the_default_and_another_one_can_be_chosen(workspace):
    asked, asker = form("train", with_products(workspace), preset=["MammoCNN"])
    assert "cache" not in asked.fill().given, "the only one needs no name"
    with_products(workspace, caches=["second"])
    asked, asker = form("train", workspace, preset=["MammoCNN"])
    assert asked.fill().given == {"cache": "second"}
    assert "cache" not in asker.names
    asked, _ = form("train", workspace, preset=["MammoCNN"], cache="c")
    assert asked.fill().given == {"cache": "c"}


def test_the_chosen_dataset_decides_the_cache_and_the_chosen_cache_the_dataset(workspace):
    with_two_datasets(workspace)
    for answer in ({"dataset": "own"}, {"cache": "of-own"}):
        asked, _ = form("train", workspace, preset=["MammoCNN"], **answer)
        assert asked.fill().given == {"dataset": "own", "cache": "of-own"}


def test_another_dataset_takes_the_place_of_a_suggested_cache(workspace):
    with_two_datasets(workspace)
    state = FormState("train", workspace, ("MammoCNN",), {"cache": "of-own"})
    assert state.given == {"dataset": "own", "cache": "of-own"}
    state.answer(find_field(state.definition.settings, "dataset"), "clinic")
    assert state.given == {"dataset": "clinic", "cache": "of-clinic"}


def test_several_models_make_a_queue_with_one_command_and_keep_their_own_values(workspace):
    asked, asker = form("train", with_products(workspace), preset=["MammoCNN", "ResNet18_CFT"], epochs="3")
    filled = asked.fill()
    assert filled.given == {"epochs": 3}
    words = shlex.split(write_command(filled, workspace))
    assert words[2:7] == ["train", "MammoCNN", "ResNet18_CFT", "--epochs", "3"]
    review = asker.find("review")[-1]
    assert review.text == "Train 2 models on c, 2 runs"
    assert read_rows(review)["weights"] == "as each model suggests (none, imagenet)"
    asked, _ = form("train", workspace, preset=["MammoCNN", "ResNet18_CFT"], weights="none")
    assert asked.fill().given == {"epochs": 3, "weights": "none"}


def test_settings_that_contradict_each_other_are_marked_and_start_is_not_offered(workspace):
    asked, asker = form(
        "phantom", workspace, out="/out", traps=("both-splits", "none"), review=("change", "traps", "start"),
        setting="kinds", kinds=["mass"],
    )  # fmt: skip
    assert asked.fill().given == {"out": "/out", "kinds": ["mass"]}
    review = asker.find("review")[-2]
    marked = {value for value, about in read_rows(review).items() if "change this" in about}
    assert marked >= {"traps", "kinds"}
    assert review.default in marked
    assert "start" not in read_rows(review)
    assert "both-splits" in read_head(review)


@pytest.mark.parametrize("name", command_list.list_commands())
def test_every_setting_of_every_stage_makes_a_question(name, workspace):
    for field in list_fields(registry.find_command(name).settings):
        question = build_question(field, field.default, workspace)
        assert question.text
        assert field.question in question.why


def test_a_choice_shows_what_it_means(workspace):
    split = next(field for field in list_fields(registry.find_command("organize").settings) if field.name == "split")
    about = read_rows(build_question(split, "official", workspace))
    assert about["official"] == split.choice_explanations["official"] != ""


def test_a_setting_of_a_step_can_be_changed_and_is_part_of_the_command(workspace):
    with_products(workspace)
    asked, asker = form(
        "preprocess", workspace, review=("change", "start"), setting="resize.height", **{"resize.height": "128"}
    )
    filled = asked.fill()
    assert filled.given == {"resize.height": 128}
    assert read_rows(asker.asked[-1])["resize.height"] == "128"
    assert "orient" not in read_rows(asker.find("setting")[0]), "a step without settings"
    assert write_command(filled, workspace).split()[3:5] == ["--set", "resize.height=128"]
    settings = resolve_settings(workspace, "preprocess", filled.given, find_preset(workspace, "preprocess"))
    assert settings.chain.parse_steps()["resize"].height == 128


@pytest.mark.parametrize(
    ("command", "saved", "given"),
    [
        ("preprocess fast", "{orient: 3, resize.height: 64}", {"resize.height": 64}),
        ("learn", "{seeds: a few, sections: 2}", {"sections": 2}),
    ],
)
def test_a_saved_answer_that_no_longer_fits_is_ignored(workspace, command, saved, given):
    with_products(workspace).answers_file.write_text(f"{command}: {saved}\n")
    assert form(command.split()[0], workspace)[0].fill().given == given


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("title: [x", "mine.yaml"),
        ("title: mine", "mine.yaml"),
        ({"modle": {"architecture": "resnet18"}}, "there is no setting called modle"),
        ({"optim": {"epochz": 3}}, "there is no setting called epochz"),
        ({"optim": 3}, "optim is a group of settings"),
        ({"model": {"architecture": "resnet81"}}, "resnet81"),
    ],
)
def test_a_users_preset_with_a_mistake_is_disabled_and_names_its_file(workspace, text, says):
    own = with_products(workspace).root / "models"
    own.mkdir()
    preset = {"title": "Mine", "about": "mine", "stage": "train", "settings": text}
    (own / "mine.yaml").write_text(text if isinstance(text, str) else yaml.safe_dump(preset))
    asked, asker = form("train", workspace, preset=["MammoCNN"])
    assert asked.fill().presets == ("MammoCNN",)
    (why,) = [choice.disabled for choice in asker.asked[0].choices if choice.disabled]
    assert says in why
    assert str(own / "mine.yaml") in why
    with pytest.raises(SettingsError, match=r"mine\.yaml"):
        find_or_create_job(workspace, "train", {}, ["MammoCNN", "mine"])


def test_folds_and_seeds_make_a_queue(workspace):
    asked, asker = form("learn", workspace, folds="2", seeds="3")
    filled = asked.fill()
    assert filled.given == {"folds": 2, "seeds": 3}
    assert "--folds 2 --seeds 3" in write_command(filled, workspace)
    assert asker.asked[-1].text == "Learn, 6 runs"
    assert form("learn", workspace)[0].fill().given == {"folds": 2, "seeds": 3}, "as last time"


def test_a_repeat_that_can_only_be_one_is_not_shown(workspace):
    asked, asker = form("learn", workspace, sections="1")
    assert asked.fill().given == {"sections": 1}
    assert ["folds" in read_rows(review) for review in asker.find("review")] == [True, False]


def test_more_folds_than_exist_cannot_be_started(workspace):
    asked, asker = form("learn", workspace, folds=("9", "3"), review=("folds", "start"))
    assert asked.fill().given == {"folds": 3}
    assert ["start" in read_rows(review) for review in asker.find("review")] == [True, False, True]


def test_an_optional_run_offers_none(workspace):
    extends = next(field for field in list_fields(registry.find_command("learn").settings) if field.name == "extends")
    question = build_question(extends, None, workspace)
    assert [(choice.value, choice.title) for choice in question.choices] == [(None, "none")]


def test_an_explanation_is_printed_without_markup(workspace, monkeypatch):
    field = next(field for field in list_fields(registry.find_command("train").settings) if field.name == "weights")
    lines = iter(["?", ""])
    monkeypatch.setattr("builtins.input", lambda _: next(lines))
    console = Console(file=io.StringIO(), width=200)
    assert PlainAsker(console).ask(build_question(field, "none", workspace)) == "none"
    assert "run:ID: the best checkpoint" in console.file.getvalue()


def test_a_list_of_runs_says_which_run_is_missing(workspace):
    studies = next(field for field in list_fields(registry.find_command("report").settings) if field.name == "studies")
    assert [choice.disabled for choice in build_question(studies, (), workspace).choices] == [
        "there is no run of tune yet"
    ]


def test_a_saved_run_that_is_gone_marks_its_row(workspace):
    workspace.create_folder()
    workspace.answers_file.write_text("learn: {extends: gone}")
    asked, asker = form("learn", workspace, extends=None)
    assert asked.fill().given == {}
    refused = asker.asked[0]
    assert (refused.default, "start" in read_rows(refused)) == ("extends", False)
    assert "gone" in read_head(refused)
