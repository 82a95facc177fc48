"""The loss of masked image modelling against its formula, one image and pixel after another; and its figures."""

import numpy as np
import pytest
import timm
import torch
from torch import nn

from tfm.models.masked_image_model import MaskedImageModel
from tfm.models.spectral_loss import SpectralNorms
from tfm.training.batches import Batch, draw_numbers
from tfm.training.block_masking import mask_blocks
from tfm.training.settings import MaskSettings
from tfm.training.tasks.reconstruction import Reconstruction, compute_breast_error

SIZE = (16, 24)
MASKS = MaskSettings(block=4)


class Halved(nn.Module):
    """Rebuilds every pixel as half of itself, hidden or not."""

    def forward(self, images, hidden):
        return images / 2


def task(**given):
    return Reconstruction(**{"masks": MASKS, "loss_on": "breast", "beta": 0.0, "norms": None, "in_size": SIZE} | given)


def batch(count=3, *, drawn=5):
    """The last image has no breast."""
    generator = torch.Generator().manual_seed(drawn)
    images = torch.randn(count, 1, *SIZE, generator=generator)
    breast = torch.zeros(count, 1, *SIZE, dtype=torch.uint8)
    for image in range(count - 1):
        breast[image, :, : 8 + 4 * image, : 10 + image] = 1
    return Batch(images, {"breast": breast}, draw_numbers(count, task().draws, drawn))


def plainly(off, counted):
    total = mass = 0.0
    for down in range(off.shape[0]):
        for right in range(off.shape[1]):
            total += float(off[down, right]) * float(counted[down, right])
            mass += float(counted[down, right])
    return total / (mass + 1e-8)


@pytest.mark.parametrize("loss_on", ["breast", "masked"])
def test_each_image_is_measured_over_its_own_breast(loss_on):
    given = batch()
    loss, answers = task(loss_on=loss_on).loss(Halved(), given)
    hidden = mask_blocks(given.targets["breast"], given.draws, MASKS)
    exact = []
    for image in range(3):
        counted = given.targets["breast"][image, 0] * (hidden[image, 0] if loss_on == "masked" else 1)
        exact.append(plainly((given.images[image, 0] / 2).abs(), counted))
    assert exact[2] == 0, "there is no breast in it"
    assert answers[:, 0].tolist() == pytest.approx(exact, rel=1e-5)
    assert loss.item() == pytest.approx(sum(exact), rel=1e-5)


def test_what_lies_outside_the_breast_is_not_measured():
    given = batch()
    changed = Batch(given.images + (given.targets["breast"] == 0) * 9, given.targets, given.draws)
    assert torch.equal(task().predict(Halved(), changed), task().predict(Halved(), given))


def test_an_image_of_which_nothing_can_be_hidden_adds_nothing_though_it_has_a_breast():
    given = batch()
    given.targets["breast"][2, 0, 0, 0] = 1  # one pixel: no block is half full
    assert task().predict(Halved(), given)[2].tolist() == [0, 0, 0]


def test_the_gradient_is_that_of_differences():
    off = torch.rand(3, 1, 4, 6, dtype=torch.float64, requires_grad=True)
    counted = torch.rand(3, 1, 4, 6) > 0.5
    assert torch.autograd.gradcheck(lambda off: compute_breast_error(off, counted), off)


def test_the_gain_is_the_share_of_the_mean_greys_error_that_is_saved():
    class Known(nn.Module):
        def __init__(self, share):
            super().__init__()
            self.share = share

        def forward(self, images, hidden):
            return images * self.share

    for share, gain in ((0.0, 0.0), (0.5, 0.5), (1.0, 1.0), (2.0, 0.0), (3.0, -1.0)):
        figures = task().compute_val_metrics(task().predict(Known(share), batch()), np.zeros(3))
        assert figures["val_gain"] == pytest.approx(gain, abs=1e-6)


def encoder():
    torch.manual_seed(1)
    size = {"img_size": 32, "window_size": 2, "embed_dim": 8, "depths": (1, 1), "num_heads": (1, 2)}
    return timm.create_model("swin_tiny_patch4_window7_224", in_chans=1, num_classes=1, drop_path_rate=0, **size)


def test_the_spectral_term_is_added_once_a_step_with_its_weight_and_is_the_only_state():
    given = Batch(torch.randn(2, 1, 32, 32), {"breast": torch.ones(2, 1, 32, 32, dtype=torch.uint8)})
    with_norms, network = {}, MaskedImageModel(encoder(), 4, "token")
    for beta in (0.0, 0.5):
        norms = SpectralNorms(network) if beta else None
        one = task(in_size=(32, 32), beta=beta, norms=norms)
        batch = Batch(given.images, given.targets, draw_numbers(2, one.draws, 3))
        with_norms[beta] = one.loss(network, batch)[0].item()
        assert one.state_dict().keys() == (norms.vectors.keys() if norms else set())
    exact = SpectralNorms(network)(network).item()
    assert with_norms[0.5] - with_norms[0.0] == pytest.approx(0.5 * exact * 2, rel=1e-4), "the loop divides by 2 images"


def test_rebuilding_is_learned():
    """Stripes: what is hidden follows from what is seen."""
    stripes = ((torch.arange(32) // 4) % 2 * 2.0 - 1).repeat(32, 1)
    images = torch.stack([stripes, stripes.T, -stripes, -stripes.T])[:, None]
    network = MaskedImageModel(encoder(), 4, "token").train()
    one = task(in_size=(32, 32))
    truth = {"breast": torch.ones(4, 1, 32, 32, dtype=torch.uint8)}
    optimizer = torch.optim.AdamW(network.parameters(), 3e-3)
    gains = []
    for step in range(60):
        loss, answers = one.loss(network, Batch(images, truth, draw_numbers(4, one.draws, 3, step)))
        optimizer.zero_grad()
        (loss / 4).backward()
        optimizer.step()
        gains.append(one.compute_train_metrics(answers.detach(), np.zeros(4))["train_gain"])
    assert gains[0] < 0.2
    assert gains[-1] > 0.6
