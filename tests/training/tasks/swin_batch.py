"""A small Swin, a batch with breast masks, and the plain classification that other tasks extend."""

import timm
import torch

from tests.faults.mishaps import SWIN
from tfm.training.batches import Batch
from tfm.training.tasks.classification import Classification

PLAIN = Classification(label_smoothing=0.1, malignant_weight=2.0)


def make_swin():
    torch.manual_seed(4)
    size = {"img_size": 32, "window_size": 4, "embed_dim": 8, "depths": (2, 2), "num_heads": (1, 2)}
    return timm.create_model(SWIN, in_chans=1, num_classes=1, **size).eval()


def make_batch(labels=(0.0, 1.0, 1.0)):
    """Half a breast, a breast that fills the image, and a small one."""
    breast = torch.zeros(3, 1, 32, 32, dtype=torch.uint8)
    breast[0, ..., :16] = 1
    breast[1] = 1
    breast[2, :, 20:, :6] = 1
    images = torch.randn(3, 1, 32, 32, generator=torch.Generator().manual_seed(2))
    return Batch(images, {"breast": breast, "labels": torch.tensor(labels)})
