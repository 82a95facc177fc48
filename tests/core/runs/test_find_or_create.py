"""The same work is found again, and nothing is created for work that cannot start."""

import pytest

from tests.toy_jobs import finish, toy_run
from tfm.core.errors import DiskError, SettingsError
from tfm.core.runs.find_or_create import find_or_create_job, find_or_create_plan
from tfm.core.runs.plan import Step
from tfm.core.runs.restart_or_extend import restart_run
from tfm.core.runs.workspace import Workspace


def test_the_same_settings_find_the_same_run_and_other_settings_do_not(workspace):
    first = toy_run(workspace, target=5)
    finish(first)
    assert toy_run(workspace, target=5).id == first.id
    assert toy_run(workspace, target=5, seconds_a_step=0.001).id == first.id, "speed is not part of the key"
    assert toy_run(workspace, target=6).id != first.id


def test_a_complete_run_is_found_before_a_newer_failed_one(workspace):
    done = toy_run(workspace, target=5)
    finish(done)
    restart_run(done).update(state="failed")
    assert toy_run(workspace, target=5).id == done.id


def test_a_run_with_a_changed_output_is_not_reused(workspace):
    first = toy_run(workspace, target=5)
    finish(first)
    (first.folder / "counted.txt").write_text("forged\n")
    assert toy_run(workspace, target=5).id != first.id


def test_a_fresh_step_never_reuses_a_complete_plan(workspace):
    plan = find_or_create_plan(workspace, "toy", [Step("one", "count", {"target": 3}, fresh=True)])
    assert find_or_create_plan(workspace, "toy", plan.read_steps()).id == plan.id
    finish(plan)
    assert find_or_create_plan(workspace, "toy", plan.read_steps()).id != plan.id


def test_a_plan_with_wrong_steps_creates_nothing(workspace):
    with pytest.raises(SettingsError, match="step a needs the result of b"):
        find_or_create_plan(workspace, "x", [Step("a", "t", {"runs": ["@b.run"]}), Step("b", "t")])
    with pytest.raises(SettingsError, match="two steps"):
        find_or_create_plan(workspace, "x", [Step("a", "t"), Step("a", "t")])
    assert not workspace.root.exists()


def test_a_workspace_that_cannot_be_created_is_reported(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(DiskError):
        find_or_create_job(Workspace(tmp_path / "file" / "workspace"), "count", {})
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
