"""The one door through which weights come into a network: from the hub, or from a file. Never random in their place."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub
import timm
import torch
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled
from safetensors.torch import load_file
from torch import nn

from tfm.core import checksum, hints
from tfm.core.errors import WeightsError, is_disk_error
from tfm.models.head import get_classifier_names
from tfm.models.masked_image_model import ENCODER_PREFIX
from tfm.models.settings import FILE, FROM_SCRATCH, IMAGENET, RUN, ModelSettings, is_zoo_model
from tfm.models.torchvision_names import convert_to_timm

_HUB_FILE = "model.safetensors"
_PATIENCE = 5.0  # seconds to wait for the hub when only asking whether it is there
_SHOWN = 3  # of the tensors that do not fit


def _refer_to_weights(weights: str) -> str:
    return hints.setting("weights", weights)


def fetch_weights(
    settings: ModelSettings, checkpoint: Path | None = None, *, refer: Callable[[str], str] = _refer_to_weights
) -> Path | None:
    """The weights' file on this machine, fetched where need be; None for a start from scratch. `checkpoint` is the best
    one of the run that the settings name, where they name one: what is a run is not known here. `refer` names
    the setting by which other weights are given.

    Asked before a run does anything else, so that weights out of reach are told at once.
    """
    if settings.weights.startswith(RUN):
        return checkpoint
    if settings.weights == FROM_SCRATCH:
        return None
    if settings.weights != IMAGENET:
        return Path(settings.weights.removeprefix(FILE))
    card = _card(settings)
    if card is None or not card.hf_hub_id:
        raise WeightsError(
            f"there are no ImageNet weights for {settings.architecture}",
            hint=f"train it from scratch ({refer(FROM_SCRATCH)}) or from a file ({refer(FILE + 'PATH')})",
        )
    try:
        return Path(huggingface_hub.hf_hub_download(card.hf_hub_id, _HUB_FILE))
    except (HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled, OSError) as error:
        if isinstance(error, OSError) and is_disk_error(error):
            raise
        url = huggingface_hub.hf_hub_url(card.hf_hub_id, _HUB_FILE)
        kept = f"{card.hf_hub_id.rpartition('/')[2]}.safetensors"
        raise WeightsError(
            f"the ImageNet weights of {settings.architecture} cannot be fetched from the Hugging Face hub",
            hint=f"where there is a network, fetch {url}, save it on this machine as {kept} and give "
            f"{refer(FILE + kept)}; or train from scratch: {refer(FROM_SCRATCH)}",
        ) from error


def load_weights(network: nn.Module, path: Path) -> None:
    """Every tensor of the network but its classifier's takes its value from the file, or the file is refused."""
    card: dict[str, Any] = network.pretrained_cfg  # type: ignore[assignment]

    heads = tuple(f"{head}." for head in get_classifier_names(network))

    def wanted(name: str) -> bool:
        # The counter of batches is missing in files of before 2018, and nothing is computed from it.
        return not name.startswith(heads) and not name.endswith("num_batches_tracked")

    expected = {name: tensor for name, tensor in network.state_dict().items() if wanted(name)}
    given = convert_to_timm(read_weights(path), list(network.state_dict()))
    stem = f"{card['first_conv']}.weight"
    if stem in given and stem in expected:
        given[stem] = _grey(given[stem], expected[stem])
    wrong = [f"{name} is missing" for name in expected if name not in given]
    wrong += [f"{name} is not of this network" for name in given if wanted(name) and name not in expected]
    wrong += [
        f"{name} is {_shape(given[name])} where {_shape(tensor)} is needed"
        for name, tensor in expected.items()
        if name in given and given[name].shape != tensor.shape
    ]
    if wrong:
        raise WeightsError(
            f"the weights in {path} do not fit {type(network).__name__}: {'; '.join(wrong[:_SHOWN])}"
            f"{_and_more(wrong, _SHOWN)}",
            hint="choose the architecture these weights were trained in, or another file",
        )
    spoilt = [name for name in expected if not torch.isfinite(given[name]).all()]
    if spoilt:
        raise WeightsError(
            f"{spoilt[0]} in {path} holds what is no finite number{_and_more(spoilt, 1)}",
            hint="fetch that file anew, or take the weights of a training that did not diverge",
        )
    network.load_state_dict({name: given[name] for name in expected}, strict=False)


def _and_more(names: list[str], shown: int) -> str:
    return f", and {len(names) - shown} more" if len(names) > shown else ""


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    if checksum.has_checksum(path) and not checksum.has_valid_checksum(path):
        raise WeightsError(f"{path} is damaged: its SHA-256 does not match", hint="copy it anew from where it came")
    hint = "give a .safetensors file, or a .pth file that holds a network's tensors and nothing else"
    try:
        content = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except Exception as error:  # a file of anything at all makes the unpickler fail in any way at all
        raise WeightsError(f"{path} cannot be read as weights", hint=hint) from error
    tensors = _of_checkpoint(content)
    if not isinstance(tensors, dict) or not all(isinstance(tensor, torch.Tensor) for tensor in tensors.values()):
        raise WeightsError(f"{path} holds something else than a network's weights", hint=hint)
    return dict(tensors)


def _of_checkpoint(content: Any) -> Any:
    """Of a checkpoint of our own training, what it predicts with: the moving average where one was kept. Of a network
    that rebuilt images, its encoder."""
    if not isinstance(content, dict) or not isinstance(content.get("network"), dict):
        return content
    tensors = content.get("ema") or content["network"]
    encoder = {
        name.removeprefix(ENCODER_PREFIX): one for name, one in tensors.items() if name.startswith(ENCODER_PREFIX)
    }
    return encoder or tensors


def _grey(stem: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """The first layer's answer to a grey image is that to a colour image whose channels are all alike: their sum."""
    colour = stem.ndim == 4 and stem.shape[1] == 3 and wanted.shape[1] == 1
    return stem.sum(dim=1, keepdim=True) if colour else stem


def _shape(tensor: torch.Tensor) -> str:
    return "×".join(map(str, tensor.shape)) or "a number"


def locate_imagenet_weights(settings: ModelSettings) -> str | None:
    """Where a network's ImageNet weights are: on this machine, or at their hub; None where neither can be reached."""
    card = _card(settings)
    return _at_hand(card.hf_hub_id) if card and card.hf_hub_id else None


@functools.cache  # asked for each preset, and several share a network
def _at_hand(hub: str) -> str | None:
    kept = huggingface_hub.try_to_load_from_cache(hub, _HUB_FILE)
    if isinstance(kept, str):
        return f"on this machine: {kept}"
    try:
        huggingface_hub.get_hf_file_metadata(huggingface_hub.hf_hub_url(hub, _HUB_FILE), timeout=_PATIENCE)
    except Exception:  # no network fails in as many ways as there are networks, and all mean the same here
        return None
    return "at their hub, to be fetched once"


def _card(settings: ModelSettings) -> Any:
    """What timm knows of its weights; None for a network of ours."""
    return None if is_zoo_model(settings.architecture) else timm.get_pretrained_cfg(settings.architecture)
