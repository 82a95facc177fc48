"""A view of a run shows its recorded events, also after a resume."""

from tests.toy_jobs import toy_run
from tfm.core.events import CurrentValues, Metrics, StateChange
from tfm.ui.run_state import RunView


def test_a_view_of_a_resumed_run_shows_each_epoch_once(workspace):
    run = toy_run(workspace, target=3)
    with run.open_event_log():
        for event in (StateChange("running"), *(Metrics({"epoch": n, "loss": 1.0 / n}) for n in (1, 2, 3))):
            run.record(event)
        run.record(StateChange("running"))
        run.record(Metrics({"epoch": 3, "loss": 0.25}))
    view = RunView(run)
    view.read_new_events()
    assert view.metrics == {"epoch": [1, 2, 3], "loss": [1.0, 0.5, 0.25]}


def test_a_value_replaces_the_earlier_one_and_a_resumed_run_starts_without_values(workspace):
    run = toy_run(workspace, target=3)
    view = RunView(run)
    with run.open_event_log():
        run.record(CurrentValues({"images/s": "40", "GPU memory": "3.1 GiB"}))
        run.record(CurrentValues({"images/s": "52"}))
        view.read_new_events()
        assert view.gauges == {"images/s": "52", "GPU memory": "3.1 GiB"}
        run.record(StateChange("running"))
        view.read_new_events()
    assert view.gauges == {}, "it may now run on another device"
