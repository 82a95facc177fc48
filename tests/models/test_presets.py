"""Every preset of the model menu: its network learns where it should and nowhere else, and its card says what is so."""

import copy
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import timm
import torch

from tfm.core.errors import SettingsError
from tfm.core.registry import find_stage
from tfm.core.settings import presets
from tfm.core.settings.resolve import resolve
from tfm.models.build import build_model
from tfm.models.freezing import find_last_stage, freeze, set_train_mode
from tfm.models.model_card import build_card, build_card_of_network, count_parameters, find_explanation_layer
from tfm.models.settings import ModelSettings

SIZE = (64, 64)
PRESETS = presets.list_presets("models")
NETWORKS = [name for name in PRESETS if presets.load_preset("models", name).stage == "train"]  # the others are plans
SWIN = "swin_tiny_patch4_window7_224"


NETWORKS = [name for name in PRESETS if presets.load_preset("models", name).stage == "train"]  # the others are plans


def load_model_settings(name: str) -> ModelSettings:
    preset = presets.load_preset("models", name)
    return resolve(find_stage("train").settings, preset.settings, {"dataset": "d", "cache": "c"}).model


@cache
def build_once(architecture: str, head: int | None = None) -> torch.nn.Module:
    torch.manual_seed(0)
    return build_model(ModelSettings(architecture=architecture, head=head), SIZE)


def build_network(settings: ModelSettings) -> torch.nn.Module:
    network = copy.deepcopy(build_once(settings.architecture, settings.head))
    freeze(network, settings.trained)
    return network


CASES = [pytest.param(load_model_settings(name), id=name) for name in NETWORKS] + [
    pytest.param(ModelSettings(architecture=SWIN, trained=trained), id=f"swin-{trained}")
    for trained in ("all", "last_stage")
]


def test_classic_presets_use_the_weights_and_trained_part_of_their_name():
    offered = {name: load_model_settings(name) for name in NETWORKS}
    trained = {"OPW": "none", "PFT": "last_stage", "CFT": "all"}
    families = {
        "ResNet18": ("resnet18", ["OPW", "PFT", "CFT"]),
        "DenseNet121": ("densenet121", ["OPW", "PFT", "CFT"]),
        "EfficientNetB3": ("efficientnet_b3", ["OPW", "CFT"]),
    }
    expected = {
        f"{family}_{way}": (architecture, "imagenet", trained[way])
        for family, (architecture, ways) in families.items()
        for way in ways
    } | {"MammoCNN": ("MammoCNN", "none", "all"), "ResNet50_Head": ("resnet50", "imagenet", "head")}
    actual = {name: (one.architecture, one.weights, one.trained) for name, one in offered.items()}
    assert actual.items() >= expected.items()


@pytest.mark.parametrize("settings", CASES)
def test_only_the_trained_part_has_gradients_and_moving_statistics(settings):
    network = build_network(settings)
    set_train_mode(network)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    logits = network(torch.randn(2, 1, *SIZE))
    assert logits.shape == (2, 1)
    if settings.trained != "none":
        logits.sum().backward()
    got = {name for name, tensor in network.named_parameters() if tensor.grad is not None}
    every = {name for name, _ in network.named_parameters()}
    behind = {name for name in every if name.startswith(f"{network.pretrained_cfg['classifier']}.")}
    assert (
        got == {"all": every, "last_stage": find_last_stage(network), "head": behind, "none": set()}[settings.trained]
    )
    assert got or settings.trained == "none"
    statistics = {name for name, _ in network.named_buffers() if "running" in name}
    moved = {name for name in statistics if not torch.equal(before[name], network.state_dict()[name])}
    layers = {name.rpartition(".")[0] for name in got}
    assert moved == {name for name in statistics if name.rpartition(".")[0] in layers}


@pytest.mark.parametrize(
    ("architecture", "first", "below"),
    [
        ("MammoCNN", "features.3.0.weight", "features.2."),
        ("resnet18", "layer4.0.conv1.weight", "layer3."),
        ("densenet121", "features.transition3.norm.weight", "features.denseblock3."),
        ("efficientnet_b3", "blocks.5.0.conv_pw.weight", "blocks.4."),
        (SWIN, "layers.3.downsample.norm.weight", "layers.2."),
        ("vit_tiny_patch16_224", "blocks.11.norm1.weight", "blocks.10."),
    ],
)
def test_last_stage_is_everything_after_the_stage_before(architecture, first, below):
    network = build_once(architecture)
    names = [name for name, _ in network.named_parameters()]
    kept = [name for name in names if name in find_last_stage(network)]
    assert kept[0] == first
    assert names[names.index(first) - 1].startswith(below)
    assert any(name.startswith(network.pretrained_cfg["classifier"]) for name in kept)


def test_plain_train_mode_would_move_frozen_statistics():
    """The test of trained parts would fail with plain `train()`."""
    network = build_network(ModelSettings(architecture="resnet18", trained="last_stage"))
    before = network.bn1.running_mean.clone()
    network.train()
    network(torch.randn(2, 1, *SIZE))
    assert not torch.equal(network.bn1.running_mean, before)


def test_frozen_layers_have_no_dropout():
    network = build_model(ModelSettings(dropout=0.5, trained="last_stage"), SIZE)
    freeze(network, "last_stage")
    set_train_mode(network)
    images = torch.randn(2, 1, *SIZE)
    assert torch.equal(network.features[:3](images), network.features[:3](images))
    assert not torch.equal(network.features(images), network.features(images))


def test_network_without_declared_stages_has_no_last_stage():
    with pytest.raises(SettingsError, match="does not declare") as refusal:
        freeze(torch.nn.Sequential(torch.nn.Linear(2, 2)), "last_stage")
    assert refusal.value.fields == ("trained",)


@pytest.mark.parametrize("settings", CASES)
def test_card_agrees_with_the_network(settings):
    card = build_card(settings, SIZE, batch_size=2)
    network = build_network(settings).eval()
    assert card.parameters == count_parameters(network)
    assert card.trained == sum(tensor.numel() for tensor in network.parameters() if tensor.requires_grad)
    assert card.explanation_layer == find_explanation_layer(network)
    seen = []
    network.get_submodule(card.explanation_layer).register_forward_hook(lambda _m, _given, made: seen.append(made))
    network(torch.randn(2, 1, *SIZE))
    (last_map,) = seen
    channels = network.feature_info[-1]["num_chs"]
    assert last_map.shape[{"NCHW": 1, "NHWC": 3}[card.layout]] == channels
    assert last_map.shape[0] == 2
    assert channels not in {last_map.shape[place] for place in {"NCHW": (2, 3), "NHWC": (1, 2)}[card.layout]}


def test_layout_of_swin_is_nhwc_and_of_vit_nlc():
    assert build_card(ModelSettings(architecture=SWIN), SIZE, 1).layout == "NHWC"
    assert build_card(ModelSettings(architecture="vit_tiny_patch16_224"), SIZE, 1).layout == "NLC"


def test_layout_is_unambiguous_when_height_equals_channels():
    given = {"img_size": 32, "window_size": 4, "embed_dim": 8, "depths": (1,), "num_heads": (1,)}
    with torch.device("meta"):
        network = timm.create_model(SWIN, in_chans=1, num_classes=1, **given)
    card = build_card_of_network(network, (32, 32), 1)
    assert (card.explanation_layer, card.layout) == ("layers.0", "NHWC")


@pytest.mark.parametrize(
    ("architecture", "layer"),
    [
        ("hrnet_w18_small", None),  # outputs maps of several scales
        ("pit_ti_224", None),
        ("tnt_s_patch16_224", None),
        ("twins_pcpvt_small", None),  # declares a layer that it does not have
        ("coat_tiny", None),  # declares a layer that forward does not use
        ("mixer_s16_224", "blocks.7"),
        ("levit_128s", "stages.2"),
        ("mobilevit_xxs", "final_conv"),
        ("regnetx_002", "s4"),
    ],
)
def test_unusual_timm_networks_have_a_card(architecture, layer):
    card = build_card(ModelSettings(architecture=architecture), (224, 224), 2)
    assert card.parameters > 100_000
    assert card.explanation_layer == layer
    assert (card.layout is None) == (layer is None)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_described_in_at_most_three_sentences(name):
    preset = presets.load_preset("models", name)
    assert len(preset.title) <= 50
    assert len(re.findall(r"\.(?:\s|$)", preset.about)) in (1, 2, 3)


MEASURED = """
import re, sys
from pathlib import Path
import torch
from tfm.models.build import build_model
from tfm.models.model_card import build_card
from tfm.models.freezing import freeze, set_train_mode
from tfm.models.settings import ModelSettings

def memory(name):
    return 1024 * int(re.search(name + r":\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

architecture, trained, side, count = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
torch.set_num_threads(1)
settings = ModelSettings(architecture=architecture, trained=trained)
card = build_card(settings, (side, side), count)
build_model(ModelSettings(architecture="test_resnet"), (32, 32))(torch.rand(2, 1, 32, 32)).sum().backward()  # libraries
before = memory("VmRSS")
network = build_model(settings, (side, side))
freeze(network, trained)
set_train_mode(network)
optimizer = torch.optim.AdamW([tensor for tensor in network.parameters() if tensor.requires_grad])
for _ in range(2):
    network(torch.rand(count, 1, side, side)).sum().backward()
    optimizer.step()
    optimizer.zero_grad()
print(card.memory / (memory("VmHWM") - before))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak memory from Linux")
@pytest.mark.parametrize(
    "case",
    [
        ("resnet18", "last_stage", "192", "8"),
        pytest.param(("MammoCNN", "all", "128", "8"), marks=pytest.mark.long),
        pytest.param(("resnet18", "all", "192", "8"), marks=pytest.mark.long),
        pytest.param(("densenet121", "all", "96", "8"), marks=pytest.mark.long),
        pytest.param(("efficientnet_b3", "all", "96", "8"), marks=pytest.mark.long),
        pytest.param((SWIN, "all", "224", "4"), marks=pytest.mark.long),
    ],
    ids=lambda case: "-".join(case[:2]),
)
def test_memory_on_the_card_is_within_a_factor_of_two(case):
    project = Path(__file__).resolve().parents[2]
    process = subprocess.run([sys.executable, "-c", MEASURED, *case], capture_output=True, text=True, cwd=project)
    assert process.returncode == 0, process.stderr
    assert 0.5 < float(process.stdout) < 2
