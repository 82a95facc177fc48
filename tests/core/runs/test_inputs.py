"""Inputs without a choice are completed, and never guessed."""

import pytest

from tests.toy_jobs import finish, toy_run
from tfm.core.errors import SettingsError
from tfm.core.registry import find_command
from tfm.core.runs.inputs import complete_values
from tfm.core.runs.matching_products import list_newest


def test_the_only_dataset_is_chosen_and_of_two_none(workspace):
    preprocess = find_command("preprocess").settings
    with pytest.raises(SettingsError, match="there is no dataset"):
        complete_values(workspace, preprocess, {})
    for name in ("one", "two"):
        folder = workspace.dataset_folder(name)
        folder.mkdir(parents=True)
        (folder / "manifest.csv").write_text("x")
        if name == "one":
            assert complete_values(workspace, preprocess, {})["dataset"] == "one"
    with pytest.raises(SettingsError, match="several datasets: one, two"):
        complete_values(workspace, preprocess, {})


def write_product(workspace, file, *images):
    path = workspace.root / file
    path.parent.mkdir(parents=True)
    path.write_text("\n".join(["image_id,sop_uid", *(f"{image},1.2" for image in images)]))


def test_the_only_cache_of_a_dataset_is_chosen_and_never_that_of_another(workspace):
    train = find_command("train").settings
    for dataset, images in {"own": ("a", "b"), "clinic": ("c",)}.items():
        write_product(workspace, f"dataset/{dataset}/manifest.csv", *images)
    write_product(workspace, "cache/outside/index.csv", "c")
    with pytest.raises(SettingsError, match="there is no cache of own"):
        complete_values(workspace, train, {"dataset": "own"})
    write_product(workspace, "cache/ours/index.csv", "a")
    assert complete_values(workspace, train, {"dataset": "own"})["cache"] == "ours"
    assert complete_values(workspace, train, {"cache": "outside"})["dataset"] == "clinic"


def test_what_an_external_test_used_is_offered_last(workspace):
    for dataset in ("own", "clinic"):
        write_product(workspace, f"dataset/{dataset}/manifest.csv", dataset)
        write_product(workspace, f"cache/of-{dataset}/index.csv", dataset)
    assert [list_newest(workspace, kind)[0] for kind in ("dataset", "cache")] == ["clinic", "of-clinic"]
    write_product(workspace, "external/run/clinic-0123456789abcdef.csv")
    assert list_newest(workspace, "dataset") == ["own", "clinic"]
    assert list_newest(workspace, "cache") == ["of-own", "of-clinic"]


def test_part_of_a_run_id_is_completed(workspace):
    before = toy_run(workspace, target=5)
    finish(before)
    run = toy_run(workspace, target=6, start_from=before.id[-6:])
    assert run.read_settings()["start_from"] == before.id


def test_an_unfinished_run_is_no_input(workspace):
    unfinished = toy_run(workspace, target=5)
    with pytest.raises(SettingsError, match="waiting") as refused:
        toy_run(workspace, target=6, start_from=unfinished.id)
    assert refused.value.fields == ("start_from",)
