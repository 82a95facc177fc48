"""Where ImageNet weights come from: a package that brings them, else the Hugging Face hub."""

from __future__ import annotations

import functools
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import huggingface_hub
import timm
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

from tfm.core.errors import WeightsError, is_disk_error
from tfm.models.packaged_weights import describe_installation, find_in_package, find_package
from tfm.models.settings import FILE, FROM_SCRATCH, is_zoo_model

_HUB_FILE = "model.safetensors"
_HUB_TIMEOUT = 3.0  # seconds, to ask whether a file is there
_no_connection: list[str] = []  # the repository that was asked in vain: the others need not be asked


def fetch_imagenet_weights(architecture: str, refer: Callable[[str], str]) -> Path:
    """Return the file of the weights, downloading it if needed.

    Args:
        refer: names, in a hint, the setting with which other weights are chosen.
    """
    found = find_in_package(architecture)
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


@dataclass(frozen=True)
class WeightsLocation:
    """Where ImageNet weights are: in a file here, else at the hub if it answered with their size."""

    file: Path | None = None
    megabytes: float | None = None

    @property
    def is_reachable(self) -> bool:
        return self.file is not None or self.megabytes is not None

    def describe(self) -> str:
        if self.file:
            return f"on this machine: {self.file}"
        if self.megabytes is not None:
            return f"at the Hugging Face hub, to be downloaded once ({self.megabytes:.0f} MB)"
        return "not on this machine, and the hub is unreachable"


def locate_imagenet_weights(architecture: str) -> WeightsLocation:
    """Find the weights without downloading them. Where there is no connection, this takes three seconds, once."""
    found, hub = find_in_package(architecture), _find_hub_repository(architecture)
    if found or hub is None:
        return WeightsLocation(found)
    kept = huggingface_hub.try_to_load_from_cache(hub, _HUB_FILE)
    return WeightsLocation(Path(kept)) if isinstance(kept, str) else WeightsLocation(megabytes=_ask_hub(hub))


def describe_remedy(architecture: str) -> str:
    """What to do where the weights cannot be reached."""
    package = find_package(architecture)
    return describe_installation(package) if package else "connect to the internet once to fetch them"


@functools.cache  # called once for each preset, and several share a network
def _ask_hub(hub: str) -> float | None:
    """The size of the weights in MB; None if the hub does not answer. Looking up its name can take longer than any
    timeout of the connection, so it is done in a thread that is left behind."""
    if _no_connection:
        return None
    answers: queue.Queue[float | None] = queue.Queue()

    def ask() -> None:
        try:
            url = huggingface_hub.hf_hub_url(hub, _HUB_FILE)
            size = huggingface_hub.get_hf_file_metadata(url, timeout=_HUB_TIMEOUT).size
            answers.put((size or 0) / 1e6)
        except HfHubHTTPError:
            answers.put(None)
        except Exception:  # a missing connection fails in many ways, and all mean the same here
            _no_connection.append(hub)
            answers.put(None)

    threading.Thread(target=ask, daemon=True).start()
    try:
        return answers.get(timeout=_HUB_TIMEOUT)
    except queue.Empty:
        _no_connection.append(hub)
        return None


def _find_hub_repository(architecture: str) -> str | None:
    """Return the hub repository of a timm network's weights; None for networks of the zoo."""
    config = None if is_zoo_model(architecture) else timm.get_pretrained_cfg(architecture)
    return config.hf_hub_id or None if config else None
