"""Jobs on a real Slurm of one node."""

import os
import platform
import signal
import socket
import time
from pathlib import Path

import pytest
import torch

from tests.one_node_slurm import wait_until, write_cluster
from tests.pipelines.forests import workspace_with_a_head
from tests.toy_jobs import TOY, finish, three_steps, toy_run, wait_for_event, wait_for_step
from tests.training.results import list_differences
from tests.training.small_dataset import make_small_dataset, make_train_run
from tfm.core.errors import RunError, SettingsError
from tfm.core.events import Metrics, StateChange
from tfm.core.runs import lookup, slurm_queue
from tfm.core.runs.executors import SlurmCluster, ThisMachine, find_executor
from tfm.core.runs.executors.node_check import check_node
from tfm.core.runs.find_or_create import find_or_create_job, find_or_create_plan
from tfm.core.runs.plan import Step
from tfm.core.runs.resources import Resources
from tfm.core.runs.workspace import Workspace

ONE_CORE = {"partition": "main", "time": 10, "cpus": 1, "gpus": 0}


@pytest.fixture
def cluster(slurm, workspace):
    write_cluster(workspace, **ONE_CORE)
    return SlurmCluster(workspace, "ours")


def wait_until_ended(job, seconds: float = 60) -> None:
    wait_until(lambda: not job.is_alive(), seconds)


def hold_until_time_limit(run) -> None:
    """Stop a worker until Slurm ends its job, so that it reaches the limit on a fast machine too."""
    worker = run.read_recorded_status().pid

    def is_stopped() -> bool:
        try:
            return "T (stopped)" in Path(f"/proc/{worker}/status").read_text()
        except FileNotFoundError:
            return False

    os.kill(worker, signal.SIGSTOP)
    wait_until(is_stopped)
    wait_until(lambda: not is_stopped(), 90)  # Slurm continues what it signals; a minute is the least that it grants


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
    ((name, value),) = wrong.items()
    assert f"--{name.replace('cpus', 'cpus-per-task')}={value}" in caught.value.hint
    assert not workspace.runs_folder.exists()


def test_a_machine_without_slurm_says_so_before_anything_is_made(workspace, monkeypatch):
    write_cluster(workspace)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SettingsError, match="sbatch was not found"):
        find_or_create_job(workspace, TOY, {}, executor=SlurmCluster(workspace, "ours"))
    assert not workspace.runs_folder.exists()


@pytest.mark.long
def test_a_step_cancelled_in_slurm_is_halted_and_the_plan_resumes_to_the_same_end(cluster, workspace, tmp_path):
    plan = submit_steps(cluster, workspace, three_steps(slow=0.2))
    wait_for_step(plan, "two")
    run = lookup.find_run(workspace, plan.read_status().runs["two"])
    wait_for_event(run, 15)
    assert run.read_status().message.startswith("running on")
    cluster.cancel(plan)
    wait_until_ended(plan)
    assert plan.read_status().state == "halted"
    assert "two: cancelled in Slurm" in plan.read_status().message
    find_executor(plan).submit(plan)
    wait_until_ended(plan)
    assert plan.read_status().result["sum"] == finish_here(tmp_path, three_steps(slow=0.0)).result["sum"]
    assert len(lookup.list_runs(workspace)) == 3


@pytest.mark.long
def test_a_paused_plan_cancels_what_waits_and_resumes(cluster, workspace):
    plan = submit_steps(cluster, workspace, three_steps(slow=0.2))
    wait_for_step(plan, "two")
    wait_for_event(lookup.find_run(workspace, plan.read_status().runs["two"]), 5)
    find_executor(plan).pause(plan)
    wait_until_ended(plan)
    assert plan.read_status().state == "paused"
    assert lookup.find_run(workspace, plan.read_status().runs["two"]).read_status().state == "paused"
    assert "three" not in plan.read_status().runs
    find_executor(plan).submit(plan)
    wait_until_ended(plan)
    assert plan.read_status().state == "done"


@pytest.mark.long
def test_a_run_says_why_it_waits_and_is_paused_by_leaving_the_queue(slurm, cluster, workspace):
    with slurm.occupied():
        run = toy_run(workspace)
        cluster.submit(run)
        with slurm.close():
            wait_until(lambda: run.read_status().message == "cannot start: its partition is closed")
        assert run.read_status().state == "waiting"
        find_executor(run).pause(run)
        wait_until_ended(run)
        assert run.read_status().state == "paused"
        assert slurm.count_jobs() == 1
    find_executor(run).submit(run)
    wait_until_ended(run)
    assert run.read_status().state == "done"


@pytest.mark.long
def test_a_step_that_fails_stops_only_the_steps_that_need_it(cluster, workspace):
    steps = [
        Step("good", TOY, {"target": 10}),
        Step("bad", TOY, {"target": 30, "fail_at": 5}),
        Step("after", TOY, {"target": 12, "start_from": "@bad.run"}),
        Step("apart", TOY, {"target": 14, "start_from": "@good.run"}),
    ]
    plan = submit_steps(cluster, workspace, steps)
    wait_until_ended(plan)
    status = plan.read_status()
    assert status.state == "failed"
    assert "bad: ZeroDivisionError" in status.message
    assert sorted(status.runs) == ["apart", "bad", "good"]


@pytest.mark.long
def test_a_step_whose_settings_are_wrong_says_so(cluster, workspace):
    plan = submit_steps(cluster, workspace, [Step("one", TOY, {"target": 10, "start_from": "no-such-run"})])
    wait_until_ended(plan)
    assert plan.read_status().state == "failed"
    assert "no-such-run" in plan.read_status().message


@pytest.mark.long
def test_a_run_that_is_preempted_enters_the_queue_again_and_goes_on(slurm, cluster, workspace, tmp_path):
    run = toy_run(workspace, target=60, seconds_a_step=0.1)
    cluster.submit(run)
    wait_for_event(run, 15)
    slurm.send_signal("TERM")
    wait_until(lambda: run.read_status().state == "waiting")
    assert run.is_alive()
    wait_until_ended(run)
    assert run.read_status().state == "done"
    assert run.read_events().count(StateChange("running")) == 2
    undisturbed = toy_run(Workspace(tmp_path / "here"), target=60)
    finish(undisturbed)
    assert run.read_status().result["sum"] == undisturbed.read_status().result["sum"]


@pytest.mark.long
def test_nothing_is_declared_dead_while_slurm_does_not_answer(slurm, cluster, workspace):
    run = toy_run(workspace, target=300, seconds_a_step=0.1)
    cluster.submit(run)
    wait_for_event(run, 5)
    slurm.stop_controller()
    slurm_queue.forget_reading()
    status = run.read_status()
    assert (status.state, status.message) == ("running", "Slurm does not answer")
    assert run.is_alive()
    with pytest.raises(RunError, match="ours does not answer"):
        cluster.check([Resources()])
    slurm.start_controller()
    slurm_queue.forget_reading()
    wait_until_ended(run)
    assert run.read_status().state == "done"


@pytest.mark.long
def test_a_worker_that_outlives_its_job_is_not_declared_dead(cluster, workspace):
    run = toy_run(workspace, target=80, seconds_a_step=0.1)
    cluster.submit(run)
    wait_for_event(run, 5)
    worker = Path("/proc", str(run.read_recorded_status().pid), "stat").read_text()
    os.kill(int(worker.rpartition(")")[2].split()[1]), signal.SIGKILL)  # its parent, which Slurm started
    wait_until(lambda: "without its job" in run.read_status().message)
    assert run.is_alive()
    wait_until_ended(run)
    assert run.read_status().state == "done"


@pytest.mark.long
def test_a_training_that_reaches_its_time_limit_goes_on_and_ends_bit_identical(slurm, workspace, tmp_path):
    write_cluster(workspace, **ONE_CORE | {"time": 1, "signal_seconds": 10})
    other = Workspace(tmp_path / "other")
    runs = []
    for place in (workspace, other):
        make_small_dataset(place)
        runs.append(make_train_run(place, "ResNet18_CFT", epochs=4, threads=1, device="cpu", patience="none"))
    disturbed, undisturbed = runs
    SlurmCluster(workspace, "ours").submit(disturbed)
    wait_until(lambda: any(isinstance(event, Metrics) for event in disturbed.read_events()), 300)
    if disturbed.read_events().count(StateChange("running")) == 1:  # a slow machine is past the limit already
        hold_until_time_limit(disturbed)
    started = ThisMachine().submit(undisturbed)
    wait_until(lambda: not started.is_running(), 300)
    wait_until_ended(disturbed, 400)
    assert disturbed.read_events().count(StateChange("running")) > 1
    assert disturbed.read_status().state == "done"
    assert list_differences(disturbed, undisturbed) == []


@pytest.mark.long
def test_a_head_a_forest_on_it_and_their_average_are_trained_in_that_order(slurm, tmp_path):
    workspace = workspace_with_a_head(tmp_path)
    write_cluster(workspace, **ONE_CORE)
    cluster = SlurmCluster(workspace, "ours")
    given = {"dataset": "pocket", "cache": "pocket", "head": "Small_Head", "trees": 20, "threads": 1, "device": "cpu"}
    plan = find_or_create_job(workspace, "head-and-forest", given, executor=cluster)
    cluster.submit(plan)
    wait_until_ended(plan, 300)
    status = plan.read_status()
    assert (status.state, status.message) == ("done", "")
    assert list(status.runs) == ["head", "forest", "average"]
    ended = [run.read_status().ended for run in lookup.list_runs(workspace)]
    assert ended == sorted(ended)


@pytest.mark.long
@pytest.mark.alone
def test_325_steps_are_submitted_in_five_seconds(slurm, cluster, workspace):
    steps = [Step(f"step{number}", TOY, {"target": number}) for number in range(1, 326)]
    plan = find_or_create_plan(workspace, "many", steps)
    with slurm.occupied():
        began = time.monotonic()
        cluster.submit(plan)
        assert time.monotonic() - began <= 5
        assert slurm.count_jobs() == 1 + 325
        plan.read_status()  # asks Slurm
        began = time.monotonic()
        assert plan.read_status().state == "running"
        assert time.monotonic() - began <= 0.1
        cluster.cancel(plan)
        wait_until_ended(plan)


@pytest.mark.long
def test_a_node_says_what_it_has(cluster, workspace):
    report = check_node(workspace, cluster)
    assert report.node == socket.gethostname()
    assert (report.python, report.torch) == (platform.python_version(), torch.__version__)
    assert [path.name for path in workspace.root.iterdir()] == ["clusters"]


@pytest.mark.long
def test_a_node_that_cannot_report_is_told_in_words(slurm, workspace):
    write_cluster(workspace, **ONE_CORE, python="/no/such/python")
    with pytest.raises(RunError, match="its report is not in"):
        check_node(workspace, SlurmCluster(workspace, "ours"))


@pytest.mark.long
def test_a_job_that_could_not_start_names_the_file_that_says_why(slurm, workspace):
    write_cluster(workspace, **ONE_CORE, python="/no/such/python")
    cluster = SlurmCluster(workspace, "ours")
    run = toy_run(workspace)
    cluster.submit(run)
    for job in (run, submit_steps(cluster, workspace, three_steps())):
        wait_until_ended(job)
        status = job.read_status()
        assert status.state == "halted"
        assert "/no/such/python" in Path(status.hint.removeprefix("see ")).read_text()


@pytest.mark.long
def test_a_check_that_waits_too_long_leaves_the_queue_and_says_why(slurm, cluster, workspace):
    with slurm.occupied():
        with pytest.raises(RunError, match="did not start in 5 seconds"):
            check_node(workspace, cluster, seconds=5)
        assert slurm.count_jobs() == 1
