"""What a start would cost follows from what is known of this machine, and nothing is claimed that is not known."""

import struct
from pathlib import Path

import pytest

from tfm.core.runs.estimate_cache import EstimateCache, find_cache_folder
from tfm.core.runs.estimate_keys import find_machine_key, make_network_key, make_pace_key, make_plan_key
from tfm.core.runs.estimates import add_estimates, list_unknown, read_estimates
from tfm.core.runs.works import count_images, list_starts, read_image_size

SIZE = (512, 320)
COST = {"parameters": 10_000_000, "trained": 10_000_000, "forward": [10, 1], "backward": [20, 2], "memory": [1e8, 5e7]}
SPEED = {"forward": [0.01, 0.1], "backward": [0.02, 0.2], "augmentation": 0, "saved_mb": 0, "start": 5, "memory_gib": 1}
GIVEN = {"dataset": "practice", "cache": "fast"}
FORWARD, BACKWARD = 0.2, 0.8  # seconds an image, from the numbers above


@pytest.fixture(autouse=True)
def user_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user-cache"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")


@pytest.fixture
def workspace(workspace):
    """A dataset of 100, 20 and 30 images, in five folds but for the test set, and the head of its cache."""
    rows = ["train,2"] * 50 + ["train,3"] * 50 + ["val,1"] * 20 + ["test,0"] * 30
    write(workspace.dataset_folder("practice") / "manifest.csv", "split,fold\n" + "\n".join(rows) + "\n")
    write(workspace.cache_folder("fast") / "index.csv", "image_id\n")
    write(workspace.cache_folder("fast") / "settings.yaml", "")
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': (150, {SIZE[0]}, {SIZE[1]}), }}".ljust(118)
    (workspace.cache_folder("fast") / "images.npy").write_bytes(
        b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode()
    )
    return workspace


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def learn(workspace, preset, **given):
    """Save the cost of the preset's network and the speed of this machine, as the background process does."""
    work = list_starts(workspace, "train", [preset], GIVEN | given)[preset]
    with EstimateCache.change() as cache:
        cache.costs[make_network_key(work, SIZE)] = COST
        cache.speeds[find_machine_key(work)] = SPEED
    return work


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
    with EstimateCache.change() as cache:
        cache.weights["resnet18"] = {"file": None, "mb": 45.0, "is_reachable": True, "advice": "", "checked": 0}
        cache.weights["densenet121"] = {
            "file": None,
            "mb": None,
            "is_reachable": False,
            "advice": "connect once",
            "checked": 0,
        }
    found = estimate(workspace, "ResNet18_CFT", "DenseNet121_CFT")
    assert (found["ResNet18_CFT"].weights, found["ResNet18_CFT"].download_mb) == ("ImageNet, 45 MB", 45)
    assert (found["DenseNet121_CFT"].weights, found["DenseNet121_CFT"].problem) == (
        "ImageNet, not reachable",
        "connect once",
    )
    queue = add_estimates(list(found.values()))
    assert (queue.download_mb, queue.problem, queue.seconds) == (45, "connect once", None)


def test_a_damaged_cache_is_an_empty_one(workspace):
    learn(workspace, "MammoCNN")
    (file,) = find_cache_folder().glob("*.json")
    file.write_text("{")
    assert estimate(workspace, "MammoCNN")["MammoCNN"].seconds is None
