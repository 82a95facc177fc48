"""Load weights into a network, from the Hugging Face hub or from a file; never leave random ones in their place.
The caller finds the checkpoint of a run."""

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

from tfm.core import appended_checksum, hints
from tfm.core.errors import WeightsError, is_disk_error
from tfm.models.head import get_classifier_names
from tfm.models.masked_image_model import ENCODER_PREFIX
from tfm.models.settings import FILE, FROM_SCRATCH, IMAGENET, RUN, ModelSettings, is_zoo_model
from tfm.models.torchvision_to_timm_names import convert_to_timm

_HUB_FILE = "model.safetensors"
_HUB_TIMEOUT = 5.0  # seconds, to ask whether a file is there
_MAX_LISTED = 3  # mismatched tensors in a message


def fetch_weights(
    settings: ModelSettings,
    checkpoint: Path | None = None,
    *,
    refer: Callable[[str], str] = lambda weights: hints.setting("weights", weights),
) -> Path | None:
    """Return the file of the weights, downloading it if needed; None to start from scratch.

    Call it before a run does anything else, so that unreachable weights are reported at once.

    Args:
        checkpoint: the best checkpoint of the run that `settings.weights` names, if it names one.
        refer: names, in a hint, the setting with which other weights are chosen.
    """
    if settings.weights.startswith(RUN):
        return checkpoint
    if settings.weights == FROM_SCRATCH:
        return None
    if settings.weights != IMAGENET:
        return Path(settings.weights.removeprefix(FILE))
    hub = _find_hub_repository(settings)
    if hub is None:
        raise WeightsError(
            f"there are no ImageNet weights for {settings.architecture}",
            hint=f"train it from scratch ({refer(FROM_SCRATCH)}) or from a file ({refer(FILE + 'PATH')})",
        )
    try:
        return Path(huggingface_hub.hf_hub_download(hub, _HUB_FILE))
    except (HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled, OSError) as error:
        if isinstance(error, OSError) and is_disk_error(error):
            raise
        local_name = f"{hub.rpartition('/')[2]}.safetensors"
        raise WeightsError(
            f"the ImageNet weights of {settings.architecture} cannot be downloaded from the Hugging Face hub",
            hint=f"on a computer with internet access, download {huggingface_hub.hf_hub_url(hub, _HUB_FILE)}, copy it "
            f"to this machine as {local_name} and choose {refer(FILE + local_name)}; or train from scratch: "
            f"{refer(FROM_SCRATCH)}",
        ) from error


def load_weights(network: nn.Module, path: Path) -> None:
    """Load every tensor except the classifier's, or refuse the file."""
    heads = tuple(f"{name}." for name in get_classifier_names(network))

    def is_needed(name: str) -> bool:
        # Files from before 2018 lack the counter of batches, and nothing is computed from it.
        return not name.startswith(heads) and not name.endswith("num_batches_tracked")

    expected = {name: tensor for name, tensor in network.state_dict().items() if is_needed(name)}
    loaded = convert_to_timm(read_weights(path), list(network.state_dict()))
    config: Any = network.pretrained_cfg
    stem = f"{config['first_conv']}.weight"
    if stem in loaded and stem in expected and loaded[stem].shape[1:2] == (3,) and expected[stem].shape[1] == 1:
        # Summed over colours: a grey image then gives what an image with three equal channels gave.
        loaded[stem] = loaded[stem].sum(dim=1, keepdim=True)
    mismatches = [f"{name} is missing" for name in expected if name not in loaded]
    mismatches += [f"{name} is not in this network" for name in loaded if is_needed(name) and name not in expected]
    mismatches += [
        f"{name} is {_format_shape(loaded[name])} instead of {_format_shape(tensor)}"
        for name, tensor in expected.items()
        if name in loaded and loaded[name].shape != tensor.shape
    ]
    if mismatches:
        raise WeightsError(
            f"the weights in {path} do not fit {type(network).__name__}: {'; '.join(mismatches[:_MAX_LISTED])}"
            f"{_format_rest(mismatches, _MAX_LISTED)}",
            hint="choose the architecture that these weights were trained with, or another file",
        )
    spoilt = [name for name in expected if not torch.isfinite(loaded[name]).all()]
    if spoilt:
        raise WeightsError(
            f"{spoilt[0]} in {path} contains values that are not finite numbers{_format_rest(spoilt, 1)}",
            hint="download the file again, or use weights of a training that did not diverge",
        )
    network.load_state_dict({name: loaded[name] for name in expected}, strict=False)


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    if appended_checksum.has_checksum(path) and not appended_checksum.has_valid_checksum(path):
        raise WeightsError(f"{path} is damaged: its SHA-256 does not match", hint="copy it again from its source")
    hint = "choose a .safetensors file, or a .pth file that contains only the tensors of a network"
    try:
        content = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except Exception as error:  # on arbitrary files the unpickler fails in arbitrary ways
        raise WeightsError(f"{path} cannot be read as weights", hint=hint) from error
    tensors = _select_tensors(content)
    if not isinstance(tensors, dict) or not all(isinstance(tensor, torch.Tensor) for tensor in tensors.values()):
        raise WeightsError(f"{path} contains something other than the weights of a network", hint=hint)
    return dict(tensors)


def _select_tensors(content: Any) -> Any:
    """Of a run's checkpoint, select the moving average if there is one; of a masked image model, the encoder."""
    if not isinstance(content, dict) or not isinstance(content.get("network"), dict):
        return content
    tensors = content.get("ema") or content["network"]
    encoder = {
        name.removeprefix(ENCODER_PREFIX): tensor for name, tensor in tensors.items() if name.startswith(ENCODER_PREFIX)
    }
    return encoder or tensors


def _format_shape(tensor: torch.Tensor) -> str:
    return "×".join(map(str, tensor.shape)) or "a number"


def _format_rest(names: list[str], listed: int) -> str:
    return f", and {len(names) - listed} more" if len(names) > listed else ""


def locate_imagenet_weights(settings: ModelSettings) -> str | None:
    """Say where ImageNet weights are, on this machine or at the hub; None if neither can be reached."""
    hub = _find_hub_repository(settings)
    return _locate_in_hub(hub) if hub else None


@functools.cache  # called once for each preset, and several share a network
def _locate_in_hub(hub: str) -> str | None:
    cached = huggingface_hub.try_to_load_from_cache(hub, _HUB_FILE)
    if isinstance(cached, str):
        return f"on this machine: {cached}"
    try:
        huggingface_hub.get_hf_file_metadata(huggingface_hub.hf_hub_url(hub, _HUB_FILE), timeout=_HUB_TIMEOUT)
    except Exception:  # a missing connection fails in many ways, and all mean the same here
        return None
    return "at the Hugging Face hub, to be downloaded once"


def _find_hub_repository(settings: ModelSettings) -> str | None:
    """Return the hub repository of a timm network's weights; None for networks of the zoo."""
    config = None if is_zoo_model(settings.architecture) else timm.get_pretrained_cfg(settings.architecture)
    return config.hf_hub_id or None if config else None
