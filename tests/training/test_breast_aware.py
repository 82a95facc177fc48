"""What a classifier learns from when it is told where the breast is, and from images without a label: each term by its
formula, beside the plain loss."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import timm
import torch

from tests.faults.mishaps import SWIN, make_swin_small
from tests.faults.test_exact_resume import learned, unequal
from tests.returned import returned
from tests.training.small_dataset import finish_run, make_small_dataset, make_train_run
from tests.training.small_training import SmallTrainings, take_steps, train_to_end
from tests.training.test_fit import flat
from tfm.commands.train import Train
from tfm.core.errors import SettingsError, TFMError
from tfm.core.settings.resolve import resolve
from tfm.models.attention import find_attentions, get_query_key, record_attention
from tfm.models.features import (
    average_breast,
    classify_pooled,
    compare_to_background,
    compute_feature_map,
    resize_to_features,
)
from tfm.models.spectral_loss import SpectralNorms, compute_excess
from tfm.training.batches import Batch, mirror_batch
from tfm.training.checkpoint import read_checkpoint
from tfm.training.inference import predict_logits
from tfm.training.inputs.samples import UNKNOWN
from tfm.training.settings import BreastSettings, LabelSettings, MaskSettings
from tfm.training.tasks.breast_aware import BreastAwareClassification, describe_missing_terms
from tfm.training.tasks.classification import Classification
from tfm.training.tasks.reconstruction import Reconstruction
from tfm.training.tasks.semi_supervised import _DECAY, SemiSupervised, Teacher

PLAIN = Classification(label_smoothing=0.1, malignant_weight=2.0)


@pytest.fixture(scope="module")
def trainings(tmp_path_factory):
    return SmallTrainings(tmp_path_factory.mktemp("trainings"))


def swin():
    torch.manual_seed(4)
    size = {"img_size": 32, "window_size": 4, "embed_dim": 8, "depths": (2, 2), "num_heads": (1, 2)}
    return timm.create_model(SWIN, in_chans=1, num_classes=1, **size).eval()


def batch(labels=(0.0, 1.0, 1.0)):
    """Half a breast, a breast that fills the image, and a small one."""
    breast = torch.zeros(3, 1, 32, 32, dtype=torch.uint8)
    breast[0, ..., :16] = 1
    breast[1] = 1
    breast[2, :, 20:, :6] = 1
    images = torch.randn(3, 1, 32, 32, generator=torch.Generator().manual_seed(2))
    return Batch(images, {"breast": breast, "labels": torch.tensor(labels)})


def test_with_every_weight_at_zero_it_is_the_plain_classifier():
    network, one = swin(), BreastAwareClassification(PLAIN, BreastSettings(), None)
    ours, theirs = (task.loss(network, batch())[0].item() for task in (one, PLAIN))
    assert ours == pytest.approx(theirs, rel=1e-5)


def test_the_breasts_features_are_classified_where_that_is_wanted():
    network, given = swin(), batch()
    one = BreastAwareClassification(PLAIN, BreastSettings(pooling="breast"), None)
    features = compute_feature_map(network, given.images)
    exact = classify_pooled(network, average_breast(features, resize_to_features(given.targets["breast"], features)))
    answers = one.predict(network, given)
    assert torch.allclose(answers[:, :1], exact)
    assert not torch.allclose(answers[0, 0], network(given.images)[0, 0]), "half a breast is not the whole image"
    assert torch.allclose(answers[1, 0], network(given.images)[1, 0]), "a breast that fills the image is"


@pytest.mark.parametrize("term", ["background_contrast", "beta", "attention_gamma"])
def test_each_term_is_added_with_its_weight(term):
    network, given = swin(), batch()
    with torch.no_grad(), record_attention(find_attentions(network)) as maps:
        features = compute_feature_map(network, given.images)
    exact = {
        "background_contrast": compare_to_background(features, resize_to_features(given.targets["breast"], features))[
            0
        ].sum(),
        "beta": 3 * SpectralNorms(network)(network),  # once an image: the loop divides by them
        "attention_gamma": compute_excess(maps, [one.window_size for one in find_attentions(network)], 3).sum(),
    }[term].item()
    terms = BreastSettings(**{term: 0.5})
    one = BreastAwareClassification(PLAIN, terms, SpectralNorms(network) if term == "beta" else None)
    added = one.loss(network, given)[0] - PLAIN.loss(network, given)[0]
    assert exact != 0
    assert added.item() == pytest.approx(0.5 * exact, rel=1e-3, abs=1e-5)


def test_validation_tells_likeness_over_the_images_that_have_a_background_and_the_excess_over_all():
    network, given = swin(), batch()
    one = BreastAwareClassification(PLAIN, BreastSettings(background_contrast=0.1, attention_gamma=0.1), None)
    answers = one.predict(network, given).detach()
    figures = one.compute_val_metrics(answers, np.array([0, 1, 1]))
    assert answers[:, 2].tolist() == [1, 0, 1]
    assert figures["val_likeness"] == pytest.approx((answers[0, 1] + answers[2, 1]).item() / 2)
    assert figures["val_excess"] == pytest.approx(answers[:, 3].mean().item())
    assert {*figures, "train_accuracy", "train_auc"} == set(one.columns)


def test_the_terms_do_what_they_are_for():
    """A few steps of each alone bring its own figure down."""
    for term in ("background_contrast", "beta", "attention_gamma"):
        network, given = swin(), batch()
        for attention in find_attentions(network):
            attention.qkv.weight.data.mul_(20)
        norms = SpectralNorms(network) if term == "beta" else None
        one = BreastAwareClassification(PLAIN, BreastSettings(**{term: 10.0}), norms)
        optimizer = torch.optim.Adam(network.parameters(), 1e-2)
        losses = []
        for _ in range(15):
            optimizer.zero_grad()
            one.start_step(network)
            loss, _ = one.loss(network, given)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert losses[-1] < losses[0], term
        if norms:
            largest = [
                torch.linalg.svdvals(get_query_key(one).detach())[:, 0].max() for one in find_attentions(network)
            ]
            before = [
                20 * torch.linalg.svdvals(get_query_key(one).detach())[:, 0].max() for one in find_attentions(swin())
            ]
            assert all(now < then for now, then in zip(largest, before, strict=True))


# --- images without a label -------------------------------------------------------------------------------------------


HIDDEN = (0.0, float(UNKNOWN), float(UNKNOWN))


def test_an_unknown_label_adds_nothing_to_the_loss_nor_to_the_figures():
    network, given = swin(), batch(HIDDEN)
    loss, _ = PLAIN.loss(network, given)
    first = Batch(given.images[:1], {"labels": given.targets["labels"][:1]})
    assert loss.item() == pytest.approx(PLAIN.loss(network, first)[0].item(), rel=1e-5)
    told = PLAIN.compute_train_metrics(torch.tensor([[1.0], [-1.0], [9.0], [-9.0]]), np.array([1, 0, UNKNOWN, UNKNOWN]))
    assert told == {"train_accuracy": 1.0, "train_auc": 1.0}


def test_a_sure_answer_is_taken_as_a_label_and_an_unsure_one_is_not():
    network, given = swin(), batch(HIDDEN)
    answer = torch.sigmoid(network(given.images))[:, 0].detach()
    sure = torch.maximum(answer, 1 - answer)
    between = float(sure[1:].sum() / 2)  # one of the two is surer than that
    one = SemiSupervised(PLAIN, LabelSettings(unlabelled="pseudo", confidence=between, unlabelled_weight=3.0), None)
    loss, answers = one.loss(network, given)
    surer = 1 + int(sure[1:].argmax())
    own = -torch.log(sure[surer])
    assert (loss - PLAIN.loss(network, given)[0]).item() == pytest.approx(3 * own.item(), rel=1e-4)
    told = one.compute_train_metrics(answers.detach(), np.array([0, 1, UNKNOWN]))
    assert told["train_trusted"] == float(surer == 2), "of the images without a label"


def test_the_teacher_is_the_moving_average_and_is_asked_about_the_mirror_image():
    network, given = swin(), batch(HIDDEN)
    one = SemiSupervised(PLAIN, LabelSettings(unlabelled="consistency", unlabelled_weight=3.0), Teacher(network))
    before = copy.deepcopy(network)
    with torch.no_grad():
        for tensor in network.parameters():
            tensor.add_(torch.randn_like(tensor), alpha=0.05)
    one.start_step(network)
    loss, _ = one.loss(network, given)
    averaged = copy.deepcopy(before)
    for own, other in zip(averaged.parameters(), network.parameters(), strict=True):
        own.data = _DECAY * own.data + (1 - _DECAY) * other.data
    wanted, said = (
        torch.sigmoid(asked).detach()[1:, 0] for asked in (averaged(mirror_batch(given).images), network(given.images))
    )
    exact = 3 * (wanted - said).square().sum().item()
    assert (loss - PLAIN.loss(network, given)[0]).item() == pytest.approx(exact, rel=1e-3, abs=1e-6)
    loss.backward()
    assert all(tensor.grad is None for tensor in one.teacher.network.parameters()), "the teacher is not taught"


# --- in the loop ------------------------------------------------------------------------------------------------------


EVERYTHING = {"architecture": SWIN, "pooling": "breast", "background_contrast": 0.1, "beta": 0.01}
EVERYTHING |= {"attention_gamma": 0.01, "label_percent": 50}


@pytest.mark.parametrize("unlabelled", ["ignore", "pseudo", "consistency"])
def test_stopped_and_rebuilt_it_ends_the_same_to_the_bit(trainings, monkeypatch, unlabelled):
    make_swin_small(monkeypatch)
    monkeypatch.setattr("tfm.training.checkpoint.WRITE_SHARE", 0)
    given = EVERYTHING | {"unlabelled": unlabelled, "batch_size": 2, "confidence": 0.55, "epochs": 2}
    if unlabelled != "pseudo":
        del given["confidence"]
    calm = learned(trainings, given, {})
    assert any(place.startswith("last/task/") for place in calm)
    assert unequal(calm, learned(trainings, given, {}, [1, 3])) == []


def test_norms_and_teacher_move_once_a_step_however_many_batches_it_has(trainings, monkeypatch):
    make_swin_small(monkeypatch)
    given = EVERYTHING | {"unlabelled": "consistency", "batch_size": 2, "accumulate": 4}
    training = trainings.make(given)
    first = copy.deepcopy(training.network)
    second = copy.deepcopy(take_steps(training, trainings.new_folder()).network)
    kept = take_steps(training, trainings.new_folder()).task.state_dict()
    assert training.state.step == 2
    norms = SpectralNorms(first)
    for network in (first, second):
        norms.advance(network)
    assert all(torch.equal(kept[shape], vectors) for shape, vectors in norms.vectors.items())
    for name, tensor in first.named_parameters():
        averaged = _DECAY * tensor + (1 - _DECAY) * second.get_parameter(name)
        assert torch.allclose(kept[f"teacher.{name}"], averaged, atol=1e-7)


def test_predictions_know_the_breast_and_mirror_it_with_its_image(trainings, monkeypatch):
    make_swin_small(monkeypatch)
    training = train_to_end(trainings.make(EVERYTHING | {"epochs": 1, "batch_size": 4}), trainings.new_folder())
    said = returned(predict_logits(training.task, training.evaluated_network, training.val, 4, "val", tta=True))
    chosen = np.arange(len(training.val.samples))
    given = Batch(training.val.load(chosen), training.val.load_targets(chosen, {"breast"}))
    training.evaluated_network.eval()
    with torch.no_grad():
        both = [training.task.predict(training.evaluated_network, one)[:, 0] for one in (given, mirror_batch(given))]
    assert torch.allclose(said[:, 0], sum(both) / 2, atol=1e-5)


def test_a_run_of_it_all_leaves_what_every_run_leaves(workspace, monkeypatch):
    make_swin_small(monkeypatch)
    make_small_dataset(workspace)
    run = finish_run(make_train_run(workspace, "ResNet18_CFT", **EVERYTHING, unlabelled="pseudo", epochs=1))
    assert len(run.read_environment()["patients_seen"]) == 26, "those without a label are seen too"
    assert "task" in read_checkpoint(run.checkpoints_folder / "last.pt")
    assert not any(place.startswith("/task") for place in flat(read_checkpoint(run.checkpoints_folder / "best.pt")))
    few = finish_run(make_train_run(workspace, "ResNet18_CFT", architecture="test_resnet", label_percent=50, epochs=1))
    assert len(few.read_environment()["patients_seen"]) == 8 + 2 * round(9 * 0.5)


def test_images_that_lack_breast_or_background_are_counted_and_told(trainings):
    breast = np.array(trainings.cache.breast)
    breast[trainings.train.positions[0]] = 0
    breast[trainings.train.positions[1:3]] = 1
    images = replace(trainings.make().train, cache=replace(trainings.cache, breast=breast))
    told = describe_missing_terms(BreastSettings(pooling="breast", background_contrast=0.1), images)
    assert [words.partition(":")[0] for words in told] == [
        "1 of the 8 images have no breast",
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
def test_what_a_network_cannot_do_is_refused_by_name(trainings, wrong, field):
    with pytest.raises(TFMError) as refusal:
        train_to_end(trainings.make(wrong), trainings.new_folder())
    assert isinstance(refusal.value, SettingsError)
    assert field in refusal.value.fields


OF_FEATURES = ("background_contrast", "beta", "attention_gamma")  # which have no gradient where these are frozen


def test_vectors_of_norms_that_it_does_not_have_are_not_its_own():
    strange = SpectralNorms(swin()).vectors
    rebuilding = Reconstruction(MaskSettings(), "breast", 0.0, None, (32, 32))
    for task in (PLAIN, BreastAwareClassification(PLAIN, BreastSettings(pooling="breast"), None), rebuilding):
        with pytest.raises(ValueError, match="more than a network learns from"):
            task.load_state_dict(strange)


@pytest.mark.parametrize(
    "idle",
    [
        {"unlabelled": "pseudo"},
        {"label_percent": 10, "confidence": 0.8},
        {"label_percent": 10, "unlabelled": "pseudo", "balance": "sampling"},
        {"trained": "none", "pooling": "breast"},
        *({"trained": trained, name: 0.1} for trained in ("head", "none") for name in OF_FEATURES),
    ],
)
def test_what_would_do_nothing_is_refused(idle):
    with pytest.raises(SettingsError, match="no effect"):
        resolve(Train, {}, {"dataset": "d", "cache": "c"} | idle)
