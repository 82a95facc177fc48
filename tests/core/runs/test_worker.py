"""A run survives whatever happens to its worker, shown with the toy command `count`."""

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.toy_jobs import finish, toy_run, wait_for_event
from tfm.core.events import StateChange
from tfm.core.runs import worker
from tfm.core.runs.executors import ThisMachine
from tfm.core.runs.workspace import Workspace


def test_an_undisturbed_run_is_done_with_its_result_and_outputs(workspace):
    run = toy_run(workspace)
    finish(run)
    assert run.read_status().state == "done"
    assert run.read_status().result["sum"] > 0
    assert run.has_intact_outputs()


def test_a_killed_run_ends_like_an_undisturbed_one(workspace, tmp_path):
    undisturbed = toy_run(Workspace(tmp_path / "undisturbed"), target=120)
    finish(undisturbed)
    run = toy_run(workspace, target=120, seconds_a_step=0.004)
    moments = random.Random(7)
    for kill in range(6):
        started = ThisMachine().submit(run)
        if kill == 0:
            os.kill(started.process.pid, signal.SIGKILL)  # before its first event
        else:
            wait_for_event(run, moments.randint(1, 30) + 20 * (kill - 1))
            os.killpg(started.process.pid, signal.SIGKILL)
        started.process.wait()
        assert run.read_status().state in ("halted", "waiting")
    finish(run)
    assert run.read_status().state == "done"
    assert run.read_status().result["sum"] == undisturbed.read_status().result["sum"]
    assert (run.folder / "counted.txt").read_bytes() == (undisturbed.folder / "counted.txt").read_bytes()


def test_a_wrong_checkpoint_changes_the_result(workspace, tmp_path):
    """Show that the test above fails if a resumed run continues from a wrong sum."""
    undisturbed = toy_run(Workspace(tmp_path / "undisturbed"), target=120)
    finish(undisturbed)
    run = toy_run(workspace, target=120, seconds_a_step=0.002)
    started = ThisMachine().submit(run)
    wait_for_event(run, 30)
    os.kill(started.process.pid, signal.SIGKILL)
    started.process.wait()
    (run.checkpoints_folder / "last.json").write_text("[20, 0]")
    finish(run)
    assert run.read_status().result["sum"] != undisturbed.read_status().result["sum"]


def test_several_starts_share_one_worker(workspace):
    run = toy_run(workspace, target=60, seconds_a_step=0.02)
    racers = [ThisMachine().submit(run) for _ in range(3)]
    wait_for_event(run, 5)
    late = ThisMachine().submit(run)
    assert late.process is None
    assert late.is_running()
    for racer in racers:
        if racer.process:
            racer.process.wait(timeout=60)
    assert run.read_status().state == "done"
    assert [event.state for event in run.read_events() if isinstance(event, StateChange)] == ["running", "done"]


@pytest.mark.parametrize("how", ["file", "SIGTERM", "SIGINT"])
def test_a_run_is_paused_and_resumed(workspace, how):
    run = toy_run(workspace, target=100, seconds_a_step=0.01)
    started = ThisMachine().submit(run)
    wait_for_event(run, 5)
    if how == "file":
        run.request_pause()
    else:
        started.process.send_signal(getattr(signal, how))
    status = worker.PAUSED_EXIT_STATUS if how == "file" else worker.STOPPED_EXIT_STATUS
    assert started.process.wait(timeout=30) == status
    assert run.read_status().state == "paused"
    finish(run)
    assert run.read_status().state == "done"


def test_a_failure_has_a_message_and_its_traceback_is_in_the_log(workspace):
    run = toy_run(workspace, fail_at=3)
    finish(run)
    assert run.read_status().state == "failed"
    assert "the toy was told to fail" in run.read_status().message
    assert "Traceback" in run.log_file.read_text()


def test_a_run_with_a_changed_input_is_not_resumed(workspace):
    before = toy_run(workspace, target=5)
    finish(before)
    run = toy_run(workspace, target=7, start_from=before.id)
    before.update(key="something else")
    finish(run)
    assert run.read_status().state == "failed"
    assert "changed since it began" in run.read_status().message


@pytest.mark.parametrize(
    ("value", "says"), [("9", "other settings need another run"), ("nine", "must be a whole number")]
)
def test_settings_changed_by_hand_are_reported_with_their_file(workspace, value, says):
    run = toy_run(workspace, target=5)
    text = run.settings_file.read_text()
    assert "target: 5" in text
    run.settings_file.write_text(text.replace("target: 5", f"target: {value}"))
    finish(run)
    assert run.read_status().state == "failed"
    assert f"{run.settings_file} was changed" in run.read_status().message
    assert says in run.read_status().message


def test_an_unfinished_last_line_is_ignored_and_removed_on_resume(workspace):
    run = toy_run(workspace, target=5)
    finish(run)
    count = len(run.read_events())
    with open(run.folder / "events.jsonl", "a") as log:
        log.write('{"time": 1, "kind": "no')
    assert len(run.read_events()) == count
    with run.open_event_log():
        run.record(StateChange("running"))
    assert len(run.read_events()) == count + 1


def test_a_damaged_line_of_the_log_is_skipped(workspace):
    run = toy_run(workspace, target=5)
    finish(run)
    count = len(run.read_events())
    log = run.folder / "events.jsonl"
    log.write_bytes(b"\x00garbage\n[]\n" + log.read_bytes())
    assert len(run.read_events()) == count


def test_a_run_without_its_settings_file_reports_it(workspace):
    run = toy_run(workspace, target=5)
    (run.folder / "settings.yaml").unlink()
    finish(run)
    assert run.read_status().state == "failed"
    assert "settings.yaml is damaged or missing" in run.read_status().message


def test_a_run_works_without_git(workspace, monkeypatch, tmp_path):
    run = toy_run(workspace, target=5)
    monkeypatch.setenv("PATH", str(tmp_path))
    finish(run)
    assert run.read_status().state == "done", run.read_status()
    assert run.read_environment()["git_commit"] == "unknown"


def test_the_worker_ignores_modules_in_the_current_folder(workspace, monkeypatch, tmp_path):
    (tmp_path / "tfm").mkdir()
    (tmp_path / "tfm" / "worker.py").write_text("raise SystemExit('another program')")
    (tmp_path / "platform.py").write_text("raise SystemExit('not the library')")
    run = toy_run(workspace, target=5)
    monkeypatch.chdir(tmp_path)
    finish(run)
    assert run.read_status().state == "done", run.log_file.read_text()


def test_a_killed_worker_frees_its_lock(workspace):
    run = toy_run(workspace, target=5)
    code = f"""
from pathlib import Path
from tfm.core.runs.worker import open_job
with open_job(Path({str(run.folder)!r})).hold_lock():
    print("held", flush=True)
    input()
"""
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
    ) as holder:
        assert holder.stdout.readline() == "held\n"
        assert run.is_alive()
        holder.kill()
    assert not run.is_alive()


def test_the_leftover_of_a_killed_writer_is_removed(workspace):
    run = toy_run(workspace, target=5)
    leftover = run.checkpoints_folder / ".last.json.0a1b.tmp"
    leftover.parent.mkdir()
    leftover.write_text("half")
    finish(run)
    assert not leftover.exists()


def test_the_time_of_killed_workers_is_counted(workspace):
    run = toy_run(workspace, target=500, seconds_a_step=0.01)
    for events in (230, 460):  # each past a heartbeat
        started = ThisMachine().submit(run)
        wait_for_event(run, events)
        os.killpg(started.process.pid, signal.SIGKILL)
        started.process.wait()
    for started in ("2017-01-01T00:00:00+00:00", "2199-01-01T00:00:00+00:00"):  # the clock was set meanwhile
        run.update(started=started)
        spent = run.read_seconds_spent()
        assert 2.5 <= spent < 60
    finish(run)
    assert run.read_status().seconds >= spent
