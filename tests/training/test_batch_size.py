"""`batch_size: auto`: the largest batch that fits, which the run then keeps."""

import copy
import weakref

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from tests.training.small_dataset import finish_run, make_small_dataset, make_train_run, read_results, stop_after_steps
from tests.training.small_training import SmallTrainings
from tfm.core import machine
from tfm.core.errors import TrainingError
from tfm.models.memory import MemoryMeter, MemoryUse
from tfm.training import batch_size
from tfm.training.batch_size import find_batch_size, find_largest_on_cpu, find_largest_on_gpu, run_trial_step


@pytest.mark.parametrize(("room", "size"), [(100, 64), (80, 64), (79, 32), (3, 2), (9, 4)])
def test_gpu_batch_is_the_largest_power_of_two_with_a_quarter_to_spare(room, size):
    def try_size(count):
        if count > room:
            raise torch.OutOfMemoryError

    assert find_largest_on_gpu(try_size, 64) == size


def test_gpu_without_memory_for_two_images_is_an_error():
    def never(_count):
        raise torch.OutOfMemoryError

    with pytest.raises(TrainingError, match="too small for a batch of 2 images"):
        find_largest_on_gpu(never, 64)


def test_batch_of_two_needs_memory_for_a_third_image():
    """An odd number of images split in twos has one batch of three."""

    def try_size(count):
        if count > 2:
            raise torch.OutOfMemoryError

    with pytest.raises(TrainingError, match="too small for a batch of 2 images"):
        find_largest_on_gpu(try_size, 64)


@pytest.mark.parametrize(("room", "size"), [(0, 2), (17, 4), (18, 8), (1e9, 32)])
def test_cpu_batch_fits_its_share_of_the_memory_beside_the_network(room, size):
    assert find_largest_on_cpu(room, MemoryUse(network=10, images=2), largest=32) == size


def test_trial_step_does_all_that_a_training_step_does(tmp_path, monkeypatch):
    training = SmallTrainings(tmp_path).make({"batch_size": "auto"})
    seen = []
    loss = type(training.task).compute_loss
    monkeypatch.setattr(type(training.task), "compute_loss", lambda *given: seen.append(given[2]) or loss(*given))
    run_trial_step(training, 3)
    assert len(seen[0].images) == 3
    assert not torch.equal(seen[0].images, training.train.load(np.arange(3))), "they are augmented"
    assert all("exp_avg" in training.optimizer.state[tensor] for tensor in training.network.parameters())


class AllocatedMemory(TorchDispatchMode):
    """Count the bytes of all new tensors that live at once, each from its creation to its end."""

    def __init__(self):
        super().__init__()
        self.bytes = self.peak = 0
        self.storages = set()

    def __torch_dispatch__(self, operation, types, arguments=(), options=None):
        result = operation(*arguments, **options or {})
        for tensor in result if isinstance(result, tuple | list) else [result]:
            if isinstance(tensor, torch.Tensor):
                self._add(tensor.untyped_storage())
        return result

    def _add(self, storage):
        if storage._cdata in self.storages:
            return
        self.storages.add(storage._cdata)
        self.bytes += storage.nbytes()
        self.peak = max(self.peak, self.bytes)
        weakref.finalize(storage, self._remove, storage._cdata, storage.nbytes())

    def _remove(self, name, size):
        self.storages.discard(name)
        self.bytes -= size


@pytest.mark.parametrize("architecture", ["MammoCNN", "test_resnet"])
def test_the_measured_memory_is_within_a_factor_of_two_of_what_a_step_allocates(tmp_path, architecture):
    trial = copy.deepcopy(SmallTrainings(tmp_path).make({"batch_size": "auto", "architecture": architecture}))
    meter, allocated = MemoryMeter(trial.network), AllocatedMemory()
    before = sum(tensor.nbytes for tensor in trial.network.state_dict().values())
    with meter.watch(), allocated:
        run_trial_step(trial, 4)
    measured = meter.measure()
    assert 0.5 < (measured.network + measured.images) / (before + allocated.peak) < 2


def test_allocated_memory_counts_what_lives_at_once():
    with AllocatedMemory() as allocated:
        kept = [torch.zeros(1000) for _ in range(3)]
        for _ in range(5):
            torch.zeros(1000)
    assert (allocated.bytes, allocated.peak) == (4000 * len(kept), 4000 * (len(kept) + 1))


def test_memory_of_an_image_is_measured_without_changing_the_network(tmp_path, monkeypatch):
    trainings = SmallTrainings(tmp_path)
    training = trainings.make({"batch_size": "auto", "architecture": "MammoCNN"})
    before = {name: tensor.clone() for name, tensor in training.network.state_dict().items()}
    trial = copy.deepcopy(training)
    meter = MemoryMeter(trial.network)
    with meter.watch():
        run_trial_step(trial, 2)
    measured = meter.measure().images / 2
    maps = 4 * 64 * 64 * sum(filters / 4**stage for stage, filters in enumerate((32, 64, 128, 256)))
    # Each stage has two convolutions, and normalisation and activation keep their inputs.
    assert 4 * maps < measured < 16 * maps
    room = meter.measure().network + 4 * measured
    monkeypatch.setattr(machine, "read_memory_gib", lambda: 4 * room / 2**30)
    assert find_batch_size(training) == 4
    monkeypatch.setattr(machine, "read_memory_gib", lambda: 1e6)
    assert find_batch_size(training) == 8, "no more than there are images"
    assert all(torch.equal(before[name], tensor) for name, tensor in training.network.state_dict().items())


def test_run_keeps_the_batch_size_it_found(workspace, monkeypatch):
    make_small_dataset(workspace)
    tiny = {"architecture": "test_resnet", "epochs": 1, "checkpoint_seconds": 0}
    run = make_train_run(workspace, "ResNet18_CFT", **tiny, batch_size="auto")
    monkeypatch.setattr(batch_size, "LARGEST", 8)
    stop_after_steps(run, 1)
    assert run.read_environment()["batch_size"] == 8
    monkeypatch.setattr(batch_size, "LARGEST", 2)
    finish_run(run)
    assert run.read_environment()["batch_size"] == 8
    other = finish_run(make_train_run(workspace, "ResNet18_CFT", **tiny, batch_size=8))
    assert read_results(other) == read_results(run)
