"""The precision a network computes in. Its weights stay in fp32."""

from __future__ import annotations

import torch

_TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def autocast(precision: str, device: torch.device) -> torch.autocast:
    """Use this around a forward pass and its loss."""
    return torch.autocast(device.type, _TYPES.get(precision), enabled=precision in _TYPES)


def make_grad_scaler(precision: str, device: torch.device) -> torch.amp.GradScaler:
    """Make a scaler that keeps small gradients from vanishing in fp16; in other precisions it does nothing."""
    return torch.amp.GradScaler(device.type, enabled=precision == "fp16")
