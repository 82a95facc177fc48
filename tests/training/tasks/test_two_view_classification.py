"""Both views of a breast classified together: same probability, no effect of the order, breasts with one view."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from tests.returned import returned
from tests.training.results import list_unequal, train_with_stops
from tests.training.small_dataset import PATIENTS, finish_run, make_small_dataset, make_train_run, rewrite_manifest
from tests.training.small_training import SmallTrainings, train_to_end
from tfm.core.errors import SettingsError
from tfm.core.events import Note
from tfm.core.runs import worker
from tfm.core.runs.find_or_create import find_or_create_job
from tfm.models.two_views import classify_together
from tfm.training import augment
from tfm.training.inference import predict_logits
from tfm.training.inputs.samples import Samples
from tfm.training.loop import draw_changes, make_training_batch

TWO_VIEWS = {"two_views": True}


@pytest.fixture(scope="module")
def trainings(tmp_path_factory):
    return SmallTrainings(tmp_path_factory.mktemp("trainings"))


def make_samples(*images: str) -> Samples:
    rows = [(name, *name.split("_"), 0) for name in images]
    table = pd.DataFrame(rows, columns=["image_id", "patient_id", "side", "view", "label"])
    return Samples(table, np.arange(len(table)))


def test_other_view_is_of_the_same_breast():
    samples = make_samples("A_LEFT_CC", "A_LEFT_MLO", "A_RIGHT_CC", "A_RIGHT_MLO", "B_LEFT_CC", "B_LEFT_MLO")
    assert samples.other_views.tolist() == [1, 0, 3, 2, 5, 4]


def test_image_without_another_view_is_its_own():
    samples = make_samples("A_LEFT_CC", "A_RIGHT_MLO", "B_LEFT_CC", "B_LEFT_CC")
    assert samples.other_views.tolist() == [0, 1, 2, 3]


def predict(training, samples):
    images = replace(training.val, samples=samples)
    return returned(predict_logits(training.task, training.evaluated_network, images, 4, "val"))[:, 0]


def test_both_images_of_a_breast_get_the_same_probability(trainings):
    training = train_to_end(trainings.make(TWO_VIEWS | {"epochs": 1}), trainings.new_folder())
    logits = predict(training, training.val.samples)
    assert torch.allclose(logits, logits[training.val.samples.other_views], atol=1e-5)
    assert len(set(logits.round(decimals=4).tolist())) == len(logits) / 2


def test_breast_with_one_view_is_classified_as_an_image_alone(trainings):
    training = trainings.make(TWO_VIEWS)
    alone = training.val.samples.select(training.val.samples.table["view"].to_numpy() == "CC")
    network = training.evaluated_network.eval()
    with torch.no_grad():
        expected = network(replace(training.val, samples=alone).load(np.arange(len(alone))))[:, 0]
    assert torch.allclose(predict(training, alone), expected, atol=1e-6)


def test_classifier_sees_the_average_of_both_views(trainings):
    network = trainings.make(TWO_VIEWS).network.eval()
    images, others = torch.rand(2, 3, 1, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        together = classify_together(network, images, others)
        single = (network(images) + network(others)) / 2  # a linear classifier
    assert torch.allclose(together, single, atol=1e-6)
    assert torch.allclose(together, classify_together(network, others, images), atol=1e-6)


def test_hidden_layer_sees_both_views_before_it_decides(trainings):
    network = trainings.make(TWO_VIEWS | {"head": 8}).network.eval()
    images, others = torch.rand(3, 1, 64, 64, generator=torch.Generator().manual_seed(1)), torch.zeros(3, 1, 64, 64)
    for layer in (network.get_classifier()[0], network.get_classifier()[-1]):
        torch.nn.init.normal_(layer.weight, std=10)
    with torch.no_grad():
        single = (network(images) + network(others)) / 2
        assert not torch.allclose(classify_together(network, images, others), single, atol=1e-4)


def test_each_view_is_augmented_by_its_own_draws(trainings):
    training = trainings.make(TWO_VIEWS)
    count = len(training.train.samples)
    changes = draw_changes(training, 0, count)
    assert changes.shape == (count, 2 * augment.COLUMNS)
    places = np.arange(count)
    batch = make_training_batch(training, places, changes[places])
    part = make_training_batch(training, places[2:4], changes[2:4])
    assert torch.equal(part.targets["other_view"], batch.targets["other_view"][2:4])
    assert not torch.equal(batch.targets["other_view"], batch.images[training.train.samples.other_views])
    later = draw_changes(training, 1, count)
    assert not np.array_equal(later, changes)


def test_every_parameter_gets_a_gradient(trainings):
    training = trainings.make(TWO_VIEWS | {"head": 4})
    changes = draw_changes(training, 0, len(training.train.samples))
    batch = make_training_batch(training, np.arange(4), changes[:4])
    loss, _ = training.task.compute_loss(training.network, batch)
    loss.backward()
    assert all(tensor.grad is not None for tensor in training.network.parameters())


def test_training_ends_bit_identical_after_stops(trainings, monkeypatch):
    monkeypatch.setattr("tfm.training.checkpoint.WRITE_SHARE", 0)
    given = TWO_VIEWS | {"architecture": "test_resnet", "batch_size": 2, "epochs": 2}
    undisturbed = train_with_stops(trainings, given, {})
    assert list_unequal(undisturbed, train_with_stops(trainings, given, {}, [1, 3])) == []


@pytest.mark.parametrize("given", [{"pooling": "breast"}, {"lesion_guidance": "stride16"}, {"compile": True}])
def test_what_two_views_cannot_use_is_refused(workspace, given):
    make_small_dataset(workspace)
    with pytest.raises(SettingsError, match="a model of two views") as refusal:
        make_train_run(workspace, "TwoViews", **given)
    assert {*given, "two_views"} <= set(refusal.value.fields)


def test_network_without_a_single_classifier_is_refused_before_training(workspace):
    make_small_dataset(workspace)
    run = make_train_run(workspace, "TwoViews", architecture="deit_tiny_distilled_patch16_224")
    assert worker.execute_run(run, stopping=run) == "failed"
    assert "no single linear classifier at which two views could be joined" in run.read_status().message


def test_run_predicts_each_image_is_explained_and_counts_breasts_with_one_view(workspace):
    make_small_dataset(workspace)
    rewrite_manifest(workspace, lambda table: table[~table["image_id"].isin(["P_train03_LEFT_CC", "P_test03_LEFT_CC"])])
    run = finish_run(make_train_run(workspace, "TwoViews", architecture="test_resnet", epochs=1))
    notes = [event.text for event in run.read_events() if isinstance(event, Note)]
    assert "1 of the 35 training images have no other view: they are classified alone" in notes
    predictions = pd.read_csv(run.predictions_file("test"))
    assert len(predictions) == 2 * PATIENTS["test"] - 1
    assert (predictions.groupby(["patient_id", "side"])["prob"].agg(np.ptp) < 1e-5).all()
    known = {"run": run.id, "pictures": 3, "threads": 1, "device": "cpu"}
    finish_run(find_or_create_job(workspace, "explain", known))
    with pytest.raises(AssertionError, match="classifies two views together"):
        finish_run(find_or_create_job(workspace, "forest", {"backbone": run.id, "device": "cpu"}))
