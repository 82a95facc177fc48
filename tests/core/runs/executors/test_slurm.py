"""Jobs on a real Slurm of one node."""

import pytest

from tests.one_node_slurm import wait_until, write_cluster
from tests.toy_jobs import TOY, finish, three_steps
from tfm.core.errors import RunError, SettingsError
from tfm.core.runs import lookup
from tfm.core.runs.executors import SlurmCluster, find_executor
from tfm.core.runs.find_or_create import find_or_create_job, find_or_create_plan
from tfm.core.runs.workspace import Workspace

ONE_CORE = {"partition": "main", "time": 10, "cpus": 1, "gpus": 0}


@pytest.fixture
def cluster(slurm, workspace):
    write_cluster(workspace, **ONE_CORE)
    return SlurmCluster(workspace, "ours")


def wait_until_ended(job, seconds: float = 60) -> None:
    wait_until(lambda: not job.is_alive(), seconds)


def submit_steps(cluster, workspace, steps):
    plan = find_or_create_plan(workspace, "toys", steps)
    cluster.submit(plan)
    return plan


def finish_here(tmp_path, steps):
    plan = find_or_create_plan(Workspace(tmp_path / "here"), "toys", steps)
    finish(plan)
    return plan.read_status()


def test_a_plan_ends_on_a_cluster_as_on_this_machine(cluster, workspace, tmp_path):
    plan = submit_steps(cluster, workspace, three_steps())
    assert plan.is_alive()
    assert "waiting" in plan.read_status().message
    wait_until_ended(plan)
    status, here = plan.read_status(), finish_here(tmp_path, three_steps())
    assert (status.state, status.message) == ("done", "")
    assert status.result["sum"] == here.result["sum"]
    assert list(status.runs) == ["one", "two", "three"]
    assert isinstance(find_executor(plan), SlurmCluster)
    assert all(isinstance(find_executor(run), SlurmCluster) for run in lookup.list_runs(workspace))


@pytest.mark.parametrize(
    ("wrong", "word"), [({"partition": "cellar"}, "partition"), ({"cpus": 100_000}, "configuration")]
)
def test_what_slurm_refuses_is_told_before_anything_is_made(slurm, workspace, wrong, word):
    write_cluster(workspace, **ONE_CORE | wrong)
    with pytest.raises(RunError, match=word) as caught:
        find_or_create_job(workspace, TOY, {}, executor=SlurmCluster(workspace, "ours"))
    assert "ours.yaml" in caught.value.hint
    assert not workspace.runs_folder.exists()


def test_a_machine_without_slurm_says_so_before_anything_is_made(workspace, monkeypatch):
    write_cluster(workspace)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SettingsError, match="sbatch was not found"):
        find_or_create_job(workspace, TOY, {}, executor=SlurmCluster(workspace, "ours"))
    assert not workspace.runs_folder.exists()
