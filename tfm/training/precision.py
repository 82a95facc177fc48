"""The numbers a network is computed in, while its weights stay in fp32."""

from __future__ import annotations

import torch

_TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def computing_in(precision: str, device: torch.device) -> torch.autocast:
    """Around a forward pass and its loss."""
    return torch.autocast(device.type, _TYPES.get(precision), enabled=precision in _TYPES)


def scaler(precision: str, device: torch.device) -> torch.amp.GradScaler:
    """fp16 has no room for small gradients: they are made larger on the way. In the others it does nothing."""
    return torch.amp.GradScaler(device.type, enabled=precision == "fp16")
