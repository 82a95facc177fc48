"""A restarted run repeats its settings, and an extended one continues from the old end."""

import pytest

from tests.toy_jobs import finish
from tfm.core.errors import RunError, SettingsError
from tfm.core.runs.find_or_create import find_or_create_job
from tfm.core.runs.restart_or_extend import extend_run, find_extensible_field, restart_run

TOY = "learn"


def test_an_extended_run_continues_from_the_end_of_the_old_one(workspace):
    old = find_or_create_job(workspace, TOY, {"epochs": 3, "pages": 2})
    finish(old)
    before = (old.folder / "settings.yaml").read_bytes(), old.read_status()
    new = extend_run(old, "5")
    finish(new)
    assert new.id != old.id
    assert new.read_settings()["extends"] == old.id
    assert new.read_status().result["epochs"] == 5
    rows = [
        event.values["epoch"] for event in new.read_events() if hasattr(event, "values") and "epoch" in event.values
    ]
    assert rows == [4, 5], "earlier epochs are not repeated"
    assert ((old.folder / "settings.yaml").read_bytes(), old.read_status()) == before, "the old run is unchanged"
    assert extend_run(old, 5).id == new.id, "the same extension is the same run"
    assert restart_run(new).id != new.id, "a restart is always a new run"
    assert extend_run(new, 7).read_settings()["extends"] == new.id


@pytest.mark.parametrize(("total", "says"), [("3", "already started with 3 epochs"), ("far", "whole number")])
def test_an_extension_needs_a_higher_total(workspace, total, says):
    old = find_or_create_job(workspace, TOY, {"epochs": 3, "pages": 1})
    finish(old)
    with pytest.raises(SettingsError, match=says):
        extend_run(old, total)


def test_only_a_complete_run_with_a_growing_setting_can_be_extended(workspace):
    unfinished = find_or_create_job(workspace, TOY, {"epochs": 3})
    with pytest.raises(SettingsError, match="no results yet"):
        extend_run(unfinished, 5)
    count = find_or_create_job(workspace, "count", {"target": 3})
    assert find_extensible_field(count) is None
    with pytest.raises(RunError, match="cannot be extended"):
        extend_run(count, 5)
