"""Small encoders for the tests of features and masked image models."""

import timm
import torch

SWIN = "swin_tiny_patch4_window7_224"
ENCODERS = [SWIN, "resnet18", "efficientnet_b0", "test_convnext"]


def build_encoder(name, **given):
    torch.manual_seed(3)
    small = {"embed_dim": 16, "depths": (1, 1, 1, 1), "img_size": 64, "window_size": 2} if name == SWIN else {}
    return timm.create_model(name, in_chans=1, num_classes=1, **small | given).eval()
