"""DeepLabV3+: equal to the library's network up to rounding; weights are loaded whole, for the same classes."""

import pytest
import segmentation_models_pytorch as smp
import torch
from torch.nn import functional

from tfm.core.errors import SettingsError, WeightsError
from tfm.core.settings.resolve import resolve
from tfm.models.build import build_model
from tfm.models.deeplab import Segmenter, Upsampling, build_segmenter, load_segmenter
from tfm.models.settings import ModelSettings, SegmenterSettings

SIZE = (64, 64)
LESION = ("background", "lesion")
TINY = SegmenterSettings(backbone="test_resnet")


@pytest.mark.parametrize("factor", [2, 4])
def test_upsampling_equals_torch_in_both_passes(factor):
    torch.manual_seed(0)
    maps = torch.randn(2, 3, 8, 5, dtype=torch.float32, requires_grad=True)
    other = maps.detach().clone().requires_grad_()
    ours = Upsampling(factor)(maps)
    theirs = functional.interpolate(other, scale_factor=factor, mode="bilinear", align_corners=True)
    torch.testing.assert_close(ours, theirs)
    direction = torch.randn_like(ours)
    ours.backward(direction)
    theirs.backward(direction)
    torch.testing.assert_close(maps.grad, other.grad)


def test_network_equals_the_librarys_with_the_same_weights():
    torch.manual_seed(0)
    ours = Segmenter("test_resnet", LESION, dropout=0.0)
    theirs = smp.DeepLabV3Plus(
        "tu-test_resnet", encoder_weights=None, in_channels=1, classes=2, decoder_aspp_dropout=0.0
    )
    names = theirs.state_dict().keys()
    tensors = {name.removeprefix("deeplab."): tensor for name, tensor in ours.state_dict().items()}
    # The library numbers the pooling branch's convolution and norm.
    renamed = {
        name: name.replace("convs.4.1", "convs.4.convolution").replace("convs.4.2", "convs.4.norm") for name in names
    }
    theirs.load_state_dict({name: tensors[renamed[name]] for name in names})
    images = torch.randn(2, 1, *SIZE)
    for mode in (True, False):
        torch.testing.assert_close(ours.train(mode)(images), theirs.train(mode)(images), rtol=1e-4, atol=1e-4)
    assert not [module for module in ours.modules() if isinstance(module, torch.nn.Upsample)]


def save_network(network, path):
    torch.save({"network": network.state_dict()}, path)
    return path


def test_backbone_loads_the_weights_of_a_classifier(tmp_path):
    torch.manual_seed(1)
    classifier = build_model(ModelSettings(architecture="test_resnet"), SIZE)
    network = build_segmenter(TINY, LESION, SIZE)
    decoder = {name: tensor.clone() for name, tensor in network.state_dict().items() if "encoder" not in name}
    load_segmenter(network, TINY, save_network(classifier, tmp_path / "classifier.pt"))
    images = torch.randn(1, 1, *SIZE)
    first = classifier.eval().act1(classifier.bn1(classifier.conv1(images)))
    torch.testing.assert_close(network.eval().backbone(images)[0], first)
    assert torch.equal(network.backbone.state_dict()["layer4.0.conv1.weight"], classifier.layer4[0].conv1.weight)
    assert all(torch.equal(network.state_dict()[name], tensor) for name, tensor in decoder.items())


def test_whole_segmenter_is_loaded_and_other_classes_are_refused(tmp_path):
    torch.manual_seed(1)
    path = save_network(build_segmenter(TINY, LESION, SIZE), tmp_path / "lesion.pt")
    same = build_segmenter(TINY, LESION, SIZE)
    load_segmenter(same, TINY, path)
    kept = torch.load(path)["network"]
    assert all(torch.equal(tensor, kept[name]) for name, tensor in same.state_dict().items())
    other = build_segmenter(TINY, ("background", "benign"), SIZE)
    with pytest.raises(WeightsError, match="background, lesion, not background, benign"):
        load_segmenter(other, TINY, path)
    resnet = SegmenterSettings(backbone="resnet18")
    with pytest.raises(WeightsError, match="another segmenter"):
        load_segmenter(build_segmenter(resnet, LESION, SIZE), resnet, path)


def test_unsuitable_backbone_and_size_are_refused():
    with pytest.raises(SettingsError, match="cannot be a backbone"):
        resolve(SegmenterSettings, {}, {"backbone": "MammoCNN"})
    with pytest.raises(SettingsError, match="densenet121 cannot be the backbone"):
        build_segmenter(SegmenterSettings(backbone="densenet121"), LESION, SIZE)
    with pytest.raises(SettingsError, match="cannot take images of 64×72"):
        build_segmenter(TINY, LESION, (64, 72))


def test_only_the_frozen_backbone_has_no_gradient():
    network = build_segmenter(TINY.model_copy(update={"trained": "decoder"}), LESION, SIZE)
    network(torch.randn(2, 1, *SIZE)).sum().backward()
    frozen = {name for name, tensor in network.named_parameters() if tensor.grad is None}
    assert frozen == {name for name, _ in network.named_parameters() if ".encoder." in name}
