"""Embeddings are what a run's best network makes of each image, extracted once, and never taken for another's."""

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
from tfm.core.runs.command_settings import load_settings
from tfm.core.runs.workspace import Workspace
from tfm.training import frozen_features, gpu_lock
from tfm.training.batches import Images
from tfm.training.checkpoint import read_checkpoint
from tfm.training.embeddings import Backbone, extract_embeddings
from tfm.training.inputs.lineage import SourceRun
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
def material(run):
    return TrainingData.open(run.workspace, "pocket", "pocket")


def backbone(run, embedding="pool2048") -> Backbone:
    settings = load_settings(run)
    return Backbone.of(SourceRun(run), settings.model, embedding, (64, 64), settings.machine.precision)


def facts(material):
    return returned(material.collect_facts())


def extracted(place, run, material, embedding="pool2048"):
    return returned(extract_embeddings(place, backbone(run, embedding), material, facts(material), CPU, "a-run"))


def folder_in(place):
    (folder,) = place.iterdir()
    return folder


@pytest.mark.parametrize(("embedding", "width"), [("pool2048", 96), ("dense128", 16)])
def test_from_an_embedding_the_rest_of_the_network_says_what_the_whole_says(run, material, tmp_path, embedding, width):
    whole = backbone(run, embedding)
    found = extracted(tmp_path, run, material, embedding)
    assert [found[split].shape for split in ("train", "val", "test")] == [(36, width), (16, width), (20, width)]
    images = Images(material.cache, material.val, whole.normalisation, CPU)
    with torch.inference_mode():
        direct = whole.network.eval()(images.load(np.arange(16)))
        torch.testing.assert_close(whole.part(torch.from_numpy(found["val"])), direct)


def test_the_backbone_is_the_best_of_its_run_to_the_last_bit_before_and_after(run, material, tmp_path):
    best = read_checkpoint(run.checkpoints_folder / "best.pt")["network"]
    used = backbone(run)
    returned(extract_embeddings(tmp_path, used, material, facts(material), CPU, "a-run"))
    after = used.network.state_dict()
    assert after.keys() == best.keys()
    assert [name for name, tensor in after.items() if not torch.equal(tensor, best[name])] == []
    assert not any(tensor.requires_grad for tensor in used.network.parameters())


def test_they_are_extracted_once(run, material, tmp_path):
    first = extracted(tmp_path, run, material)
    told = list(extract_embeddings(tmp_path, backbone(run), material, facts(material), CPU, "a-run"))
    assert not any(isinstance(event, Progress) for event in told)
    assert any("extracted before" in event.text for event in told if isinstance(event, Note))
    again = extracted(tmp_path, run, material)
    assert all(np.array_equal(first[split], again[split]) for split in first)
    extracted(tmp_path, run, material, "dense128")
    assert len(list(tmp_path.iterdir())) == 2


def test_a_head_that_learned_something_else_leaves_pooled_embeddings_as_they_are(run):
    other = backbone(run)
    with torch.no_grad():
        other.network.fc[0].weight.add_(1)
    assert other.identity(CPU) == backbone(run).identity(CPU)
    dense = backbone(run, "dense128")
    with torch.no_grad():
        dense.network.fc[0].weight.add_(1)
    assert dense.identity(CPU) != backbone(run, "dense128").identity(CPU)
    with torch.no_grad():
        other.network.bn1.running_mean.add_(1)
    assert other.identity(CPU) != backbone(run).identity(CPU)
    # one that is taken up goes on with a batch
    assert replace(backbone(run), batch_size=8).identity(CPU) != backbone(run).identity(CPU), (
        "they are taken up by batches"
    )


def test_stopped_after_any_batch_they_end_as_undisturbed_ones(run, material, tmp_path, monkeypatch):
    monkeypatch.setattr(frozen_features, "SECONDS_BETWEEN_WRITES", 0)
    calm = extracted(tmp_path / "calm", run, material)
    for batches in (1, 3, 2):
        events = extract_embeddings(tmp_path / "stopped", backbone(run), material, facts(material), CPU, "a-run")
        for _ in range(batches):
            next(events)
        events.close()
    stopped = extracted(tmp_path / "stopped", run, material)
    assert all(np.array_equal(calm[split], stopped[split]) for split in calm)


def copied(place, run, material, other):
    """The embeddings of this run where those of another belong."""
    extracted(place, run, material)
    source = folder_in(place)
    events = extract_embeddings(place / "others", *other, facts(other[1]), CPU, "a-run")
    next(events)
    events.close()
    target = folder_in(place / "others")
    shutil.rmtree(target)
    shutil.copytree(source, target)
    return extract_embeddings(place / "others", *other, facts(other[1]), CPU, "a-run")


def test_those_of_another_backbone_are_refused(run, material, tmp_path):
    other = backbone(run)
    with torch.no_grad():
        other.network.conv1[0].weight.mul_(2)
    with pytest.raises(DataError, match=r"belong to another backbone$") as refusal:
        returned(copied(tmp_path, run, material, (other, material)))
    assert "remove that folder" in refusal.value.hint


def test_those_of_another_dataset_are_refused(run, material, tmp_path):
    elsewhere = replace(material, dataset=replace(material.dataset, content_hash="0" * 64))
    with pytest.raises(DataError, match=r"belong to another dataset$"):
        returned(copied(tmp_path, run, material, (backbone(run), elsewhere)))


def turned(file):
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize(
    "harm",
    [
        lambda folder: turned(folder / "train.npy"),
        lambda folder: (folder / "val.npy").unlink(),
        lambda folder: (folder / "account.json").write_text('{"of":'),
    ],
    ids=["a turned bit", "gone", "a cut account"],
)
def test_what_is_no_longer_as_it_was_written_is_refused(run, material, tmp_path, harm):
    extracted(tmp_path, run, material)
    folder = folder_in(tmp_path)
    harm(folder)
    with pytest.raises(DataError, match="are damaged"):
        extracted(tmp_path, run, material)


def test_two_never_extract_the_same_ones_at_once_the_second_waits_and_finds_them(run, material, tmp_path, monkeypatch):
    monkeypatch.setattr(gpu_lock, "POLL_SECONDS", 0.05)
    first = extract_embeddings(tmp_path, backbone(run), material, facts(material), CPU, "the-first-run")
    next(first)
    second = extract_embeddings(tmp_path, backbone(run), material, facts(material), CPU, "the-second-run")
    assert "the-first-run uses it" in next(second).text
    assert "waiting for" in next(second).name
    list(first)
    told = [event.text for event in second if isinstance(event, Note)]
    assert len(told) == 1
    assert "extracted before" in told[0]


def test_another_arithmetic_makes_embeddings_of_its_own(run):
    """Else a run that is stopped here and goes on there would leave one file of both."""
    used, deterministic = backbone(run), torch.are_deterministic_algorithms_enabled()
    here = used.identity(CPU)
    assert here["way"]["torch"] == torch.__version__
    assert here["way"]["device_name"] == "CPU"
    try:
        torch.set_num_threads(2)
        assert used.identity(CPU) != here
        torch.set_num_threads(1)
        assert used.identity(CPU) == here
        torch.use_deterministic_algorithms(not deterministic)
        assert used.identity(CPU) != here
    finally:
        torch.set_num_threads(1)
        torch.use_deterministic_algorithms(deterministic)


@pytest.mark.parametrize("alike", [False, True], ids=["", "all images alike"])
def test_embeddings_of_one_number_are_drawn_along_a_line(material, alike):
    found = {
        split: np.arange(len(getattr(material, split)), dtype=np.float32)[:, None] * (not alike)
        for split in ("train", "val", "test")
    }
    drawn = project_embeddings(found, material, "pca", 7)
    assert (drawn.table["y"] == 0).all()
    assert drawn.axes[0] == f"component 1 ({0 if alike else 100}% of the variance)"
    assert len(set(drawn.table["x"])) == (1 if alike else 36)
    assert project_embeddings(found, material, "tsne", 7).table[["x", "y"]].notna().all(axis=None)


def test_a_network_without_a_hidden_layer_has_no_dense_embedding(run):
    plain = finish_run(make_train_run(run.workspace, "ResNet18_CFT", architecture="test_resnet", epochs=1))
    with pytest.raises(SettingsError, match="has no hidden layer") as refusal:
        backbone(plain, "dense128")
    assert refusal.value.fields == ("embedding",)
