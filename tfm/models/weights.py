"""Load weights into a network; never leave random ones in their place.
Where ImageNet weights come from is in `imagenet_weights`. The caller finds the checkpoint of a run."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import nn

from tfm.core import appended_checksum, files, hints
from tfm.core.errors import WeightsError
from tfm.models import efficientnet_pytorch_to_timm_names, torchvision_to_timm_names
from tfm.models.head import get_classifier_names
from tfm.models.imagenet_weights import fetch_imagenet_weights
from tfm.models.masked_image_model import ENCODER_PREFIX
from tfm.models.normalisation import Normalisation, get_first_layer_names
from tfm.models.settings import FILE, FROM_SCRATCH, IMAGENET, RUN, ModelSettings, is_zoo_model

NORMALISATION = "normalisation"  # key of a checkpoint, and of the metadata of an exported file
_HINT = "choose a .safetensors file, or a .pth file that contains only the tensors of a network"
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
    if settings.weights == IMAGENET:
        return fetch_imagenet_weights(settings.architecture, refer)
    return Path(settings.weights.removeprefix(FILE))


def read_normalisation(settings: ModelSettings, path: Path) -> Normalisation | None:
    """Read what images must be normalised with for the weights in a file; None if the file does not tell.

    A checkpoint of this program contains it. Other weights over three colours have that of their card at timm, or of
    torchvision's.
    """
    content = _read_content(path)
    if _is_checkpoint(content):
        return Normalisation.from_facts(content[NORMALISATION]) if NORMALISATION in content else None
    tensors = read_weights(path)
    card = None if is_zoo_model(settings.architecture) else timm.get_pretrained_cfg(settings.architecture)
    if card is None or not _takes_colours(tensors):
        return None
    if torchvision_to_timm_names.is_efficientnet(tensors):
        return Normalisation.of_channels(IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD)
    return Normalisation.of_channels(card.mean, card.std)


def save_weights(path: Path, tensors: Mapping[str, torch.Tensor], facts: Mapping[str, Any]) -> None:
    """Write a .safetensors file that carries plain values with its tensors; `NORMALISATION` must be among them."""
    metadata = {"format": "pt", **{name: json.dumps(value) for name, value in facts.items()}}
    with files.write_atomically(path) as temporary:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, temporary, metadata)


def read_exported_facts(path: Path) -> dict[str, Any] | None:
    """Read the plain values of a file that `save_weights` wrote; None for any other file."""
    if path.suffix != ".safetensors":
        return None
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
    except Exception as error:  # as in `_read_content`
        raise WeightsError(f"{path} cannot be read as weights", hint=_HINT) from error
    if NORMALISATION not in metadata:
        return None
    return {name: json.loads(text) for name, text in metadata.items() if name != "format"}


def load_weights(network: nn.Module, path: Path) -> None:
    """Load every tensor except the classifier's, or refuse the file."""
    heads = tuple(f"{name}." for name in get_classifier_names(network))

    def is_needed(name: str) -> bool:
        # Files from before 2018 lack the counter of batches, and nothing is computed from it.
        return not name.startswith(heads) and not name.endswith("num_batches_tracked")

    expected = {name: tensor for name, tensor in network.state_dict().items() if is_needed(name)}
    loaded = _convert_to_timm(network, read_weights(path), path)
    for stem in (f"{layer}.weight" for layer in get_first_layer_names(network)):
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


def _convert_to_timm(network: nn.Module, tensors: dict[str, torch.Tensor], path: Path) -> dict[str, torch.Tensor]:
    names = list(network.state_dict())
    if not efficientnet_pytorch_to_timm_names.is_efficientnet(tensors):
        return torchvision_to_timm_names.convert_to_timm(tensors, names)
    card: Any = network.pretrained_cfg
    if not card.get("architecture", "").startswith("tf_"):  # another padding would give other features
        raise WeightsError(
            f"the weights in {path} do not fit {type(network).__name__}: they were trained in TensorFlow, with another "
            "padding",
            hint="choose the architecture they were trained with by its name at timm, such as tf_efficientnet_lite0",
        )
    return efficientnet_pytorch_to_timm_names.convert_to_timm(tensors, names)


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    tensors = _select_tensors(_read_content(path))
    if not isinstance(tensors, dict) or not all(isinstance(tensor, torch.Tensor) for tensor in tensors.values()):
        raise WeightsError(f"{path} contains something other than the weights of a network", hint=_HINT)
    return dict(tensors)


def _read_content(path: Path) -> Any:
    if appended_checksum.has_checksum(path) and not appended_checksum.has_valid_checksum(path):
        raise WeightsError(f"{path} is damaged: its SHA-256 does not match", hint="copy it again from its source")
    try:
        return _read_safetensors(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except Exception as error:  # on arbitrary files the unpickler fails in arbitrary ways
        raise WeightsError(f"{path} cannot be read as weights", hint=_HINT) from error


def _read_safetensors(path: Path) -> dict[str, Any]:
    """Return the tensors; of an exported model, what a checkpoint of its run would contain."""
    with safe_open(path, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no dict)
        metadata = file.metadata() or {}
    if NORMALISATION not in metadata:
        return tensors
    return {"network": tensors, NORMALISATION: json.loads(metadata[NORMALISATION])}


def _takes_colours(tensors: dict[str, torch.Tensor]) -> bool:
    return any(tensor.ndim == 4 and tensor.shape[1] == 3 for tensor in tensors.values())


def _is_checkpoint(content: Any) -> bool:
    return isinstance(content, dict) and isinstance(content.get("network"), dict)


def _select_tensors(content: Any) -> Any:
    """Of a run's checkpoint, select the moving average if there is one; of a masked image model, the encoder."""
    if not _is_checkpoint(content):
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
