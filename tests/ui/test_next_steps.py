"""The step that follows a job that is done."""

from tfm.core.runs.find_or_create import find_or_create_job
from tfm.core.runs.workspace import PRODUCT_FILES
from tfm.ui.next_steps import list_next_steps


def make_product(workspace, kind, name):
    folder = workspace.product_folder(kind, name)
    folder.mkdir(parents=True)
    for file in PRODUCT_FILES[kind]:
        (folder / file).write_text("x")


def make_products(workspace):
    make_product(workspace, "dataset", "d")
    make_product(workspace, "cache", "c")


def finish(workspace, command, given, result, *presets):
    run = find_or_create_job(workspace, command, given, presets)
    run.update(state="done", result={"run": run.id, **result})
    return run


def follow(job):
    return [(step.stage, step.given) for step in list_next_steps(job)]


def test_each_stage_leads_to_the_next_with_what_it_made(workspace, tmp_path):
    make_products(workspace)
    download = tmp_path / "practice images"
    phantom = finish(workspace, "phantom", {"out": str(download)}, {"download": str(download)})
    assert follow(phantom) == [("organize", {"download": [str(download)], "name": "practice-images"})]
    preprocess = finish(workspace, "preprocess", {"dataset": "d"}, {"cache": "c"})
    assert follow(preprocess) == [("train", {"dataset": "d", "cache": "c"})]


def test_models_are_compared_once_there_are_two_of_one_dataset(workspace):
    make_products(workspace)
    first = finish(workspace, "train", {}, {}, "MammoCNN")
    assert follow(first)[0][0] == "train", "one model cannot be compared"
    second = finish(workspace, "train", {}, {}, "ResNet18_CFT")
    assert follow(second)[0] == ("compare", {"runs": [first.id, second.id]})
    compare = finish(workspace, "compare", {"runs": [first.id, second.id]}, {})
    assert follow(compare)[0] == ("report", {"runs": [first.id, second.id]})


def test_the_models_of_another_dataset_are_not_compared(workspace):
    make_products(workspace)
    first = finish(workspace, "train", {}, {}, "MammoCNN")
    make_product(workspace, "dataset", "other")
    second = finish(workspace, "train", {"dataset": "other"}, {}, "MammoCNN")
    assert follow(second)[0][0] == "train"
    assert follow(first)[0][0] == "train"


def test_a_queue_leads_to_the_comparison_of_its_models(workspace):
    make_products(workspace)
    finish(workspace, "train", {"seed": 3}, {}, "MammoCNN")
    queue = find_or_create_job(workspace, "train", {}, ("MammoCNN", "ResNet18_CFT"))
    runs = [finish(workspace, "train", {}, {}, name) for name in ("MammoCNN", "ResNet18_CFT")]
    for step, run in zip(queue.read_steps(), runs, strict=True):
        queue.record_step(step.name, run.id)
    queue.update(state="done")
    assert follow(queue)[0] == ("compare", {"runs": [run.id for run in runs]})


def test_a_job_without_a_next_step_has_none(workspace):
    assert list_next_steps(finish(workspace, "count", {}, {})) == []
