"""What a start would cost follows from what is known of this machine, and nothing is claimed that is not known."""

import pytest

from tests.estimated_models import BACKWARD, COST, FORWARD, GIVEN, SIZE, SPEED, learn, learn_weights, write_data
from tfm.core.runs.estimate_cache import EstimateCache, find_cache_folder
from tfm.core.runs.estimate_keys import make_pace_key, make_plan_key
from tfm.core.runs.estimates import add_estimates, list_unknown, read_estimates
from tfm.core.runs.work_costs import Cost, Pace, Speed, compute_pace
from tfm.core.runs.works import count_images, list_starts, read_image_size


@pytest.fixture
def workspace(workspace, empty_user_cache):
    return write_data(workspace)


def estimate(workspace, *presets, **given):
    return read_estimates(workspace, "train", presets, GIVEN | given)


def test_images_are_counted_by_split_and_fold(workspace):
    (work,) = list_starts(workspace, "train", ["MammoCNN"], GIVEN).values()
    assert count_images(workspace, work) == (100, 20, 30)
    (work,) = list_starts(workspace, "train", ["MammoCNN"], GIVEN | {"fold": 2}).values()
    assert count_images(workspace, work) == (70, 50, 30)
    assert read_image_size(workspace, work) == SIZE


def test_nothing_is_claimed_before_it_was_measured(workspace):
    (found,) = estimate(workspace, "MammoCNN").values()
    assert (found.seconds, found.memory_gib, found.parameters, found.problem) == (None, None, None, None)
    (work,) = list_starts(workspace, "train", ["MammoCNN"], GIVEN).values()
    assert [kind for kind, _ in list_unknown(workspace, work, EstimateCache.load())] == ["cost", "speed"]
    assert not find_cache_folder().exists(), "reading writes nothing"


def test_time_is_that_of_all_epochs_and_of_the_predictions(workspace):
    learn(workspace, "MammoCNN")
    epoch = 100 * (FORWARD + BACKWARD) + 20 * FORWARD
    found = estimate(workspace, "MammoCNN", epochs=7)["MammoCNN"]
    assert found.seconds == pytest.approx(5 + 7 * epoch + 50 * FORWARD)
    assert not found.is_measured
    assert found.memory_gib == pytest.approx(1 + (1e8 + 16 * 5e7) / 2**30)
    assert found.disk_mb == pytest.approx(40 + 2 * 120), "the best weights, and two checkpoints with the optimizer"
    assert estimate(workspace, "MammoCNN", epochs="many")["MammoCNN"].seconds is None, "the start says what is wrong"
    twice = estimate(workspace, "MammoCNN", epochs=7, seeds=2)["MammoCNN"]
    assert (twice.seconds, twice.runs) == (pytest.approx(2 * found.seconds), 2)


def test_a_frozen_network_sees_each_image_once_or_twice_and_has_no_epochs(workspace):
    learn(workspace, "EfficientNetLite0_OPW")
    found = estimate(workspace, "EfficientNetLite0_OPW")["EfficientNetLite0_OPW"]
    assert found.seconds == pytest.approx(5 + 100 * FORWARD + 2 * 20 * FORWARD + 30 * FORWARD, rel=0.01)
    assert found.weights == "ImageNet, here", "they come with a package"


def test_the_pace_of_an_earlier_run_replaces_the_probe(workspace):
    work = learn(workspace, "MammoCNN")
    with EstimateCache.change() as cache:
        cache.paces[make_pace_key(work, SIZE)] = {"trained": 3.0, "evaluated": 1.0}
    found = estimate(workspace, "MammoCNN", epochs=1)["MammoCNN"]
    assert (found.seconds, found.is_measured) == (pytest.approx(5 + 300 + 20 + 50), True)
    assert not estimate(workspace, "MammoCNN", batch_size=4)["MammoCNN"].is_measured, "another batch has another pace"
    assert not estimate(workspace, "MammoCNN", devices=2)["MammoCNN"].is_measured, "so have two processes"


def test_several_gpus_share_an_epoch_and_several_processes_on_a_cpu_share_its_cores(workspace):
    cost, speed = Cost.parse(COST), Speed.parse(SPEED)
    one, eight = (
        list_starts(workspace, "train", ["MammoCNN"], GIVEN | {"devices": count})["MammoCNN"] for count in (1, 8)
    )
    alone, on_cpu, on_gpus = (
        compute_pace(work, cost, speed, SIZE, on_gpu=on_gpu)
        for work, on_gpu in ((one, True), (eight, False), (eight, True))
    )
    assert on_cpu == alone
    assert on_gpus == Pace(alone.trained / 8, alone.evaluated)


def test_a_plan_costs_the_sum_of_its_steps(workspace):
    learn(workspace, "ResNet50_Head")
    plan = list_starts(workspace, "train", ["ResNet50_RF"], GIVEN)["ResNet50_RF"]
    assert estimate(workspace, "ResNet50_RF")["ResNet50_RF"].seconds is None
    steps = [
        {"name": "head", "stage": "train", "settings": GIVEN, "preset": "ResNet50_Head"},
        {"name": "forest", "stage": "forest", "settings": {"backbone": "@head.run"}},
        {"name": "average", "stage": "average", "settings": {"runs": ["@head.run", "@forest.run"]}},
    ]
    with EstimateCache.change() as cache:
        cache.plans[make_plan_key(workspace, plan)] = steps
    both = estimate(workspace, "ResNet50_RF", "ResNet50_Head")
    features = 150 * FORWARD
    assert both["ResNet50_RF"].seconds == pytest.approx(both["ResNet50_Head"].seconds + 2 * 5 + features, rel=0.01)


def test_weights_at_the_hub_are_named_with_their_size_and_unreachable_ones_with_what_to_do(workspace):
    learn_weights("resnet18", 45.0)
    learn_weights("densenet121", None)
    found = estimate(workspace, "ResNet18_CFT", "DenseNet121_CFT")
    assert (found["ResNet18_CFT"].weights, found["ResNet18_CFT"].download_mb) == ("ImageNet, 45 MB", 45)
    assert (found["DenseNet121_CFT"].weights, found["DenseNet121_CFT"].problem) == (
        "ImageNet, not reachable",
        "connect once",
    )
    both = estimate(workspace, "ResNet18_CFT", "ResNet18_PFT", "DenseNet121_CFT")
    queue = add_estimates(list(both.values()))
    assert (queue.problem, queue.seconds, queue.memory_gib) == ("connect once", None, None)
    assert queue.download_mb == 45, "two models share a download"


def test_a_damaged_cache_is_an_empty_one(workspace):
    learn(workspace, "MammoCNN")
    (file,) = find_cache_folder().glob("*.json")
    file.write_text("{")
    assert estimate(workspace, "MammoCNN")["MammoCNN"].seconds is None
