"""Weights come through one door, fit whole or are refused; random ones never take their place in silence."""

import errno
import os
import re
import subprocess
import sys
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


def network(architecture: str = "resnet18", seed: int = 0) -> torch.nn.Module:
    torch.manual_seed(seed)
    return build_model(ModelSettings(architecture=architecture), SIZE)


def colour_weights(seed: int = 1) -> dict[str, torch.Tensor]:
    """As an ImageNet file of ResNet-18: three channels in, a thousand classes out."""
    tensors = network(seed=seed).state_dict()
    torch.manual_seed(seed)
    tensors["conv1.weight"] = torch.randn(64, 3, 7, 7)
    tensors["fc.weight"], tensors["fc.bias"] = torch.randn(1000, 512), torch.randn(1000)
    return tensors


@pytest.mark.parametrize("kind", ["safetensors", "pth"])
def test_a_file_of_weights_is_taken_over_but_for_its_classifier(tmp_path, kind):
    path, given = tmp_path / f"w.{kind}", colour_weights()
    save_file(given, path) if kind == "safetensors" else torch.save(given, path)
    ours = network()
    head_before = ours.state_dict()["fc.weight"].clone()
    load_weights(ours, path)
    taken = ours.state_dict()
    assert torch.equal(taken["layer4.1.conv2.weight"], given["layer4.1.conv2.weight"])
    assert torch.equal(taken["bn1.running_mean"], given["bn1.running_mean"])
    assert torch.equal(taken["fc.weight"], head_before)


def test_a_grey_image_is_seen_as_the_colour_stem_saw_it(tmp_path):
    path, given = tmp_path / "w.pth", colour_weights()
    torch.save(given, path)
    ours = network()
    load_weights(ours, path)
    grey = torch.randn(1, 1, 32, 32)
    in_colour = torch.nn.functional.conv2d(grey.expand(1, 3, 32, 32), given["conv1.weight"], stride=2, padding=3)
    torch.testing.assert_close(ours.conv1(grey), in_colour, rtol=1e-4, atol=1e-4)


def test_mammocnn_takes_its_own_weights_back(tmp_path):
    path, given = tmp_path / "w.safetensors", network("MammoCNN", seed=5).state_dict()
    save_file(given, path)
    ours = network("MammoCNN")
    load_weights(ours, path)
    assert torch.equal(ours.state_dict()["features.3.3.weight"], given["features.3.3.weight"])


def misshapen(tensors):
    return tensors | {"layer1.0.conv1.weight": torch.zeros(3, 3)}


def lacking(tensors):
    return {name: tensor for name, tensor in tensors.items() if name != "layer2.0.bn1.weight"}


def foreign(tensors):
    return tensors | {"encoder.block.weight": torch.zeros(2)}


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (misshapen, "layer1.0.conv1.weight is 3×3 where 64×64×3×3 is needed"),
        (lacking, "layer2.0.bn1.weight is missing"),
        (foreign, "encoder.block.weight is not of this network"),
    ],
)
def test_weights_that_do_not_fit_are_refused_by_name_and_change_nothing(tmp_path, spoil, named):
    path = tmp_path / "w.pth"
    torch.save(spoil(colour_weights()), path)
    ours = network()
    before = {name: tensor.clone() for name, tensor in ours.state_dict().items()}
    with pytest.raises(WeightsError, match=named) as refusal:
        load_weights(ours, path)
    assert "architecture" in refusal.value.hint
    assert all(torch.equal(tensor, before[name]) for name, tensor in ours.state_dict().items())


def torchvision_weights(architecture: str) -> dict[str, torch.Tensor]:
    """As torchvision's own file, with batch statistics that differ from layer to layer."""
    torch.manual_seed(4)
    theirs = getattr(torchvision.models, architecture)(weights=None).train()
    theirs(torch.randn(2, 3, *SIZE))
    return theirs.state_dict()


def in_old_words(tensors):
    """As densenet121-a639ec97.pth has them: norm.1 for norm1, and no counter of batches."""
    return {
        re.sub(r"(denselayer\d+\.(?:norm|conv))([12])", r"\1.\2", name): tensor
        for name, tensor in tensors.items()
        if not name.endswith("num_batches_tracked")
    }


@pytest.mark.parametrize(
    ("architecture", "worded"),
    [("resnet18", dict), ("densenet121", dict), ("densenet121", in_old_words), ("efficientnet_b3", dict)],
)
def test_torchvisions_weights_see_in_our_network_what_they_see_in_theirs(tmp_path, architecture, worded):
    path, given = tmp_path / "w.pth", torchvision_weights(architecture)
    torch.save(worded(given), path)
    ours, theirs = network(architecture).eval(), getattr(torchvision.models, architecture)(weights=None).eval()
    load_weights(ours, path)
    theirs.load_state_dict(given)
    for last in (ours, theirs):  # the classifier is never taken over, and so both get none
        for name in ("fc", "classifier"):
            if hasattr(last, name):
                setattr(last, name, torch.nn.Identity())
    grey = torch.randn(2, 1, *SIZE)
    torch.testing.assert_close(ours(grey), theirs(grey.expand(2, 3, *SIZE)), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("ema", [False, True])
def test_a_checkpoint_of_our_own_gives_what_it_predicts_with(tmp_path, ema):
    plain, mean = network(seed=5).state_dict(), network(seed=6).state_dict()
    path = tmp_path / "last.pt"
    content = {"standing": {"epoch": 1}, "network": plain, "ema": mean if ema else None}
    Checkpoints(tmp_path, seconds=60, key="a key").save(content)
    ours = network()
    load_weights(ours, path)
    given = mean if ema else plain
    assert torch.equal(ours.state_dict()["layer4.1.conv2.weight"], given["layer4.1.conv2.weight"])


def test_a_damaged_checkpoint_is_refused_wherever_it_was_copied_to(tmp_path):
    Checkpoints(tmp_path, seconds=60, key="a key").save_best({"network": network(seed=5).state_dict()})
    copy = (tmp_path / "best.pt").rename(tmp_path / "mine.pth")
    load_weights(network(), copy)
    raw = bytearray(copy.read_bytes())
    raw[len(raw) // 2] ^= 1
    copy.write_bytes(raw)
    with pytest.raises(WeightsError, match="is damaged: its SHA-256 does not match"):
        load_weights(network(), copy)


def test_a_checkpoint_of_another_model_is_refused(tmp_path):
    Checkpoints(tmp_path, seconds=60, key="a key").save_best({"network": network("MammoCNN").state_dict()})
    with pytest.raises(WeightsError, match="do not fit ResNet"):
        load_weights(network(), tmp_path / "best.pt")


def test_weights_that_are_no_numbers_are_refused_by_tensor_and_file(tmp_path):
    weights = network().state_dict()
    weights["layer3.0.conv1.weight"][0] = float("nan")
    save_file(weights, tmp_path / "spoilt.safetensors")
    with pytest.raises(WeightsError, match=r"layer3\.0\.conv1\.weight in .*spoilt\.safetensors"):
        load_weights(network(), tmp_path / "spoilt.safetensors")


class Harmful:
    def __reduce__(self):
        return os.mkdir, ("harm-was-done",)


@pytest.mark.parametrize("kind", ["safetensors", "pth"])
def test_a_file_of_something_else_is_refused(tmp_path, kind):
    path = tmp_path / f"w.{kind}"
    path.write_bytes(b"these are no weights at all")
    with pytest.raises(WeightsError, match="cannot be read as weights"):
        load_weights(network(), path)


def test_a_file_that_would_run_code_is_refused_and_does_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"fc.weight": Harmful()}, tmp_path / "w.pth")
    with pytest.raises(WeightsError):
        load_weights(network(), tmp_path / "w.pth")
    assert not Path("harm-was-done").exists()


def test_imagenet_weights_out_of_reach_say_what_to_fetch_and_what_else_can_be_done(tmp_path):
    script = """
from tfm.core.errors import WeightsError
from tfm.models.settings import ModelSettings
from tfm.models.weights import fetch_weights
try:
    fetch_weights(ModelSettings(architecture="resnet18", weights="imagenet"))
except WeightsError as error:
    print(error.hint)
"""
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    project = Path(__file__).resolve().parents[2]
    told = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=project, env=environment, check=True
    ).stdout
    assert "https://huggingface.co/timm/resnet18.a1_in1k/resolve/main/model.safetensors" in told
    assert "weights=file:resnet18.a1_in1k.safetensors" in told
    assert "weights=none" in told


def test_a_disk_that_is_full_is_told_as_one_and_not_as_a_hub_out_of_reach(monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", full)
    with pytest.raises(OSError, match="No space") as refusal:
        fetch_weights(ModelSettings(architecture="resnet18", weights="imagenet"))
    assert refusal.value.errno == errno.ENOSPC


def test_there_are_no_imagenet_weights_for_mammocnn():
    """Said where it is chosen, and not by a run that fails."""
    with pytest.raises(SettingsError, match="MammoCNN") as refusal:
        ModelSettings(weights="imagenet")
    assert "weights=none" in refusal.value.hint


def test_from_scratch_fetches_nothing_and_a_file_is_taken_where_it_lies(tmp_path):
    path = tmp_path / "w.pth"
    path.touch()
    assert fetch_weights(ModelSettings()) is None
    assert fetch_weights(ModelSettings(weights=f"file:{path}")) == path


def test_of_a_run_its_best_checkpoint_is_taken(tmp_path):
    settings = ModelSettings(weights="run:2026-11-21_train-ResNet18_CFT_ab12")
    assert fetch_weights(settings, tmp_path / "best.pt") == tmp_path / "best.pt"


@pytest.mark.parametrize("source", ["imagnet", "file:/nowhere/w.pth", "run:", "run:../best"])
def test_weights_from_nowhere_are_refused_when_they_are_chosen(source):
    with pytest.raises(SettingsError, match="weights") as refusal:
        resolve(ModelSettings, {}, {"weights": source})
    assert refusal.value.fields == ("weights",)
