"""Grad-CAM finds a planted patch at its place, and equals the published formula."""

import pytest
import timm
import torch
from torch import nn

from tests.analysis.explanation.planted import CASES, PATCH, WHOLE, find_peak, list_places, make_swin, plant
from tfm.analysis.explanation.attention_map import resize_to_images
from tfm.analysis.explanation.grad_cam import BENIGN, MALIGNANT, compute_grad_cam
from tfm.core.errors import SettingsError
from tfm.models.model_summary import find_explanation_layer


@pytest.mark.parametrize(("grid", "shifted"), CASES)
def test_grad_cam_of_each_class_finds_a_patch_at_every_place(grid, shifted):
    network = make_swin(grid, shifted=shifted)
    images, layer = plant(grid), find_explanation_layer(network)
    heat = compute_grad_cam(network, network, images, layer, "NHWC")
    assert [find_peak(one) for one in heat[:, MALIGNANT]] == list_places(grid)
    assert heat[:, BENIGN].abs().sum() == 0
    dark = compute_grad_cam(network, network, -images, layer, "NHWC")
    assert [find_peak(one) for one in dark[:, BENIGN]] == list_places(grid)
    assert dark[:, MALIGNANT].abs().sum() == 0


def test_grad_cam_of_a_frozen_convolution_finds_the_patch_and_a_wrong_layout_does_not():
    network = nn.Sequential(nn.Conv2d(1, 3, PATCH, PATCH, bias=False), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    network.append(nn.Linear(3, 1))
    for tensor in network.parameters():
        tensor.data.abs_()
        tensor.requires_grad = False
    heat = compute_grad_cam(network, network, plant(WHOLE), "0", "NCHW")
    assert [find_peak(one) for one in heat[:, MALIGNANT]] == list_places(WHOLE)
    scrambled = compute_grad_cam(network, network, plant(WHOLE), "0", "NHWC")
    assert [find_peak(one) for one in scrambled[:, MALIGNANT]] != list_places(WHOLE)


def split_network(layer):
    """Return a network, its part up to a layer, and the part behind."""
    torch.manual_seed(1)
    network = timm.create_model("test_resnet", in_chans=1, num_classes=1).eval()
    names = ["conv1", "bn1", "act1", "maxpool", "layer1", "layer2", "layer3", "layer4", "global_pool", "fc"]
    parts = [network.get_submodule(name) for name in names if hasattr(network, name)]
    after = 1 + parts.index(network.get_submodule(layer))
    return network, nn.Sequential(*parts[:after]), nn.Sequential(*parts[after:])


@pytest.mark.parametrize("layer", ["layer2", "layer3", "layer4"])
def test_grad_cam_equals_the_published_formula(layer):
    network, before, behind = split_network(layer)
    images = torch.randn(2, 1, 64, 64)
    heat = compute_grad_cam(network, network, images, layer, "NCHW")
    features = before(images).detach().requires_grad_()
    gradient = torch.autograd.grad(behind(features).sum(), features)[0]
    for image in (0, 1):
        evidence = sum(gradient[image, c].mean() * features[image, c] for c in range(features.shape[1])).detach()
        for label, sign in ((MALIGNANT, 1), (BENIGN, -1)):
            plain = resize_to_images((sign * evidence).clamp(min=0)[None], images)[0]
            assert torch.allclose(heat[image, label], plain, atol=1e-6)


def test_weights_by_place_are_another_map_before_the_last_layer():
    """Behind the last feature map the gradient is the same at all places, so its mean cannot be wrong there."""
    for layer, equal in (("layer4", True), ("layer3", False)):
        network, before, behind = split_network(layer)
        images = torch.randn(2, 1, 64, 64)
        features = before(images).detach().requires_grad_()
        gradient = torch.autograd.grad(behind(features).sum(), features)[0]
        evidence = (gradient * features).sum(1).detach()
        by_place = [resize_to_images((sign * evidence).relu(), images) for sign in (-1, 1)]
        heat = compute_grad_cam(network, network, images, layer, "NCHW")
        assert torch.allclose(heat, torch.stack(by_place, dim=1), atol=1e-6) is equal
        assert heat.amax((1, 2, 3)).min() > 0


def test_list_of_patches_has_no_grad_cam():
    with pytest.raises(SettingsError, match="NLC"):
        compute_grad_cam(nn.Identity(), nn.Identity(), torch.zeros(1, 1, 8, 8), "", "NLC")
