"""A run is found by its id or a unique part of it, and never guessed."""

import pytest

from tests.toy_jobs import toy_run
from tfm.core.errors import RunError
from tfm.core.runs.find_or_create import find_or_create_plan
from tfm.core.runs.lookup import find_job, find_run, list_runs, list_unused_runs, read_plans, read_runs
from tfm.core.runs.plan import Step


def test_runs_are_listed_with_the_newest_last(workspace):
    runs = [toy_run(workspace, target=target) for target in (3, 4, 5)]
    assert [run.id for run in list_runs(workspace)] == [run.id for run in runs]
    assert read_plans(workspace) == []


def test_a_unique_part_of_an_id_finds_the_run(workspace):
    run = toy_run(workspace, target=3)
    toy_run(workspace, target=4)
    assert find_run(workspace, run.id).id == run.id
    assert find_run(workspace, run.id[-6:]).id == run.id


@pytest.mark.parametrize("name", ["absent", ""])
def test_an_unknown_name_is_refused(workspace, name):
    toy_run(workspace, target=3)
    with pytest.raises(RunError, match="no run or plan called") as refused:
        find_run(workspace, name)
    assert str(workspace.root) in refused.value.message


def test_an_ambiguous_name_is_refused_with_the_ids(workspace):
    runs = [toy_run(workspace, target=target) for target in (3, 4)]
    with pytest.raises(RunError, match="2 runs") as refused:
        find_run(workspace, "count")
    assert all(run.id in refused.value.hint for run in runs)


def test_a_plan_is_a_job_and_not_a_run(workspace):
    plan = find_or_create_plan(workspace, "toy", [Step("one", "count")])
    assert find_job(workspace, plan.id).id == plan.id
    with pytest.raises(RunError):
        find_run(workspace, plan.id)


def test_a_run_is_unused_until_another_run_names_it(workspace):
    first, second = (toy_run(workspace, target=target) for target in (3, 4))
    for run in (first, second):
        run.update(state="done", result={"sum": 1})
    assert [run.id for run in list_unused_runs(read_runs(workspace), "sum", "start_from")] == [first.id, second.id]
    reader = toy_run(workspace, target=5, start_from=first.id)
    assert [run.id for run in list_unused_runs(read_runs(workspace), "sum", "start_from")] == [second.id]
    reader.update(state="failed")
    assert len(list_unused_runs(read_runs(workspace), "sum", "start_from")) == 2
