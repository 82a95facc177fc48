"""An experiment is a plan: each combination of levels with each seed, and a contrast at the end."""

import pytest
import yaml

from tests.training.small_dataset import QUICK_SETTINGS, finish_run, make_small_dataset
from tfm.core.errors import SettingsError
from tfm.core.events import Table
from tfm.core.registry import find_command
from tfm.core.runs import lookup, worker
from tfm.core.runs.find_or_create import find_or_create_job
from tfm.core.runs.plan import check_steps
from tfm.core.runs.workspace import Workspace
from tfm.core.settings import presets

SHIPPED = sorted((presets.CONFIGS / "experiments").glob("*.yaml"))
OF_SWIN = [file for file in SHIPPED if file.stem.startswith("swin_mim")]
TINY = {name: QUICK_SETTINGS[name] for name in ("threads", "device", "batch_size")} | {"mim_epochs": 1, "cls_epochs": 1}
DATA = {"dataset": "pocket", "cache": "pocket"}


def steps(file, workspace, **given):
    planner = find_command("experiment")
    return planner.build_steps(planner.settings(file=file, **DATA, **given), workspace)


@pytest.mark.parametrize(
    "file",
    [pytest.param(file, id=file.stem, marks=() if file.stem.endswith("cpu") else pytest.mark.long) for file in OF_SWIN],
)
def test_combinations_of_the_swin_experiments_differ_only_in_their_factors(file, workspace):
    make_small_dataset(workspace)
    planned = steps(file, workspace, seeds=2, settings=TINY)
    check_steps(planned)
    *_, last = planned
    ways = last.settings["ways"]
    assert len(ways) == len(last.settings["runs"]) == len(last.settings["explained"]) == 2 * len(set(ways))
    labels, encoders = (list(levels) for levels in yaml.safe_load(file.read_text())["factors"].values())
    beside = {"MIM": ["from scratch"], "MIM + spectral": ["from scratch", "MIM"]}
    assert last.settings["against"] == {
        f"{share}, {own}": [f"{share}, {other}" for other in beside[own]] for share in labels for own in encoders[1:]
    }
    trained = [step for step in planned if step.stage == "train"]
    assert {step.settings["seed"] for step in trained} == {7, 8}
    assert all(step.settings["epochs"] == 1 for step in trained)
    for step in trained:
        alone = "from-scratch" in step.name
        assert step.settings["weights"] == ("none" if alone else f"@{step.name.replace('-train', '-pretrain')}.encoder")
        for term in ("beta", "attention_gamma"):
            assert step.settings[term] == (0.001 if "spectral" in step.name else 0)


def worked(folder, change, **given):
    """Run a changed copy of an experiment that ships."""
    workspace = Workspace(folder / "workspace")
    make_small_dataset(workspace)
    (file,) = [file for file in SHIPPED if file.stem == "swin_mim_cpu"]
    content = yaml.safe_load(file.read_text())
    content["factors"]["labels"] = {"50 %": {"label_percent": 50}}
    change(content)
    own = folder / "own.yaml"
    own.write_text(yaml.safe_dump(content, sort_keys=False))
    plan = find_or_create_job(workspace, "experiment", DATA | {"file": str(own), "settings": TINY} | given)
    assert worker.execute_plan(plan) == "done", plan.read_status().message
    return plan


def without_mim(content):
    content["settings"]["visualize"] = False
    content["factors"]["encoder"] = {way: {"skip_pretrain": True, "pooling": way} for way in ("average", "breast")}


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    return worked(tmp_path_factory.mktemp("experiment"), without_mim, seeds=1)


def outcomes(plan):
    run = lookup.find_run(plan.workspace, plan.read_status().runs["contrast"])
    tables = [event for event in run.read_events() if isinstance(event, Table)]
    return run.read_status().result, *tables


def test_it_ends_with_a_table_of_means_and_paired_differences(plan):
    result, table, apart = outcomes(plan)
    first, second = result["rows"]
    assert [first["way"], second["way"]] == ["50 %, average", "50 %, breast"]
    assert (first["runs"], first["auc_each"]) == (1, [first["auc"]])
    (difference,) = result["differences"]
    assert (difference["way"], difference["against"]) == ("50 %, breast", "50 %, average")
    assert difference["auc_difference"] == pytest.approx(second["auc"] - first["auc"])
    assert difference["auc_difference_low"] <= difference["auc_difference"] <= difference["auc_difference_high"]
    assert "20 images (10 malignant) of 10 patients" in table.caption
    assert table.columns == ["way", "runs", "AUC", "lowest to highest run"]
    assert apart.columns == ["way", "compared with", "difference in AUC"]
    assert [row[:2] for row in apart.rows] == [["50 %, breast", "50 %, average"]]


def contrast_by_patient(plan):
    run = lookup.find_run(plan.workspace, plan.read_status().runs["contrast"])
    given = {name: run.read_settings()[name] for name in ("runs", "ways", "against", "explained")}
    return finish_run(find_or_create_job(plan.workspace, "contrast", given | {"unit": "patient"})).read_status().result


def test_ways_are_contrasted_by_patient_where_that_is_asked_for(plan):
    result = contrast_by_patient(plan)
    assert "test, per patient: 10 patients" in result["protocol"]
    assert [row["way"] for row in result["rows"]] == [row["way"] for row in outcomes(plan)[0]["rows"]]


@pytest.mark.long
def test_explanations_are_contrasted_and_pretraining_runs_once_per_seed(tmp_path):
    def half_and_all_without_spectral_terms(content):
        content["factors"]["labels"]["all"] = {}
        del content["factors"]["encoder"]["MIM + spectral"]

    plan = worked(tmp_path, half_and_all_without_spectral_terms, seeds=2)
    result, table, _ = outcomes(plan)
    rows = result["rows"]
    assert "attention" in table.caption
    assert [(row["way"], len(row["outside_each"])) for row in rows] == [
        (f"{labels}, {encoder}", 2) for labels in ("50 %", "all") for encoder in ("from scratch", "MIM")
    ]
    for difference, (scratch, pretrained) in zip(result["differences"], (rows[:2], rows[2:]), strict=True):
        assert difference["outside_difference"] == pytest.approx(pretrained["outside"] - scratch["outside"])
    by_patient = contrast_by_patient(plan)["rows"]
    assert [row["outside_each"] for row in by_patient] == [row["outside_each"] for row in rows], "image by image"
    made = {
        stage: {plan.read_status().runs[step.name] for step in plan.read_steps() if step.stage == stage}
        for stage in STAGES
    }
    assert {stage: len(runs) for stage, runs in made.items()} == STAGES


STAGES = {"pretrain": 2, "train": 8, "explain": 8}


def test_ways_that_do_not_match_the_runs_are_refused(plan):
    runs = [plan.read_status().runs[step.name] for step in plan.read_steps() if step.stage == "train"][:2]
    before = lookup.list_runs(plan.workspace)
    with pytest.raises(SettingsError, match="unknown way better"):
        find_or_create_job(plan.workspace, "contrast", {"runs": runs, "against": {"better": ["worse"]}})
    with pytest.raises(SettingsError, match="1 names for 2 runs"):
        find_or_create_job(plan.workspace, "contrast", {"runs": runs, "ways": ["one"]})
    assert len(lookup.list_runs(plan.workspace)) == len(before), "no run is made for it"


RECIPES = """
title: x
about: y
stage: train
preset: ResNet18_OPW
split: val
settings: {weights: none, augment: false}
factors: {way: {frozen: {}, trained: {trained: all, epochs: 1}}}
"""


def test_ways_of_training_one_model_are_compared_on_validation(tmp_path, workspace):
    make_small_dataset(workspace)
    file = tmp_path / "recipes.yaml"
    file.write_text(RECIPES)
    own = {"device": "cpu", "threads": 1, "batch_size": 16}
    given = DATA | {"file": str(file), "seeds": 1, "settings": own}
    plan = find_or_create_job(workspace, "experiment", given)
    assert worker.execute_plan(plan) == "done", plan.read_status().message
    result, table, _ = outcomes(plan)
    assert {row["way"]: row["runs"] for row in result["rows"]} == {"frozen": 1, "trained": 1}
    assert "validation, per image: 16 images" in table.caption


@pytest.mark.parametrize("file", [file for file in SHIPPED if file not in OF_SWIN], ids=lambda file: file.stem)
def test_shipped_experiments_can_be_planned(file, workspace):
    make_small_dataset(workspace)
    planned = steps(file, workspace, seeds=1)
    check_steps(planned)
    split = yaml.safe_load(file.read_text()).get("split", "test")
    assert planned[-1].settings.get("split", "test") == split


def test_a_way_that_draws_nothing_runs_once(tmp_path, workspace):
    make_small_dataset(workspace)
    file = tmp_path / "recipes.yaml"
    file.write_text(RECIPES.replace("weights: none", "weights: imagenet"))
    *trained, _ = steps(file, workspace, seeds=3)
    assert [step.settings.get("trained") for step in trained] == [None, "all", "all", "all"]


def swin_mim(factors, settings="{}"):
    return f"{{title: x, about: y, stage: swin-mim, settings: {settings}, factors: {{{factors}}}}}"


def test_an_invalid_experiment_file_is_refused_with_the_place_of_the_error(tmp_path, workspace):
    make_small_dataset(workspace)
    file = tmp_path / "x.yaml"
    for content, words in (
        ("a: [", "cannot be read as YAML"),
        ("", "x.yaml is empty"),
        ("- a", "x.yaml contains no settings"),
        ("title: x", "x.yaml: .*\n.*\nfactors is missing"),
        ("{title: x, about: y, stage: train, factors: {a: {b: {}, c: {beta: 0}}}}", "train needs the name of a preset"),
        (swin_mim("a: {b: {}, c: {no_such: 1}}"), "x.yaml, factor a, level c: there is no setting called no_such"),
        (swin_mim("a: {b: {}, c: {beta: -1}}"), "x.yaml, factor a, level c: beta"),
        (swin_mim("a: {b: {}, c: {skip_pretrain: true, share: 0.3}}"), "x.yaml, c: share has no effect"),
        (
            swin_mim("a: {b: {}, c: {beta: 0}}", "{no_such: 1}"),
            "settings of .*x.yaml: there is no setting called no_such",
        ),
        (swin_mim(""), "factors"),
        (swin_mim("a: {}"), "factors"),
        (swin_mim("a: {b: {beta: 0}}"), "a has one level, b: nothing to compare"),
        (swin_mim("a: {b: {}, c: {}}"), "b and c are the same"),
        (swin_mim("a: {b: {}, c: {beta: 0.001}}"), "b and c are the same"),
        (swin_mim("a: {b: {}, c: {skip_train: true}}"), "c trains 0"),
        (swin_mim("a: {b: {}, c: {visualize: false}}"), "3 of 6 trainings"),
        (swin_mim("a: {b: {}, c: {beta: 0}}", "{beta: 0.1}"), "factor a: beta is set here and by settings of .*x.yaml"),
        (swin_mim("a: {b: {}, c: {block: 16}}", "{masks: {block: 8}}"), "block is set here and by settings of"),
        (swin_mim("a: {b: {}, c: {beta: 0}}, d: {e: {}, f: {beta: 1}}"), "factor d: beta is set here and by factor a"),
        (swin_mim("a: {b: {}, c: {cache: pocket}}"), "cache is set here and by the experiment itself"),
    ):
        file.write_text(content)
        with pytest.raises(SettingsError, match=words) as refusal:
            steps(file, workspace)
        assert refusal.value.hint


def test_a_setting_of_a_factor_cannot_be_given_on_the_command_line_as_well(tmp_path, workspace):
    make_small_dataset(workspace)
    file = tmp_path / "x.yaml"
    file.write_text(swin_mim("a: {b: {beta: 0}, c: {}}"))
    with pytest.raises(SettingsError, match="factor a: beta is set here and by `setting: settings`"):
        steps(file, workspace, settings={"beta": 0.1})
