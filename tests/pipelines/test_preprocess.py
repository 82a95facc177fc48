"""Preprocess makes a cache, or reuses one, and names it for the next step."""

import shutil

import cv2
import pytest

from tests.data.caches import dataset_of, small_download
from tfm.core.errors import DataError, SettingsError
from tfm.core.events import Note, Table
from tfm.core.runs import worker
from tfm.core.runs.find_or_create import find_or_create_job
from tfm.core.runs.run import Run
from tfm.core.runs.workspace import Workspace
from tfm.data.dataset.dataset import Dataset
from tfm.training.inputs.training_data import TrainingData


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A dataset and its cache."""
    workspace = Workspace(tmp_path_factory.mktemp("standing") / "workspace")
    download = small_download(workspace.root.parent)
    for name, split in (("official", "official"), ("folds", "kfold")):
        dataset_of(download, workspace.dataset_folder(name), split=split, seed=4)
    assert preprocessed(workspace, "official").read_status().result["images"] == 24
    return workspace


def preprocessed(workspace: Workspace, dataset: str, **given: object) -> Run:
    given = {"dataset": dataset, "workers": 1, "resize.height": 64, "resize.width": 64} | given
    run = find_or_create_job(workspace, "preprocess", given)
    assert isinstance(run, Run)
    worker.execute_run(run, stopping=run)
    return run


def told(run: Run) -> str:
    return "\n".join(event.text for event in run.read_events() if isinstance(event, Note))


def test_another_split_of_the_same_images_reuses_the_cache(standing):
    run = preprocessed(standing, "folds")
    assert run.read_status().state == "done", run.read_status().message
    assert run.read_status().result["cache"].startswith("official-fast")
    assert "is reused" in told(run)
    assert len(standing.list_products("cache")) == 1
    assert run.has_intact_outputs()


def test_a_named_cache_is_made(standing):
    run = preprocessed(standing, "folds", cache="mine")
    assert run.read_status().result["cache"] == "mine"
    shutil.rmtree(standing.cache_folder("mine"))


def test_the_number_of_workers_does_not_affect_the_run_key(standing):
    made = preprocessed(standing, "official")
    assert preprocessed(standing, "official", workers="auto").id == made.id
    for wrong in (0, "two"):
        with pytest.raises(SettingsError, match="workers"):
            preprocessed(standing, "official", workers=wrong)


def test_identical_images_in_two_splits_are_reported_and_no_model_is_trained_on_them(standing):
    dataset = standing.dataset_folder("official")
    test, train = (sorted((dataset / split).rglob("*.dcm"))[0] for split in ("test", "train"))
    train.unlink()
    shutil.copy(test, train)
    run = preprocessed(standing, "official", cache="twins")
    assert run.read_status().result["same_pixels"] == 1
    table = next(event for event in run.read_events() if isinstance(event, Table))
    assert table.rows == [[", ".join(sorted([test.stem, train.stem])), table.rows[0][1]]]
    assert "in two splits" in told(run)
    report = (dataset / "audit-pixels.md").read_text(encoding="utf-8")
    assert "in more than one split: **1**." in report
    assert table.rows[0][0] in report
    with pytest.raises(DataError, match=f"two splits under two names: {' and '.join(table.rows[0][0].split(', '))}"):
        TrainingData.open(standing, "official", "twins")


def test_lesions_cut_off_by_the_steps_are_reported(standing):
    dataset = Dataset.open(standing.dataset_folder("official"))
    left = dataset.manifest[(dataset.manifest["side"] == "LEFT") & (dataset.manifest["mask"] != "")].iloc[-1]
    mask = cv2.imread(str(dataset.path(left["mask"])), cv2.IMREAD_UNCHANGED)
    mask[:] = 0
    mask[120:130, :20] = 2  # at the chest wall
    cv2.imwrite(str(dataset.path(left["mask"])), mask)
    border = {"border.cut": "share", "border.share": 0.05, "cache": "cut"}
    said = told(preprocessed(standing, "official", **border))
    assert f"({left['image_id']}): the steps cut off more than 10% of their lesions" in said
    assert "cut off" not in told(preprocessed(standing, "official", cache="whole"))


def test_a_changed_image_is_preprocessed_again(standing):
    dataset = Dataset.open(standing.dataset_folder("official"))
    before = preprocessed(standing, "official", cache="mine")
    assert preprocessed(standing, "official", cache="mine").id == before.id
    film, other = (dataset.path(name) for name in dataset.manifest["file"].iloc[[5, 6]])
    kept = film.read_bytes()
    film.unlink()
    shutil.copyfile(other, film)
    after = preprocessed(standing, "official", cache="mine")
    assert after.id != before.id
    assert after.read_status().result["same_pixels"] == before.read_status().result["same_pixels"] + 1
    film.write_bytes(kept)


def test_augmented_copies_without_augmentation_are_refused(standing):
    with pytest.raises(SettingsError, match="switched off"):
        preprocessed(standing, "official", write_augmented=2, augment=False)


def test_augmented_copies_are_written_on_request(standing):
    run = preprocessed(standing, "official", write_augmented=2)
    assert run.read_status().state == "done", run.read_status().message
    train = Dataset.open(standing.dataset_folder("official")).select_images("train")["image_id"]
    written = sorted(path.name for path in (run.folder / "augmented").iterdir())
    assert written == sorted(f"{name}_{copy}.png" for name in train for copy in (1, 2))
    assert str(run.folder / "augmented") in told(run)
    assert run.has_intact_outputs()
    (run.folder / "augmented" / written[0]).unlink()
    assert not run.has_intact_outputs()


def test_bad_images_are_left_out_and_counted_wherever_figures_are(standing, tmp_path):
    folder = standing.dataset_folder("spoiled")
    shutil.copytree(standing.dataset_folder("official"), folder)
    dataset = Dataset.open(folder)
    rows = [dataset.select_images(split).iloc[0] for split in ("train", "test")]
    for row in rows:
        dataset.path(row["file"]).write_bytes(b"not an image")
    stopped = preprocessed(standing, "spoiled", cache="spoiled", on_bad_image="stop").read_status()
    assert stopped.state == "failed"
    assert all(row["image_id"] in stopped.message for row in rows)
    run = preprocessed(standing, "spoiled", cache="spoiled")
    assert run.read_status().result["images"] == 22
    assert "2 images are left out" in told(run)
    data = TrainingData.open(standing, "spoiled", "spoiled")
    assert len(data.train) + len(data.val) + len(data.test) == 22
    assert data.dataset.protocol == f"{dataset.protocol}, 2 images left out: unreadable"
