"""Classification with the breast mask: each term of the loss against its formula."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.faults.mishaps import SWIN, make_swin_small
from tests.returned import returned
from tests.training.results import list_unequal, train_with_stops
from tests.training.small_dataset import finish_run, make_small_dataset, make_train_run
from tests.training.small_training import SmallTrainings, take_steps, train_to_end
from tests.training.tasks.swin_batch import PLAIN, make_batch, make_swin
from tfm.commands.train import Train
from tfm.core.errors import SettingsError, TFMError
from tfm.core.settings.resolve import resolve
from tfm.models.attention_spectral_loss import SpectralNorms, compute_excess
from tfm.models.features import (
    average_breast,
    classify_pooled,
    compare_to_background,
    compute_feature_map,
    resize_to_features,
)
from tfm.models.record_attention import find_attentions, get_query_key, record_attention
from tfm.training.batches import Batch, mirror_batch
from tfm.training.checkpoint import read_checkpoint
from tfm.training.inference import predict_logits
from tfm.training.results import flatten_checkpoint
from tfm.training.settings import BreastSettings, MaskSettings
from tfm.training.tasks.breast_aware_classification import BreastAwareClassification, describe_missing_terms
from tfm.training.tasks.reconstruction import Reconstruction
from tfm.training.tasks.semi_supervised import DECAY

EVERYTHING = {
    "architecture": SWIN,
    "pooling": "breast",
    "background_contrast": 0.1,
    "beta": 0.01,
    "attention_gamma": 0.01,
    "label_percent": 50,
}


@pytest.fixture(scope="module")
def trainings(tmp_path_factory):
    return SmallTrainings(tmp_path_factory.mktemp("trainings"))


def test_zero_weights_give_the_plain_classifier():
    network, breast_aware = make_swin(), BreastAwareClassification(PLAIN, BreastSettings(), None)
    ours, theirs = (task.compute_loss(network, make_batch())[0].item() for task in (breast_aware, PLAIN))
    assert ours == pytest.approx(theirs, rel=1e-5)


def test_breast_pooling_classifies_the_features_of_the_breast():
    network, batch = make_swin(), make_batch()
    task = BreastAwareClassification(PLAIN, BreastSettings(pooling="breast"), None)
    features = compute_feature_map(network, batch.images)
    exact = classify_pooled(network, average_breast(features, resize_to_features(batch.targets["breast"], features)))
    outputs = task.predict(network, batch)
    assert torch.allclose(outputs[:, :1], exact)
    assert not torch.allclose(outputs[0, 0], network(batch.images)[0, 0]), "half a breast differs from the whole image"
    assert torch.allclose(outputs[1, 0], network(batch.images)[1, 0]), "a breast that fills the image does not"


@pytest.mark.parametrize("term", ["background_contrast", "beta", "attention_gamma"])
def test_each_term_is_added_with_its_weight(term):
    network, batch = make_swin(), make_batch()
    with torch.no_grad(), record_attention(find_attentions(network)) as maps:
        features = compute_feature_map(network, batch.images)
    exact = {
        "background_contrast": compare_to_background(features, resize_to_features(batch.targets["breast"], features))[
            0
        ].sum(),
        "beta": 3 * SpectralNorms(network)(network),  # once for each image: the loop divides by their number
        "attention_gamma": compute_excess(
            maps, [attention.window_size for attention in find_attentions(network)], 3
        ).sum(),
    }[term].item()
    terms = BreastSettings(**{term: 0.5})
    task = BreastAwareClassification(PLAIN, terms, SpectralNorms(network) if term == "beta" else None)
    added = task.compute_loss(network, batch)[0] - PLAIN.compute_loss(network, batch)[0]
    assert exact != 0
    assert added.item() == pytest.approx(0.5 * exact, rel=1e-3, abs=1e-5)


def test_likeness_averages_images_with_a_background_and_excess_averages_all():
    network, batch = make_swin(), make_batch()
    task = BreastAwareClassification(PLAIN, BreastSettings(background_contrast=0.1, attention_gamma=0.1), None)
    outputs = task.predict(network, batch).detach()
    metrics = task.compute_val_metrics(outputs, np.array([0, 1, 1]))
    assert outputs[:, 2].tolist() == [1, 0, 1]
    assert metrics["val_likeness"] == pytest.approx((outputs[0, 1] + outputs[2, 1]).item() / 2)
    assert metrics["val_excess"] == pytest.approx(outputs[:, 3].mean().item())
    assert {*metrics, "train_accuracy", "train_auc"} == set(task.columns)


def test_training_on_a_term_lowers_it():
    for term in ("background_contrast", "beta", "attention_gamma"):
        network, batch = make_swin(), make_batch()
        for attention in find_attentions(network):
            attention.qkv.weight.data.mul_(20)
        norms = SpectralNorms(network) if term == "beta" else None
        task = BreastAwareClassification(PLAIN, BreastSettings(**{term: 10.0}), norms)
        optimizer = torch.optim.Adam(network.parameters(), 1e-2)
        losses = []
        for _ in range(15):
            optimizer.zero_grad()
            task.start_step(network)
            loss, _ = task.compute_loss(network, batch)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert losses[-1] < losses[0], term
        if norms:
            largest = [
                torch.linalg.svdvals(get_query_key(attention).detach())[:, 0].max()
                for attention in find_attentions(network)
            ]
            before = [
                20 * torch.linalg.svdvals(get_query_key(attention).detach())[:, 0].max()
                for attention in find_attentions(make_swin())
            ]
            assert all(now < then for now, then in zip(largest, before, strict=True))


@pytest.mark.parametrize("unlabelled", ["ignore", "pseudo", "consistency"])
def test_all_terms_end_bit_identical_after_stops(trainings, monkeypatch, unlabelled):
    make_swin_small(monkeypatch)
    monkeypatch.setattr("tfm.training.checkpoint.WRITE_SHARE", 0)
    batch = EVERYTHING | {"unlabelled": unlabelled, "batch_size": 2, "confidence": 0.55, "epochs": 2}
    if unlabelled != "pseudo":
        del batch["confidence"]
    undisturbed = train_with_stops(trainings, batch, {})
    assert any(place.startswith("last/task/") for place in undisturbed)
    assert list_unequal(undisturbed, train_with_stops(trainings, batch, {}, [1, 3])) == []


def test_norms_and_teacher_are_updated_once_per_step(trainings, monkeypatch):
    make_swin_small(monkeypatch)
    batch = EVERYTHING | {"unlabelled": "consistency", "batch_size": 2, "accumulate": 4}
    training = trainings.make(batch)
    first = copy.deepcopy(training.network)
    second = copy.deepcopy(take_steps(training, trainings.new_folder()).network)
    kept = take_steps(training, trainings.new_folder()).task.state_dict()
    assert training.state.step == 2
    norms = SpectralNorms(first)
    for network in (first, second):
        norms.advance(network)
    assert all(torch.equal(kept[shape], vectors) for shape, vectors in norms.vectors.items())
    for name, tensor in first.named_parameters():
        averaged = DECAY * tensor + (1 - DECAY) * second.get_parameter(name)
        assert torch.allclose(kept[f"teacher.{name}"], averaged, atol=1e-7)


def test_tta_mirrors_the_breast_mask_with_its_image(trainings, monkeypatch):
    make_swin_small(monkeypatch)
    training = train_to_end(trainings.make(EVERYTHING | {"epochs": 1, "batch_size": 4}), trainings.new_folder())
    logits = returned(predict_logits(training.task, training.evaluated_network, training.val, 4, "val", tta=True))
    chosen = np.arange(len(training.val.samples))
    batch = Batch(training.val.load(chosen), training.val.load_targets(chosen, {"breast"}))
    training.evaluated_network.eval()
    with torch.no_grad():
        both = [training.task.predict(training.evaluated_network, one)[:, 0] for one in (batch, mirror_batch(batch))]
    assert torch.allclose(logits[:, 0], sum(both) / 2, atol=1e-5)


def test_run_with_all_terms_records_patients_and_task_state(workspace, monkeypatch):
    make_swin_small(monkeypatch)
    make_small_dataset(workspace)
    run = finish_run(make_train_run(workspace, "ResNet18_CFT", **EVERYTHING, unlabelled="pseudo", epochs=1))
    assert len(run.read_environment()["patients_seen"]) == 26, "patients without a label count as seen too"
    assert "task" in read_checkpoint(run.checkpoints_folder / "last.pt")
    assert not any(
        place.startswith("/task") for place in flatten_checkpoint(read_checkpoint(run.checkpoints_folder / "best.pt"))
    )
    few = finish_run(make_train_run(workspace, "ResNet18_CFT", architecture="test_resnet", label_percent=50, epochs=1))
    assert len(few.read_environment()["patients_seen"]) == 8 + 2 * round(9 * 0.5)


def test_images_without_breast_or_background_are_counted(trainings):
    breast = np.array(trainings.cache.breast)
    breast[trainings.train.positions[0]] = 0
    breast[trainings.train.positions[1:3]] = 1
    images = replace(trainings.make().train, cache=replace(trainings.cache, breast=breast))
    sentences = describe_missing_terms(BreastSettings(pooling="breast", background_contrast=0.1), images)
    assert [words.partition(":")[0] for words in sentences] == [
        "1 of the 8 images have an empty breast mask",
        "3 of the 8 images have no breast or no background",
    ]
    assert describe_missing_terms(BreastSettings(), images) == []


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"architecture": "test_resnet", "attention_gamma": 0.1}, "attention_gamma"),
        ({"architecture": "test_resnet", "beta": 0.1}, "beta"),
        ({"architecture": "test_resnet", "pooling": "breast", "compile": True}, "compile"),
    ],
)
def test_term_that_the_network_cannot_use_is_refused_by_name(trainings, wrong, field):
    with pytest.raises(TFMError) as refusal:
        train_to_end(trainings.make(wrong), trainings.new_folder())
    assert isinstance(refusal.value, SettingsError)
    assert field in refusal.value.fields


def test_task_without_norms_refuses_their_state():
    state = SpectralNorms(make_swin()).vectors
    reconstruction = Reconstruction(MaskSettings(), "breast", 0.0, None, (32, 32))
    for task in (PLAIN, BreastAwareClassification(PLAIN, BreastSettings(pooling="breast"), None), reconstruction):
        with pytest.raises(ValueError, match="state"):
            task.load_state_dict(state)


@pytest.mark.parametrize(
    "idle",
    [
        {"unlabelled": "pseudo"},
        {"label_percent": 10, "confidence": 0.8},
        {"label_percent": 10, "unlabelled": "pseudo", "balance": "sampling"},
        {"trained": "none", "pooling": "breast"},
        *(
            {"trained": trained, name: 0.1}
            for trained in ("head", "none")
            for name in ("background_contrast", "beta", "attention_gamma")
        ),
    ],
)
def test_setting_without_effect_is_refused(idle):
    with pytest.raises(SettingsError, match="no effect"):
        resolve(Train, {}, {"dataset": "d", "cache": "c"} | idle)
