"""A segmenter that is stopped within an epoch ends bit for bit as the undisturbed one: whole images or squares."""

import pytest

from tests.training.small_dataset import QUICK_SETTINGS, finish_run, make_small_dataset
from tests.training.test_fit import differences
from tfm.core.events import Progress
from tfm.core.registry import find_stage
from tfm.core.runs.command_settings import load_settings
from tfm.core.runs.launch import find_or_create_job
from tfm.core.runs.workspace import Workspace
from tfm.training import checkpoint

WAYS = {
    "squares": {"classes": "lesion", "ema": 0.9, "balance": "sampling", "tile": 32, "window_overlap": 0},
    "whole": {"classes": "malignancy", "pixel_loss": "focal", "trained": "decoder"},
}


def segment_run(folder, way):
    workspace = Workspace(folder)
    make_small_dataset(workspace)
    given = QUICK_SETTINGS | {"backbone": "test_resnet", "checkpoint_seconds": 0, "epochs": 2} | WAYS[way]
    return find_or_create_job(workspace, "segment", given)


@pytest.mark.parametrize("way", ["squares", pytest.param("whole", marks=pytest.mark.long)])
def test_a_stopped_segmenter_ends_as_the_undisturbed_one(tmp_path, monkeypatch, way):
    calm = finish_run(segment_run(tmp_path / "calm", way))
    monkeypatch.setattr(checkpoint, "WRITE_SHARE", 0)
    run = segment_run(tmp_path / "stopped", way)
    for stop in (2, 3):
        steps = 0
        with run.hold_lock():
            events = find_stage("segment").generate(load_settings(run), run)
            for event in events:
                steps += isinstance(event, Progress) and event.name == "step"
                if steps == stop:
                    break
            events.close()
    finish_run(run)
    assert differences(run, calm) == []
    left = [one.folder / "lesions.json" for one in (run, calm)]
    assert left[0].read_bytes() == left[1].read_bytes()
