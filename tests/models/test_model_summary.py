"""The card agrees with the network: parameters, memory, explanation layer and layout."""

import subprocess
import sys
from pathlib import Path

import pytest
import timm
import torch

from tests.models.networks import CASES, SIZE, SWIN, build_network
from tfm.models.model_summary import build_card, build_card_of_network, count_parameters, find_explanation_layer
from tfm.models.settings import ModelSettings


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


MEASURED = """
import re, sys
from pathlib import Path
import torch
from tfm.models.build import build_model
from tfm.models.model_summary import build_card
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


@pytest.mark.long
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak memory from Linux")
@pytest.mark.parametrize(
    "case",
    [
        ("resnet18", "last_stage", "192", "8"),
        ("MammoCNN", "all", "128", "8"),
        ("resnet18", "all", "192", "8"),
        ("densenet121", "all", "96", "8"),
        ("efficientnet_b3", "all", "96", "8"),
        (SWIN, "all", "224", "4"),
    ],
    ids=lambda case: "-".join(case[:2]),
)
def test_memory_on_the_card_is_within_a_factor_of_two(case):
    project = Path(__file__).resolve().parents[2]
    process = subprocess.run([sys.executable, "-c", MEASURED, *case], capture_output=True, text=True, cwd=project)
    assert process.returncode == 0, process.stderr
    assert 0.5 < float(process.stdout) < 2
