"""Weights fit completely or are refused; random ones never replace them silently."""

import os
import re
from pathlib import Path

import pytest
import torch
import torchvision
from safetensors.torch import save_file

from tfm.core.errors import SettingsError, WeightsError
from tfm.core.settings.resolve import resolve
from tfm.models.build import build_model
from tfm.models.settings import ModelSettings
from tfm.models.weights import fetch_weights, load_weights
from tfm.training.checkpoint import Checkpoints

SIZE = (64, 64)


def build_network(architecture: str = "resnet18", seed: int = 0) -> torch.nn.Module:
    torch.manual_seed(seed)
    return build_model(ModelSettings(architecture=architecture), SIZE)


def make_colour_weights(seed: int = 1) -> dict[str, torch.Tensor]:
    """Make weights like an ImageNet file of ResNet-18: three channels in, a thousand classes out."""
    tensors = build_network(seed=seed).state_dict()
    torch.manual_seed(seed)
    tensors["conv1.weight"] = torch.randn(64, 3, 7, 7)
    tensors["fc.weight"], tensors["fc.bias"] = torch.randn(1000, 512), torch.randn(1000)
    return tensors


@pytest.mark.parametrize("kind", ["safetensors", "pth"])
def test_all_weights_but_the_classifier_are_loaded(tmp_path, kind):
    path, loaded = tmp_path / f"w.{kind}", make_colour_weights()
    save_file(loaded, path) if kind == "safetensors" else torch.save(loaded, path)
    ours = build_network()
    head_before = ours.state_dict()["fc.weight"].clone()
    load_weights(ours, path)
    ours_after = ours.state_dict()
    assert torch.equal(ours_after["layer4.1.conv2.weight"], loaded["layer4.1.conv2.weight"])
    assert torch.equal(ours_after["bn1.running_mean"], loaded["bn1.running_mean"])
    assert torch.equal(ours_after["fc.weight"], head_before)


def test_grey_stem_equals_the_colour_stem_on_grey_images(tmp_path):
    path, loaded = tmp_path / "w.pth", make_colour_weights()
    torch.save(loaded, path)
    ours = build_network()
    load_weights(ours, path)
    grey = torch.randn(1, 1, 32, 32)
    in_colour = torch.nn.functional.conv2d(grey.expand(1, 3, 32, 32), loaded["conv1.weight"], stride=2, padding=3)
    torch.testing.assert_close(ours.conv1(grey), in_colour, rtol=1e-4, atol=1e-4)


def test_mammocnn_loads_its_own_weights(tmp_path):
    path, loaded = tmp_path / "w.safetensors", build_network("MammoCNN", seed=5).state_dict()
    save_file(loaded, path)
    ours = build_network("MammoCNN")
    load_weights(ours, path)
    assert torch.equal(ours.state_dict()["features.3.3.weight"], loaded["features.3.3.weight"])


def reshape_tensor(tensors):
    return tensors | {"layer1.0.conv1.weight": torch.zeros(3, 3)}


def remove_tensor(tensors):
    return {name: tensor for name, tensor in tensors.items() if name != "layer2.0.bn1.weight"}


def add_tensor(tensors):
    return tensors | {"encoder.block.weight": torch.zeros(2)}


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (reshape_tensor, "layer1.0.conv1.weight is 3×3 instead of 64×64×3×3"),
        (remove_tensor, "layer2.0.bn1.weight is missing"),
        (add_tensor, "encoder.block.weight is not in this network"),
    ],
)
def test_weights_that_do_not_fit_are_refused_and_change_nothing(tmp_path, spoil, named):
    path = tmp_path / "w.pth"
    torch.save(spoil(make_colour_weights()), path)
    ours = build_network()
    before = {name: tensor.clone() for name, tensor in ours.state_dict().items()}
    with pytest.raises(WeightsError, match=named) as refusal:
        load_weights(ours, path)
    assert "architecture" in refusal.value.hint
    assert all(torch.equal(tensor, before[name]) for name, tensor in ours.state_dict().items())


def make_torchvision_weights(architecture: str) -> dict[str, torch.Tensor]:
    """Make weights like torchvision's own file, with batch statistics that differ between layers."""
    torch.manual_seed(4)
    theirs = getattr(torchvision.models, architecture)(weights=None).train()
    theirs(torch.randn(2, 3, *SIZE))
    return theirs.state_dict()


def rename_to_old_names(tensors):
    """Rename as in densenet121-a639ec97.pth: norm.1 for norm1, and no counter of batches."""
    return {
        re.sub(r"(denselayer\d+\.(?:norm|conv))([12])", r"\1.\2", name): tensor
        for name, tensor in tensors.items()
        if not name.endswith("num_batches_tracked")
    }


@pytest.mark.parametrize(
    ("architecture", "rename"),
    [("resnet18", dict), ("densenet121", dict), ("densenet121", rename_to_old_names), ("efficientnet_b3", dict)],
)
def test_torchvision_weights_give_the_same_features_in_our_network(tmp_path, architecture, rename):
    path, loaded = tmp_path / "w.pth", make_torchvision_weights(architecture)
    torch.save(rename(loaded), path)
    ours, theirs = build_network(architecture).eval(), getattr(torchvision.models, architecture)(weights=None).eval()
    load_weights(ours, path)
    theirs.load_state_dict(loaded)
    for last in (ours, theirs):  # the classifier is never loaded, so both lose theirs
        for name in ("fc", "classifier"):
            if hasattr(last, name):
                setattr(last, name, torch.nn.Identity())
    grey = torch.randn(2, 1, *SIZE)
    torch.testing.assert_close(ours(grey), theirs(grey.expand(2, 3, *SIZE)), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("ema", [False, True])
def test_checkpoint_gives_the_weights_it_predicts_with(tmp_path, ema):
    plain, mean = build_network(seed=5).state_dict(), build_network(seed=6).state_dict()
    path = tmp_path / "last.pt"
    content = {"standing": {"epoch": 1}, "network": plain, "ema": mean if ema else None}
    Checkpoints(tmp_path, seconds=60, key="a key").save(content)
    ours = build_network()
    load_weights(ours, path)
    loaded = mean if ema else plain
    assert torch.equal(ours.state_dict()["layer4.1.conv2.weight"], loaded["layer4.1.conv2.weight"])


def test_damaged_checkpoint_is_refused_also_as_a_copy(tmp_path):
    Checkpoints(tmp_path, seconds=60, key="a key").save_best({"network": build_network(seed=5).state_dict()})
    copy = (tmp_path / "best.pt").rename(tmp_path / "mine.pth")
    load_weights(build_network(), copy)
    raw = bytearray(copy.read_bytes())
    raw[len(raw) // 2] ^= 1
    copy.write_bytes(raw)
    with pytest.raises(WeightsError, match=r"is damaged.*SHA-256"):
        load_weights(build_network(), copy)


def test_checkpoint_of_another_architecture_is_refused(tmp_path):
    Checkpoints(tmp_path, seconds=60, key="a key").save_best({"network": build_network("MammoCNN").state_dict()})
    with pytest.raises(WeightsError, match="do not fit ResNet"):
        load_weights(build_network(), tmp_path / "best.pt")


def test_weights_with_nan_are_refused_by_tensor_and_file(tmp_path):
    weights = build_network().state_dict()
    weights["layer3.0.conv1.weight"][0] = float("nan")
    save_file(weights, tmp_path / "spoilt.safetensors")
    with pytest.raises(WeightsError, match=r"layer3\.0\.conv1\.weight in .*spoilt\.safetensors"):
        load_weights(build_network(), tmp_path / "spoilt.safetensors")


class Harmful:
    def __reduce__(self):
        return os.mkdir, ("harm-was-done",)


@pytest.mark.parametrize("kind", ["safetensors", "pth"])
def test_file_without_weights_is_refused(tmp_path, kind):
    path = tmp_path / f"w.{kind}"
    path.write_bytes(b"these are no weights at all")
    with pytest.raises(WeightsError, match="cannot be read as weights"):
        load_weights(build_network(), path)


def test_file_that_would_run_code_is_refused_without_running_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"fc.weight": Harmful()}, tmp_path / "w.pth")
    with pytest.raises(WeightsError):
        load_weights(build_network(), tmp_path / "w.pth")
    assert not Path("harm-was-done").exists()


def test_imagenet_weights_for_mammocnn_are_refused():
    """The setting is refused at once, not in a run that fails."""
    with pytest.raises(SettingsError, match="MammoCNN") as refusal:
        ModelSettings(weights="imagenet")
    assert "weights=none" in refusal.value.hint


def test_from_scratch_needs_no_file_and_a_file_is_used_in_place(tmp_path):
    path = tmp_path / "w.pth"
    path.touch()
    assert fetch_weights(ModelSettings()) is None
    assert fetch_weights(ModelSettings(weights=f"file:{path}")) == path


def test_weights_of_a_run_are_its_best_checkpoint(tmp_path):
    settings = ModelSettings(weights="run:2026-11-21_train-ResNet18_CFT_ab12")
    assert fetch_weights(settings, tmp_path / "best.pt") == tmp_path / "best.pt"


@pytest.mark.parametrize("source", ["imagnet", "file:/nowhere/w.pth", "run:", "run:../best"])
def test_invalid_weights_are_refused_as_a_setting(source):
    with pytest.raises(SettingsError, match="weights") as refusal:
        resolve(ModelSettings, {}, {"weights": source})
    assert refusal.value.fields == ("weights",)
