"""The device and threads of a run, their changes on resume, and the lock on a GPU."""

import contextlib
import subprocess
import sys
import weakref
from pathlib import Path

import pytest
import torch

from tests.training.small_dataset import make_small_dataset, make_train_run
from tfm.core import machine
from tfm.core.errors import HaltedError, SettingsError, TrainingError
from tfm.core.events import Note
from tfm.core.settings.resolve import resolve
from tfm.training.device import lock_gpu, prepare_device, resolve_device, warn_about_memory
from tfm.training.settings import MachineSettings


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_missing_gpu_is_not_replaced_by_the_cpu():
    with pytest.raises(TrainingError, match="cuda:0 cannot be used") as refusal:
        resolve_device("cuda:0")
    assert "device=auto" in refusal.value.hint


def test_a_training_that_needs_more_memory_than_there_is_says_so_before_its_first_step():
    whole = int(machine.read_memory_gib() * 2**30)
    assert list(warn_about_memory(whole // 2, torch.device("cpu"))) == []
    (note,) = warn_about_memory(2 * whole, torch.device("cpu"))
    assert note.level == "warning"
    assert "batch_size" in note.text


def test_unknown_device_is_refused():
    with pytest.raises(SettingsError, match="auto, cpu or cuda:N"):
        resolve(MachineSettings, {}, {"device": "gpu"})


@pytest.fixture
def run(workspace):
    make_small_dataset(workspace)
    return make_train_run(workspace)


def collect(generator):
    events = []
    while True:
        try:
            events.append(next(generator))
        except StopIteration as stop:
            return events, stop.value


def test_resumed_run_uses_its_first_number_of_threads(run):
    before = torch.get_num_threads()
    try:
        run.save_facts(threads=1, device="cpu")
        torch.set_num_threads(2)
        _, device = collect(prepare_device(MachineSettings(device="cpu"), run, contextlib.ExitStack()))
        assert torch.get_num_threads() == 1
        assert device == torch.device("cpu")
        assert torch.are_deterministic_algorithms_enabled()
    finally:
        torch.set_num_threads(before)


def test_resuming_with_other_threads_or_another_version_warns(run):
    run.save_facts(threads=3, device="cpu", torch="1.0")
    events, _ = collect(prepare_device(MachineSettings(device="cpu", threads=1), run, contextlib.ExitStack()))
    (warning,) = [event.text for event in events if isinstance(event, Note) and event.level == "warning"]
    assert "threads 3 (now 1)" in warning
    assert f"torch 1.0 (now {torch.__version__})" in warning
    assert "not be bit-identical" in warning
    assert run.read_environment()["threads"] == 3
    assert run.read_environment()["resumed_with"] == [{"threads": 1, "torch": torch.__version__}]


def test_threads_of_an_earlier_run_in_the_process_have_no_effect(run):
    collect(prepare_device(MachineSettings(device="cpu"), run, contextlib.ExitStack()))
    own = run.read_environment()["threads"]
    others = [make_train_run(run.workspace, seed=seed) for seed in (1, 2)]
    collect(prepare_device(MachineSettings(device="cpu", threads=own + 1), others[0], contextlib.ExitStack()))
    collect(prepare_device(MachineSettings(device="cpu"), others[1], contextlib.ExitStack()))
    assert others[1].read_environment()["threads"] == own
    assert torch.get_num_threads() == own


def test_deterministic_setting_is_applied_and_recorded(run):
    collect(prepare_device(MachineSettings(device="cpu", threads=1, deterministic=False), run, contextlib.ExitStack()))
    assert not torch.are_deterministic_algorithms_enabled()
    assert run.read_environment()["deterministic"] is False
    collect(prepare_device(MachineSettings(device="cpu", threads=1), run, contextlib.ExitStack()))
    assert torch.are_deterministic_algorithms_enabled()


def test_resuming_on_another_device_warns(run):
    run.save_facts(device="cuda:0")
    events, _ = collect(prepare_device(MachineSettings(device="cpu", threads=1), run, contextlib.ExitStack()))
    warnings = [event for event in events if isinstance(event, Note) and event.level == "warning"]
    assert "started with device cuda:0 (now cpu)" in warnings[0].text
    assert run.read_environment()["device"] == "cuda:0"
    assert run.read_environment()["resumed_with"][0]["device"] == "cpu"


def test_run_resumes_on_its_first_device_or_is_halted(run):
    run.save_facts(device="cuda:99")
    with pytest.raises(HaltedError, match=f"{run.id} started on cuda:99, and cuda:99 cannot be used") as refusal:
        collect(prepare_device(MachineSettings(), run, contextlib.ExitStack()))
    assert f"runs restart {run.id}" in refusal.value.hint
    run.save_facts(device="cpu")
    _, device = collect(prepare_device(MachineSettings(threads=1), run, contextlib.ExitStack()))
    assert device == torch.device("cpu"), "even if there is a GPU now"


def test_memory_of_a_training_is_freed_however_it_ended(run, monkeypatch):
    """A network with reference cycles is not freed by itself, and an error keeps its frames alive."""
    known, seen = [], []

    def trained(error):
        network = torch.nn.Linear(3, 3)
        network.itself = [network]
        known.append(weakref.ref(network))
        yield Note("trained")
        if error:
            raise error from MemoryError("within")

    def stage(error):
        with contextlib.ExitStack() as held:
            held.callback(lambda: seen.append(known[-1]()))
            yield from prepare_device(MachineSettings(device="cpu", threads=1), run, held)
            yield from trained(error)

    for error in (None, TrainingError("no memory", hint="")):
        with contextlib.suppress(TrainingError):
            list(stage(error))
    paused = stage(None)
    for event in paused:
        if event == Note("trained"):
            break
    paused.close()
    assert seen == [None] * 3


HOLDER = """
import contextlib, sys
from tfm.training.device import lock_gpu
with contextlib.ExitStack() as held:
    list(lock_gpu(sys.argv[1], "the-first-run", held))
    print("held", flush=True)
    input()
"""


def test_run_waits_for_the_gpu_and_names_its_holder_until_that_dies(monkeypatch):
    monkeypatch.setattr("tfm.training.gpu_lock.POLL_SECONDS", 0.05)
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, "gpu-of-this-test"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).resolve().parents[2],
    )
    try:
        assert holder.stdout.readline() == "held\n"
        with contextlib.ExitStack() as held:
            waiting = lock_gpu("gpu-of-this-test", "the-second-run", held)
            assert "the-first-run uses it" in next(waiting).text
            next(waiting)
            holder.kill()
            holder.wait()
            for _ in waiting:
                pass
            with contextlib.ExitStack() as third:
                assert "the-second-run uses it" in next(lock_gpu("gpu-of-this-test", "a-third-run", third)).text
    finally:
        holder.kill()
        holder.wait()
        holder.stdin.close()
        holder.stdout.close()
