"""Contact sheets show preprocessing on a few images, chosen or drawn at random."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.data.phantoms import phantom_download
from tfm.core.events import Note, Picture
from tfm.core.runs import worker
from tfm.core.runs.find_or_create import find_or_create_job
from tfm.core.runs.run import Run
from tfm.core.runs.workspace import Workspace
from tfm.data.dataset.dataset import Dataset


@pytest.fixture(scope="module")
def organized(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    home = tmp_path_factory.mktemp("sheet")
    phantom_download(home / "download", 8, 4)
    workspace = Workspace(home / "workspace")
    run = find_or_create_job(workspace, "organize", {"download": [str(home / "download")], "name": "drawn"})
    assert isinstance(run, Run)
    assert worker.execute_run(run, stopping=run) == "done", run.read_status().message
    return workspace


def sheet(workspace: Workspace, preset: str = "fast", **given: object) -> Run:
    run = find_or_create_job(workspace, "contact-sheet", given, [preset])
    assert isinstance(run, Run)
    worker.execute_run(run, stopping=run)
    return run


def pictures(run: Run) -> list[Path]:
    return [Path(event.path) for event in run.read_events() if isinstance(event, Picture)]


@pytest.mark.parametrize("preset", ["fast", "thesis", "resnet", "highres"])
def test_each_preset_has_a_sheet_of_steps_and_of_augmentations(organized, preset):
    run = sheet(organized, preset, count=2)
    assert run.read_status().state == "done", run.read_status().message
    steps, changes = (np.asarray(Image.open(path)) for path in pictures(run))
    assert steps.shape[2] == changes.shape[2] == 3
    assert steps.max() > 200
    red = (steps[..., 0].astype(int) - steps[..., 2]) > 120
    assert red.any(), "the lesions are outlined"
    shown = next(event for event in run.read_events() if isinstance(event, Picture))
    assert len(set(map(len, shown.thumbnail))) == 1, "and it can be shown in a terminal"


def test_drawn_images_have_both_labels_and_views_and_depend_on_the_seed(organized):
    manifest = Dataset.open(organized.dataset_folder("drawn")).manifest.set_index("image_id")
    drawn = sheet(organized, count=4).read_status().result["images"]
    assert set(manifest.loc[drawn, "label"]) == {"benign", "malignant"}
    assert set(manifest.loc[drawn, "view"]) == {"CC", "MLO"}
    assert sheet(organized, count=4, seed=1).read_status().result["images"] != drawn


def test_images_can_be_chosen_by_name(organized):
    names = list(Dataset.open(organized.dataset_folder("drawn")).manifest["image_id"])[3:0:-2]
    assert sheet(organized, images=names).read_status().result["images"] == names
    unknown = sheet(organized, images=["P_9_LEFT_CC"])
    assert unknown.read_status().state == "failed"
    assert "P_9_LEFT_CC" in unknown.read_status().message
    assert "manifest.csv" in unknown.read_status().hint


def test_an_unreadable_image_is_reported_and_the_others_are_shown(organized):
    dataset = Dataset.open(organized.dataset_folder("drawn"))
    victim, other = dataset.manifest.iloc[0], dataset.manifest.iloc[1]
    path = dataset.path(victim["file"])
    kept = path.read_bytes()
    path.unlink()
    try:
        path.write_bytes(kept[:5000])
        run = sheet(organized, images=[victim["image_id"], other["image_id"]])
        assert run.read_status().state == "done"
        assert any(path.name in note.text for note in run.read_events() if isinstance(note, Note))
        assert sheet(organized, images=[victim["image_id"]]).read_status().state == "failed"
    finally:
        path.unlink()
        path.write_bytes(kept)


def test_without_augmentation_there_is_no_sheet_of_augmentations(organized):
    run = sheet(organized, count=1, augment=False)
    assert [path.name for path in pictures(run)] == ["steps.png"]
