"""Feature maps in one layout for every encoder, and averages over the breast."""

import pytest
import torch

from tests.models.encoders import ENCODERS, SWIN, build_encoder
from tfm.core.errors import SettingsError
from tfm.models.build import build_model
from tfm.models.features import (
    average_breast,
    check_averaging,
    classify_pooled,
    compare_to_background,
    compute_feature_map,
    resize_to_features,
)
from tfm.models.settings import ModelSettings


@pytest.mark.parametrize("name", ENCODERS)
def test_classifying_averaged_features_equals_the_network(name):
    network, images = build_encoder(name), torch.randn(2, 1, 64, 64)
    features = compute_feature_map(network, images)
    assert features.shape == (2, network.num_features, 2, 2)
    everywhere = resize_to_features(torch.ones(2, 1, 64, 64, dtype=torch.uint8), features)
    assert torch.allclose(classify_pooled(network, average_breast(features, everywhere)), network(images), atol=1e-5)


@pytest.mark.parametrize(("name", "size"), [("resnet18", (512, 384)), (SWIN, (128, 192))])
def test_feature_map_is_aligned_with_the_image(name, size):
    """Change one corner of the image: the map changes most near that corner."""
    network, images = build_encoder(name, **({"img_size": size} if name == SWIN else {})), torch.zeros(1, 1, *size)
    changed = images.clone()
    changed[..., :32, -32:] = 5
    apart = (compute_feature_map(network, changed) - compute_feature_map(network, images)).abs().sum(1)[0]
    down, right = divmod(int(apart.argmax()), apart.shape[1])
    assert down < apart.shape[0] / 4
    assert right >= apart.shape[1] * 3 / 4


@pytest.mark.parametrize("name", ["MammoCNN", "vit_tiny_patch16_224"])
def test_network_without_a_feature_map_is_refused(name):
    network = build_model(ModelSettings(architecture=name), (64, 64))
    with pytest.raises(SettingsError, match=type(network).__name__) as refusal:
        compute_feature_map(network, torch.zeros(1, 1, 64, 64))
    assert refusal.value.fields == ("architecture",)


@pytest.mark.parametrize("name", ["resnet50_clip", "vgg11"])
def test_network_that_does_not_pool_by_average_is_refused(name):
    network = build_model(ModelSettings(architecture=name), (64, 64))
    with pytest.raises(SettingsError, match=f"{type(network).__name__} does not classify the average") as refusal:
        check_averaging(network, (64, 64))
    assert "architecture" in refusal.value.fields


@pytest.mark.parametrize("name", ENCODERS)
def test_checking_average_pooling_changes_nothing(name):
    network = build_encoder(name).train()
    before = {part: tensor.clone() for part, tensor in network.state_dict().items()}
    check_averaging(network, (64, 64))
    assert all(module.training for module in network.modules())
    assert all(torch.equal(tensor, before[part]) for part, tensor in network.state_dict().items())


def make_breast_masks():
    """Half the image, the whole image, none, and a breast that ends inside a place of the map."""
    masks = torch.zeros(4, 1, 64, 96, dtype=torch.uint8)
    masks[0, ..., :48] = 1
    masks[1] = 1
    masks[3, :, :40, :20] = 1
    return masks


def average_by_loop(features, weight):
    """Average (C, h, w) weighted by (h, w), place by place."""
    total, mass = torch.zeros(len(features), dtype=features.dtype), 0.0
    for down in range(weight.shape[0]):
        for right in range(weight.shape[1]):
            total += features[:, down, right] * weight[down, right]
            mass += float(weight[down, right])
    return total / mass


def test_average_weighs_each_place_by_its_share_of_breast():
    features = torch.randn(4, 5, 2, 3)
    share = resize_to_features(make_breast_masks(), features)
    assert share[3, 0].tolist() == [[pytest.approx(20 / 32), 0, 0], [pytest.approx(20 / 32 * 8 / 32), 0, 0]]
    pooled = average_breast(features, share)
    for image in (0, 1, 3):
        assert torch.allclose(pooled[image], average_by_loop(features[image], share[image, 0]), atol=1e-6)
    assert torch.allclose(pooled[2], features[2].mean((1, 2)), atol=1e-6), "without a breast, the whole image counts"


def test_breast_and_background_are_compared_only_in_images_with_both():
    features = torch.randn(4, 5, 2, 3, requires_grad=True)
    share = resize_to_features(make_breast_masks(), features)
    cosine, both = compare_to_background(features, share)
    assert both.tolist() == [True, False, False, True]
    for image in (0, 3):
        inside, outside = (average_by_loop(features[image], part) for part in (share[image, 0], 1 - share[image, 0]))
        exact = (inside @ outside) / (inside.norm() * outside.norm())
        assert cosine[image].item() == pytest.approx(exact.item(), abs=1e-6)
    assert cosine[[1, 2]].tolist() == [0, 0]
    cosine.sum().backward()
    assert features.grad.isfinite().all()
    assert features.grad[[1, 2]].abs().sum() == 0
    assert (features.grad[[0, 3]].abs().sum((1, 2, 3)) > 0).all()


def test_gradients_of_average_and_comparison_pass_gradcheck():
    features = torch.randn(4, 3, 2, 3, dtype=torch.float64, requires_grad=True)
    share = resize_to_features(make_breast_masks(), features).double()
    assert torch.autograd.gradcheck(lambda given: compare_to_background(given, share)[0], features)
    assert torch.autograd.gradcheck(lambda given: average_breast(given, share), features)
