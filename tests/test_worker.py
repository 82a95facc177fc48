"""A job survives whatever happens to its worker: proven on a toy stage that counts."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tfm import worker
from tfm.core.events import Metrics, StateChange
from tfm.core.jobs import find_run
from tfm.core.plan import Step
from tfm.core.prepare import find_or_create_plan, job_for, restarted
from tfm.core.run import Run
from tfm.core.workspace import Workspace

TOY = "tests.toys.count"


def toy_run(workspace: Workspace, **given) -> Run:
    return job_for(workspace, TOY, given)


def finish(job) -> None:
    started = worker.start(job)
    assert started.process is not None
    started.process.wait(timeout=60)


def wait_for_event(run: Run, count: int) -> None:
    deadline = time.monotonic() + 30
    while sum(isinstance(event, Metrics) for event in run.events()) < count:
        assert time.monotonic() < deadline, "the run did not get that far"
        time.sleep(0.005)


def wait_for_step(plan, name: str) -> None:
    deadline = time.monotonic() + 30
    while name not in plan.status.runs:
        assert time.monotonic() < deadline, "the plan did not get that far"
        time.sleep(0.01)


def test_an_undisturbed_run_ends_done_with_its_result_and_outputs(workspace):
    run = toy_run(workspace)
    finish(run)
    assert run.status.state == "done"
    assert run.status.result["sum"] > 0
    assert run.outputs_stand()


def test_a_killed_run_ends_as_the_undisturbed_one(workspace, tmp_path):
    calm = toy_run(Workspace(tmp_path / "calm"), target=120)
    finish(calm)
    run = toy_run(workspace, target=120, seconds_a_step=0.004)
    moments = random.Random(7)
    for kill in range(6):
        started = worker.start(run)
        if kill == 0:
            os.kill(started.process.pid, signal.SIGKILL)  # before it has done anything
        else:
            wait_for_event(run, moments.randint(1, 30) + 20 * (kill - 1))
            os.killpg(started.process.pid, signal.SIGKILL)
        started.process.wait()
        assert run.status.state in ("halted", "waiting")
    finish(run)
    assert run.status.state == "done"
    assert run.status.result["sum"] == calm.status.result["sum"]
    assert (run.folder / "counted.txt").read_bytes() == (calm.folder / "counted.txt").read_bytes()


def test_the_proof_notices_a_lost_checkpoint(workspace, tmp_path):
    """The equality above would not hold if a resumed run went on from a wrong sum."""
    calm = toy_run(Workspace(tmp_path / "calm"), target=120)
    finish(calm)
    run = toy_run(workspace, target=120, seconds_a_step=0.002)
    started = worker.start(run)
    wait_for_event(run, 30)
    os.kill(started.process.pid, signal.SIGKILL)
    started.process.wait()
    (run.checkpoints_folder / "last.json").write_text("[20, 0]")
    finish(run)
    assert run.status.result["sum"] != calm.status.result["sum"]


def test_two_starts_attach_to_one_worker(workspace):
    run = toy_run(workspace, target=60, seconds_a_step=0.02)
    racers = [worker.start(run) for _ in range(3)]
    wait_for_event(run, 5)
    late = worker.start(run)
    assert late.process is None
    assert late.going
    for racer in racers:
        if racer.process:
            racer.process.wait(timeout=60)
    assert run.status.state == "done"
    assert [event.state for event in run.events() if isinstance(event, StateChange)] == ["running", "done"]


@pytest.mark.parametrize("how", ["file", "SIGTERM", "SIGINT"])
def test_a_run_is_paused_and_resumed(workspace, how):
    run = toy_run(workspace, target=100, seconds_a_step=0.01)
    started = worker.start(run)
    wait_for_event(run, 5)
    if how == "file":
        run.request_pause()
    else:
        started.process.send_signal(getattr(signal, how))
    assert started.process.wait(timeout=30) == worker.PAUSED
    assert run.status.state == "paused"
    finish(run)
    assert run.status.state == "done"


def test_a_failure_is_told_in_words_and_its_traceback_goes_to_the_log(workspace):
    run = toy_run(workspace, fail_at=3)
    finish(run)
    assert run.status.state == "failed"
    assert "the toy was told to fail" in run.status.message
    assert "Traceback" in run.log_file.read_text()


def test_the_same_settings_find_the_same_run_and_other_settings_do_not(workspace):
    first = toy_run(workspace, target=5)
    finish(first)
    assert toy_run(workspace, target=5).id == first.id
    assert toy_run(workspace, target=5, seconds_a_step=0.001).id == first.id, "speed is not part of the key"
    assert toy_run(workspace, target=6).id != first.id


def test_work_that_stands_is_found_before_a_newer_try_that_failed(workspace):
    done = toy_run(workspace, target=5)
    finish(done)
    restarted(done).update(state="failed")
    assert toy_run(workspace, target=5).id == done.id


def test_a_done_run_whose_output_is_gone_or_changed_counts_no_more(workspace):
    first = toy_run(workspace, target=5)
    finish(first)
    (first.folder / "counted.txt").write_text("forged\n")
    assert toy_run(workspace, target=5).id != first.id


def test_a_run_whose_input_changed_is_not_resumed_in_silence(workspace):
    before = toy_run(workspace, target=5)
    finish(before)
    run = toy_run(workspace, target=7, start_from=before.id)
    before.update(key="something else")
    finish(run)
    assert run.status.state == "failed"
    assert "changed since it began" in run.status.message


@pytest.mark.parametrize(("value", "says"), [("9", "it is another run"), ("nine", "must be a whole number")])
def test_settings_that_were_changed_by_hand_are_named_with_their_file(workspace, value, says):
    run = toy_run(workspace, target=5)
    text = run.settings_file.read_text()
    assert "target: 5" in text
    run.settings_file.write_text(text.replace("target: 5", f"target: {value}"))
    finish(run)
    assert run.status.state == "failed"
    assert f"{run.settings_file} was changed" in run.status.message
    assert says in run.status.message


def three_steps(slow: float = 0.0) -> list[Step]:
    return [
        Step("one", TOY, {"target": 20}),
        Step("two", TOY, {"target": 60, "start_from": "@one.run", "seconds_a_step": slow}),
        Step("three", TOY, {"target": 10, "start_from": "@two.run"}),
    ]


def test_a_plan_of_three_steps_resumes_in_the_second(workspace, tmp_path):
    calm = find_or_create_plan(Workspace(tmp_path / "calm"), "toy", three_steps())
    finish(calm)
    plan = find_or_create_plan(workspace, "toy", three_steps(slow=0.02))
    started = worker.start(plan)
    wait_for_step(plan, "two")
    second = find_run(workspace, plan.status.runs["two"])
    wait_for_event(second, 15)
    os.killpg(started.process.pid, signal.SIGKILL)
    started.process.wait()
    assert plan.status.state == "halted"
    again = find_or_create_plan(workspace, "toy", three_steps(slow=0.02))
    assert again.id == plan.id
    first_log = len(find_run(workspace, plan.status.runs["one"]).events())
    finish(again)
    assert plan.status.state == "done"
    assert plan.status.runs["two"] == second.id
    assert len(find_run(workspace, plan.status.runs["one"]).events()) == first_log, "the first step is not done again"
    assert plan.status.result["sum"] == calm.status.result["sum"]


def test_a_failed_step_stops_only_the_steps_that_read_from_it(workspace):
    steps = [
        Step("bad", TOY, {"target": 9, "fail_at": 2}),
        Step("reads_bad", TOY, {"target": 5, "start_from": "@bad.run"}),
        Step("free", TOY, {"target": 6}),
    ]
    plan = find_or_create_plan(workspace, "toy", steps)
    finish(plan)
    assert plan.status.state == "failed"
    assert plan.status.message.startswith("bad:")
    assert set(plan.status.runs) == {"bad", "free"}
    assert find_run(workspace, plan.status.runs["free"]).status.state == "done"


def test_a_step_of_which_a_part_was_ended_from_outside_halts_its_plan_in_words_and_both_go_on(workspace):
    steps = [
        Step("cut", TOY, {"target": 9, "ended_at": 2}),
        Step("reads_cut", TOY, {"target": 5, "start_from": "@cut.run"}),
    ]
    plan = find_or_create_plan(workspace, "toy", steps)
    assert worker.take_plan(plan) == "halted"
    run = find_run(workspace, plan.status.runs["cut"])
    for job in (plan, run):
        assert job.status.state == "halted"
        assert job.status.message == "the abacus was taken away"
    assert set(plan.status.runs) == {"cut"}
    assert worker.take_plan(plan) == "done"
    assert run.status.message == ""


def test_pausing_a_plan_pauses_its_step(workspace):
    plan = find_or_create_plan(workspace, "toy", three_steps(slow=0.02))
    started = worker.start(plan)
    wait_for_step(plan, "two")
    plan.request_pause()
    assert started.process.wait(timeout=30) == worker.PAUSED
    assert plan.status.state == "paused"
    finish(plan)
    assert plan.status.state == "done"


def test_an_unfinished_last_line_is_ignored_and_cut_off_on_resume(workspace):
    run = toy_run(workspace, target=5)
    finish(run)
    whole = len(run.events())
    with open(run.folder / "events.jsonl", "a") as log:
        log.write('{"time": 1, "kind": "no')
    assert len(run.events()) == whole
    with run.recording():
        run.record(StateChange("running"))
    assert len(run.events()) == whole + 1


def test_a_damaged_line_of_the_log_is_passed_over(workspace):
    run = toy_run(workspace, target=5)
    finish(run)
    whole = len(run.events())
    log = run.folder / "events.jsonl"
    log.write_bytes(b"\x00garbage\n[]\n" + log.read_bytes())
    assert len(run.events()) == whole


def test_a_run_whose_settings_are_gone_says_so(workspace):
    run = toy_run(workspace, target=5)
    (run.folder / "settings.yaml").unlink()
    finish(run)
    assert run.status.state == "failed"
    assert "settings.yaml is damaged or gone" in run.status.message


def test_a_machine_without_git_runs_all_the_same(workspace, monkeypatch, tmp_path):
    run = toy_run(workspace, target=5)
    monkeypatch.setenv("PATH", str(tmp_path))
    finish(run)
    assert run.status.state == "done", run.status
    assert run.environment["git_commit"] == "unknown"


def test_the_worker_is_this_programs_whatever_folder_one_stands_in(workspace, monkeypatch, tmp_path):
    (tmp_path / "tfm").mkdir()
    (tmp_path / "tfm" / "worker.py").write_text("raise SystemExit('another program')")
    (tmp_path / "platform.py").write_text("raise SystemExit('not the library')")
    run = toy_run(workspace, target=5)
    monkeypatch.chdir(tmp_path)
    finish(run)
    assert run.status.state == "done", run.log_file.read_text()


def test_what_was_read_from_a_restarted_run_is_not_what_was_read_from_the_old_one(workspace):
    old = toy_run(workspace, target=5)
    finish(old)
    reader = toy_run(workspace, target=6, start_from=old.id)
    finish(reader)
    new = restarted(old)
    finish(new)
    assert toy_run(workspace, target=6, start_from=old.id).id == reader.id
    assert toy_run(workspace, target=6, start_from=new.id).id != reader.id


def test_a_plan_edited_into_nonsense_fails_in_words(workspace):
    plan = find_or_create_plan(workspace, "toy", three_steps())
    text = (plan.folder / "plan.yaml").read_text()
    (plan.folder / "plan.yaml").write_text(text.replace("@one.run", "@onne.run"))
    finish(plan)
    assert plan.status.state == "failed"
    assert "onne" in plan.status.message
    (plan.folder / "plan.yaml").write_text("[")
    finish(plan)
    assert "plan.yaml is damaged" in plan.status.message


def test_a_pause_that_no_worker_saw_does_not_stop_the_resumed_plan(workspace):
    plan = find_or_create_plan(workspace, "toy", three_steps())
    finish(plan)
    step = find_run(workspace, plan.status.runs["two"])
    step.update(state="paused")
    step.request_pause()
    finish(plan)
    assert plan.status.state == "done"


def test_a_lock_is_freed_by_any_death(workspace):
    run = toy_run(workspace, target=5)
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"""
from pathlib import Path
from tfm.worker import open_job
with open_job(Path({str(run.folder)!r})).held():
    print("held", flush=True)
    input()
""",
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parent.parent,
    )
    assert holder.stdout.readline() == "held\n"
    assert run.alive
    holder.kill()
    holder.wait()
    assert not run.alive


def test_what_a_killed_writer_left_beside_its_target_is_swept(workspace):
    run = toy_run(workspace, target=5)
    leftover = run.checkpoints_folder / ".last.json.0a1b.tmp"
    leftover.parent.mkdir()
    leftover.write_text("half")
    finish(run)
    assert not leftover.exists()


def test_the_time_of_killed_workers_counts(workspace):
    run = toy_run(workspace, target=500, seconds_a_step=0.01)
    for events in (230, 460):  # each past a heartbeat
        started = worker.start(run)
        wait_for_event(run, events)
        os.killpg(started.process.pid, signal.SIGKILL)
        started.process.wait()
    spent = run.seconds_spent
    assert spent >= 2.5
    finish(run)
    assert run.status.seconds >= spent


def test_a_run_is_named_in_part_and_recorded_whole(workspace):
    before = toy_run(workspace, target=5)
    finish(before)
    run = toy_run(workspace, target=6, start_from=before.id[-6:])
    assert run.given_settings["start_from"] == before.id
