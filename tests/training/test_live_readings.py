"""The live view's readings of a training."""

import pytest

from tests.training.small_training import SmallTrainings, start_training
from tfm.core.events import CurrentValues
from tfm.training import live_readings


@pytest.fixture(scope="module")
def trainings(tmp_path_factory):
    return SmallTrainings(tmp_path_factory.mktemp("trainings"))


def test_readings_show_speed_best_epoch_and_last_checkpoint(trainings, monkeypatch):
    monkeypatch.setattr(live_readings, "SECONDS_BETWEEN_READINGS", 0)
    training = trainings.make({"epochs": 2})
    readings = [
        event.values for event in start_training(training, trainings.new_folder()) if isinstance(event, CurrentValues)
    ]
    assert any(float(values["images/s"]) > 0 for values in readings if "images/s" in values)
    assert "best so far" not in readings[0]
    assert readings[-1]["best so far"].startswith(f"val auc {training.state.best:.3f} (epoch ")
    assert len(readings[-1]["last checkpoint"].split(":")) == 3
