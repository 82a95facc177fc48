"""A hidden layer before the classifier: its place, its dropout, and that it is never loaded from other weights."""

import pytest
import torch
from torch import nn

from tfm.core.errors import SettingsError
from tfm.core.settings.resolve import resolve
from tfm.models.build import build_model
from tfm.models.freezing import freeze, set_train_mode
from tfm.models.head import count_inputs, find_head, find_last_layer, get_classifier_names, insert_hidden_layer
from tfm.models.settings import ModelSettings
from tfm.models.weights import load_weights

SIZE = (64, 64)
WIDE = {"test_resnet": 96, "swin_tiny_patch4_window7_224": 768, "densenet121": 1024, "MammoCNN": 128}


def build_network(architecture="test_resnet", **given):
    torch.manual_seed(2)
    return build_model(ModelSettings(architecture=architecture, head=16, **given), SIZE)


@pytest.mark.parametrize("architecture", WIDE)
def test_hidden_layer_takes_the_pooled_features_and_returns_one_logit(architecture):
    network = build_network(architecture, dropout=0.5)
    pooled = count_inputs(find_head(network))
    assert pooled == WIDE[architecture]
    dense, rectified, dropped, answer = find_head(network)
    assert (dense.in_features, dense.out_features) == (pooled, 16)
    assert isinstance(rectified, nn.ReLU)
    assert (answer.in_features, answer.out_features) == (16, 1)
    assert answer is find_last_layer(network)
    assert [module.p for module in network.modules() if isinstance(module, nn.Dropout) and module.p] == [dropped.p]
    assert network(torch.randn(2, 1, *SIZE)).shape == (2, 1)


def test_training_the_head_changes_no_bit_of_the_backbone():
    network = build_network(dropout=0.5, trained="head")
    freeze(network, "head")
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    optimizer = torch.optim.Adam(network.parameters(), lr=0.1)
    for _ in range(3):
        set_train_mode(network)
        network(torch.randn(4, 1, *SIZE)).sum().backward()
        optimizer.step()
    moved = {name for name, tensor in network.state_dict().items() if not torch.equal(tensor, before[name])}
    assert moved == {"fc.0.weight", "fc.0.bias", "fc.3.weight", "fc.3.bias"}


def test_head_is_not_loaded_from_other_weights(tmp_path):
    theirs, ours = build_network(), build_network()
    with torch.no_grad():
        for tensor in theirs.parameters():
            tensor.add_(1)
    torch.save(theirs.state_dict(), tmp_path / "theirs.pth")
    before = {name: tensor.clone() for name, tensor in ours.state_dict().items()}
    load_weights(ours, tmp_path / "theirs.pth")
    kept = {name for name, tensor in ours.state_dict().items() if torch.equal(tensor, before[name])}
    assert {name for name in kept if name.endswith(("weight", "bias"))} == {
        name for name in before if name.startswith(f"{get_classifier_names(ours)[0]}.")
    }


def test_hidden_layer_without_training_is_refused():
    with pytest.raises(SettingsError, match="head has no effect when trained is none"):
        resolve(ModelSettings, {}, {"head": 16, "trained": "none"})


def test_network_with_two_classifiers_cannot_have_a_hidden_layer():
    with pytest.raises(SettingsError, match="no single linear classifier") as refusal:
        insert_hidden_layer(
            build_model(ModelSettings(architecture="deit_tiny_distilled_patch16_224"), (224, 224)), 8, 0.0
        )
    assert "head" in refusal.value.fields
