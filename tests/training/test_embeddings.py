"""Embeddings of a run's best network: extracted once, and never used for another network or dataset."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.returned import returned
from tests.training.small_dataset import finish_run, make_small_dataset, make_train_run
from tfm.analysis.embedding_projection import project_embeddings
from tfm.core.errors import DataError, SettingsError
from tfm.core.events import Note, Progress
from tfm.core.runs.resolve_command_settings import load_settings
from tfm.core.runs.workspace import Workspace
from tfm.training import frozen_features, gpu_lock
from tfm.training.batches import Images
from tfm.training.checkpoint import read_checkpoint
from tfm.training.embeddings import Backbone, extract_embeddings
from tfm.training.inputs.starting_point import SourceRun
from tfm.training.inputs.training_data import TrainingData

CPU = torch.device("cpu")
TINY = {"architecture": "test_resnet", "head": 16, "epochs": 1}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    torch.set_num_threads(1)
    workspace = Workspace(tmp_path_factory.mktemp("embeddings") / "workspace")
    make_small_dataset(workspace)
    return finish_run(make_train_run(workspace, "ResNet50_Head", **TINY))


@pytest.fixture
def data(run):
    return TrainingData.open(run.workspace, "pocket", "pocket")


def make_backbone(run, embedding="pool2048") -> Backbone:
    settings = load_settings(run)
    return Backbone.open(SourceRun(run), settings.model, embedding, (64, 64), settings.machine.precision)


def read_facts(data):
    return returned(data.collect_facts())


def extract(place, run, data, embedding="pool2048"):
    return returned(extract_embeddings(place, make_backbone(run, embedding), data, read_facts(data), CPU, "a-run"))


def find_folder(place):
    (folder,) = place.iterdir()
    return folder


@pytest.mark.parametrize(("embedding", "width"), [("pool2048", 96), ("dense128", 16)])
def test_rest_of_the_network_gives_the_full_output_from_an_embedding(run, data, tmp_path, embedding, width):
    whole = make_backbone(run, embedding)
    embeddings = extract(tmp_path, run, data, embedding)
    assert [embeddings[split].shape for split in ("train", "val", "test")] == [(36, width), (16, width), (20, width)]
    images = Images(data.cache, data.val, whole.normalisation, CPU)
    with torch.inference_mode():
        direct = whole.network.eval()(images.load(np.arange(16)))
        torch.testing.assert_close(whole.part(torch.from_numpy(embeddings["val"])), direct)


def test_backbone_has_the_best_weights_before_and_after_extraction(run, data, tmp_path):
    best = read_checkpoint(run.checkpoints_folder / "best.pt")["network"]
    backbone = make_backbone(run)
    returned(extract_embeddings(tmp_path, backbone, data, read_facts(data), CPU, "a-run"))
    after = backbone.network.state_dict()
    assert after.keys() == best.keys()
    assert [name for name, tensor in after.items() if not torch.equal(tensor, best[name])] == []
    assert not any(tensor.requires_grad for tensor in backbone.network.parameters())


def test_embeddings_are_extracted_once(run, data, tmp_path):
    first = extract(tmp_path, run, data)
    events = list(extract_embeddings(tmp_path, make_backbone(run), data, read_facts(data), CPU, "a-run"))
    assert not any(isinstance(event, Progress) for event in events)
    assert any("extracted before" in event.text for event in events if isinstance(event, Note))
    again = extract(tmp_path, run, data)
    assert all(np.array_equal(first[split], again[split]) for split in first)
    extract(tmp_path, run, data, "dense128")
    assert len(list(tmp_path.iterdir())) == 2


def test_pooled_embeddings_do_not_depend_on_the_head(run):
    other = make_backbone(run)
    with torch.no_grad():
        other.network.fc[0].weight.add_(1)
    assert other.compute_identity(CPU) == make_backbone(run).compute_identity(CPU)
    dense = make_backbone(run, "dense128")
    with torch.no_grad():
        dense.network.fc[0].weight.add_(1)
    assert dense.compute_identity(CPU) != make_backbone(run, "dense128").compute_identity(CPU)
    with torch.no_grad():
        other.network.bn1.running_mean.add_(1)
    assert other.compute_identity(CPU) != make_backbone(run).compute_identity(CPU)
    # A resumed extraction continues with a batch.
    other_batches = replace(make_backbone(run), batch_size=8)
    assert other_batches.compute_identity(CPU) != make_backbone(run).compute_identity(CPU)


def test_extraction_stopped_after_any_batch_ends_bit_identical(run, data, tmp_path, monkeypatch):
    monkeypatch.setattr(frozen_features, "SECONDS_BETWEEN_WRITES", 0)
    undisturbed = extract(tmp_path / "calm", run, data)
    for batches in (1, 3, 2):
        events = extract_embeddings(tmp_path / "stopped", make_backbone(run), data, read_facts(data), CPU, "a-run")
        for _ in range(batches):
            next(events)
        events.close()
    stopped = extract(tmp_path / "stopped", run, data)
    assert all(np.array_equal(undisturbed[split], stopped[split]) for split in undisturbed)


def copy_embeddings(place, run, data, other):
    """Put the embeddings of this run in the place of another's, and return the extraction of the other."""
    extract(place, run, data)
    source = find_folder(place)
    events = extract_embeddings(place / "others", *other, read_facts(other[1]), CPU, "a-run")
    next(events)
    events.close()
    target = find_folder(place / "others")
    shutil.rmtree(target)
    shutil.copytree(source, target)
    return extract_embeddings(place / "others", *other, read_facts(other[1]), CPU, "a-run")


def test_embeddings_of_another_backbone_are_refused(run, data, tmp_path):
    other = make_backbone(run)
    with torch.no_grad():
        other.network.conv1[0].weight.mul_(2)
    with pytest.raises(DataError, match=r"belong to another backbone$") as refusal:
        returned(copy_embeddings(tmp_path, run, data, (other, data)))
    assert "remove that folder" in refusal.value.hint


def test_embeddings_of_another_dataset_are_refused(run, data, tmp_path):
    elsewhere = replace(data, dataset=replace(data.dataset, content_hash="0" * 64))
    with pytest.raises(DataError, match=r"belong to another dataset$"):
        returned(copy_embeddings(tmp_path, run, data, (make_backbone(run), elsewhere)))


def flip_last_bit(file):
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize(
    "harm",
    [
        lambda folder: flip_last_bit(folder / "train.npy"),
        lambda folder: (folder / "val.npy").unlink(),
        lambda folder: (folder / "account.json").write_text('{"of":'),
    ],
    ids=["a turned bit", "gone", "a cut account"],
)
def test_damaged_embeddings_are_refused(run, data, tmp_path, harm):
    extract(tmp_path, run, data)
    folder = find_folder(tmp_path)
    harm(folder)
    with pytest.raises(DataError, match="are damaged"):
        extract(tmp_path, run, data)


def test_second_run_waits_for_embeddings_of_the_first_and_uses_them(run, data, tmp_path, monkeypatch):
    monkeypatch.setattr(gpu_lock, "POLL_SECONDS", 0.05)
    first = extract_embeddings(tmp_path, make_backbone(run), data, read_facts(data), CPU, "the-first-run")
    next(first)
    second = extract_embeddings(tmp_path, make_backbone(run), data, read_facts(data), CPU, "the-second-run")
    assert "the-first-run uses it" in next(second).text
    assert "waiting for" in next(second).name
    list(first)
    events = [event.text for event in second if isinstance(event, Note)]
    assert len(events) == 1
    assert "extracted before" in events[0]


def test_embeddings_depend_on_threads_and_determinism(run):
    """Otherwise a run stopped on one machine and resumed on another would mix both in one file."""
    backbone, deterministic = make_backbone(run), torch.are_deterministic_algorithms_enabled()
    here = backbone.compute_identity(CPU)
    assert here["way"]["torch"] == torch.__version__
    assert here["way"]["device_name"] == "CPU"
    try:
        torch.set_num_threads(2)
        assert backbone.compute_identity(CPU) != here
        torch.set_num_threads(1)
        assert backbone.compute_identity(CPU) == here
        torch.use_deterministic_algorithms(not deterministic)
        assert backbone.compute_identity(CPU) != here
    finally:
        torch.set_num_threads(1)
        torch.use_deterministic_algorithms(deterministic)


@pytest.mark.parametrize("alike", [False, True], ids=["", "all images alike"])
def test_one_dimensional_embeddings_are_projected_onto_a_line(data, alike):
    embeddings = {
        split: np.arange(len(getattr(data, split)), dtype=np.float32)[:, None] * (not alike)
        for split in ("train", "val", "test")
    }
    projection = project_embeddings(embeddings, data, "pca", 7)
    assert (projection.table["y"] == 0).all()
    assert projection.axes[0] == f"component 1 ({0 if alike else 100}% of the variance)"
    assert len(set(projection.table["x"])) == (1 if alike else 36)
    assert project_embeddings(embeddings, data, "tsne", 7).table[["x", "y"]].notna().all(axis=None)


def test_dense_embedding_needs_a_hidden_layer(run):
    plain = finish_run(make_train_run(run.workspace, "ResNet18_CFT", architecture="test_resnet", epochs=1))
    with pytest.raises(SettingsError, match="has no hidden layer") as refusal:
        make_backbone(plain, "dense128")
    assert refusal.value.fields == ("embedding",)
