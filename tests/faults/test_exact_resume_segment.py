"""A segmenter stopped within an epoch ends bit-identical, on whole images and on tiles."""

import pytest

from tests.training.results import list_differences
from tests.training.small_dataset import QUICK_SETTINGS, finish_run, make_small_dataset
from tfm.core.events import Progress
from tfm.core.registry import find_stage
from tfm.core.runs.find_or_create import find_or_create_job
from tfm.core.runs.resolve_command_settings import load_settings
from tfm.core.runs.workspace import Workspace
from tfm.training import checkpoint

OPTIONS = {
    "tiles": {"classes": "lesion", "ema": 0.9, "balance": "sampling", "tile": 32, "window_overlap": 0},
    "whole": {"classes": "malignancy", "pixel_loss": "focal", "trained": "decoder"},
}


def make_segment_run(folder, option):
    workspace = Workspace(folder)
    make_small_dataset(workspace)
    given = QUICK_SETTINGS | {"backbone": "test_resnet", "checkpoint_seconds": 0, "epochs": 2} | OPTIONS[option]
    return find_or_create_job(workspace, "segment", given)


@pytest.mark.parametrize("option", ["tiles", pytest.param("whole", marks=pytest.mark.long)])
def test_segmenter_ends_bit_identical_after_stops(tmp_path, monkeypatch, option):
    undisturbed = finish_run(make_segment_run(tmp_path / "calm", option))
    monkeypatch.setattr(checkpoint, "WRITE_SHARE", 0)
    run = make_segment_run(tmp_path / "stopped", option)
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
    assert list_differences(run, undisturbed) == []
    files = [one.folder / "lesions.json" for one in (run, undisturbed)]
    assert files[0].read_bytes() == files[1].read_bytes()
