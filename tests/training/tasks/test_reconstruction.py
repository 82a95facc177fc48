"""The loss of masked image modelling against a slow loop over images and pixels, and its metrics."""

import numpy as np
import pytest
import timm
import torch
from torch import nn

from tfm.models.attention_spectral_loss import SpectralNorms
from tfm.models.masked_image_model import MaskedImageModel
from tfm.training.batches import Batch, draw_numbers
from tfm.training.block_masking import mask_blocks
from tfm.training.settings import MaskSettings
from tfm.training.tasks.reconstruction import Reconstruction, compute_breast_error

SIZE = (16, 24)
MASKS = MaskSettings(block=4)


class Halved(nn.Module):
    """Reconstructs every pixel as half of its value, masked or not."""

    def forward(self, images, masked):
        return images / 2


def make_task(**batch):
    return Reconstruction(**{"masks": MASKS, "loss_on": "breast", "beta": 0.0, "norms": None, "in_size": SIZE} | batch)


def make_batch(count=3, *, seed=5):
    """The last image has no breast."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(count, 1, *SIZE, generator=generator)
    breast = torch.zeros(count, 1, *SIZE, dtype=torch.uint8)
    for image in range(count - 1):
        breast[image, :, : 8 + 4 * image, : 10 + image] = 1
    return Batch(images, {"breast": breast}, draw_numbers(count, make_task().draws, seed))


def average_slowly(off, counted):
    total = mass = 0.0
    for down in range(off.shape[0]):
        for right in range(off.shape[1]):
            total += float(off[down, right]) * float(counted[down, right])
            mass += float(counted[down, right])
    return total / (mass + 1e-8)


@pytest.mark.parametrize("loss_on", ["breast", "masked"])
def test_error_of_each_image_is_averaged_over_its_own_breast(loss_on):
    batch = make_batch()
    loss, outputs = make_task(loss_on=loss_on).compute_loss(Halved(), batch)
    masked = mask_blocks(batch.targets["breast"], batch.draws, MASKS)
    exact = []
    for image in range(3):
        counted = batch.targets["breast"][image, 0] * (masked[image, 0] if loss_on == "masked" else 1)
        exact.append(average_slowly((batch.images[image, 0] / 2).abs(), counted))
    assert exact[2] == 0, "it has no breast"
    assert outputs[:, 0].tolist() == pytest.approx(exact, rel=1e-5)
    assert loss.item() == pytest.approx(sum(exact), rel=1e-5)


def test_pixels_outside_the_breast_do_not_count():
    batch = make_batch()
    changed = Batch(batch.images + (batch.targets["breast"] == 0) * 9, batch.targets, batch.draws)
    assert torch.equal(make_task().predict(Halved(), changed), make_task().predict(Halved(), batch))


def test_image_without_an_eligible_block_adds_nothing():
    batch = make_batch()
    batch.targets["breast"][2, 0, 0, 0] = 1  # one pixel: no block is half full
    assert make_task().predict(Halved(), batch)[2].tolist() == [0, 0, 0]


def test_gradient_equals_finite_differences():
    off = torch.rand(3, 1, 4, 6, dtype=torch.float64, requires_grad=True)
    counted = torch.rand(3, 1, 4, 6) > 0.5
    assert torch.autograd.gradcheck(lambda off: compute_breast_error(off, counted), off)


def test_gain_compares_with_the_error_of_the_mean_grey_value():
    class Known(nn.Module):
        def __init__(self, share):
            super().__init__()
            self.share = share

        def forward(self, images, masked):
            return images * self.share

    for share, gain in ((0.0, 0.0), (0.5, 0.5), (1.0, 1.0), (2.0, 0.0), (3.0, -1.0)):
        metrics = make_task().compute_val_metrics(make_task().predict(Known(share), make_batch()), np.zeros(3))
        assert metrics["val_gain"] == pytest.approx(gain, abs=1e-6)


def make_encoder():
    torch.manual_seed(1)
    size = {"img_size": 32, "window_size": 2, "embed_dim": 8, "depths": (1, 1), "num_heads": (1, 2)}
    return timm.create_model("swin_tiny_patch4_window7_224", in_chans=1, num_classes=1, drop_path_rate=0, **size)


def test_spectral_term_is_added_with_its_weight_and_is_the_only_state():
    batch = Batch(torch.randn(2, 1, 32, 32), {"breast": torch.ones(2, 1, 32, 32, dtype=torch.uint8)})
    with_norms, network = {}, MaskedImageModel(make_encoder(), 4, "token")
    for beta in (0.0, 0.5):
        norms = SpectralNorms(network) if beta else None
        task = make_task(in_size=(32, 32), beta=beta, norms=norms)
        batch = Batch(batch.images, batch.targets, draw_numbers(2, task.draws, 3))
        with_norms[beta] = task.compute_loss(network, batch)[0].item()
        assert task.state_dict().keys() == (norms.vectors.keys() if norms else set())
    exact = SpectralNorms(network)(network).item()
    assert with_norms[0.5] - with_norms[0.0] == pytest.approx(0.5 * exact * 2, rel=1e-4), "the loop divides by 2 images"


def test_reconstruction_is_learned():
    """The images have stripes, so that masked pixels follow from visible ones."""
    stripes = ((torch.arange(32) // 4) % 2 * 2.0 - 1).repeat(32, 1)
    images = torch.stack([stripes, stripes.T, -stripes, -stripes.T])[:, None]
    network = MaskedImageModel(make_encoder(), 4, "token").train()
    task = make_task(in_size=(32, 32))
    truth = {"breast": torch.ones(4, 1, 32, 32, dtype=torch.uint8)}
    optimizer = torch.optim.AdamW(network.parameters(), 3e-3)
    gains = []
    for step in range(60):
        loss, outputs = task.compute_loss(network, Batch(images, truth, draw_numbers(4, task.draws, 3, step)))
        optimizer.zero_grad()
        (loss / 4).backward()
        optimizer.step()
        gains.append(task.compute_train_metrics(outputs.detach(), np.zeros(4))["train_gain"])
    assert gains[0] < 0.2
    assert gains[-1] > 0.6
