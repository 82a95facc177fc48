"""Classes of places from lesion masks, the loss on them, and the places that a regression learns from."""

import math

import numpy as np
import pytest
import torch

from tfm.data.dataset.lesion_classes import MASK_CLASSES, encode_mask_class
from tfm.training.lesion_places import (
    BACKGROUND_PLACES,
    LESION_PLACES,
    UNUSED,
    compute_class_shares,
    compute_mask_losses,
    draw_places,
)

BENIGN, MALIGNANT = encode_mask_class("mass", "BENIGN"), encode_mask_class("calc", "MALIGNANT")


def make_masks() -> torch.Tensor:  # (2, 1, 64, 64)
    masks = torch.zeros(2, 1, 64, 64, dtype=torch.uint8)
    masks[0, 0, :16, :24] = BENIGN  # one place and a half, of 16 × 16 pixels
    masks[0, 0, 48:52, 48:52] = MALIGNANT
    return masks


def test_each_value_of_a_mask_is_background_benign_or_malignant():
    values = torch.arange(len(MASK_CLASSES), dtype=torch.uint8)[:, None, None, None]
    found = compute_class_shares(values, (1, 1)).argmax(1).flatten().tolist()
    assert found == [0 if "background" in name else 2 if "malignant" in name else 1 for name in MASK_CLASSES]


def test_shares_are_the_parts_of_a_place_that_a_class_covers():
    shares = compute_class_shares(make_masks(), (4, 4))
    assert shares[0, :, 0, 0].tolist() == [0, 1, 0]
    assert shares[0, :, 0, 1].tolist() == [0.5, 0.5, 0]
    assert shares[0, :, 3, 3].tolist() == [1 - 1 / 16, 0, 1 / 16]
    assert torch.equal(shares.sum(1), torch.ones(2, 4, 4))


def test_lesions_and_background_weigh_the_same_in_the_loss():
    places = torch.randn(2, 3, 4, 4, dtype=torch.float64)
    losses, shown = compute_mask_losses(places, make_masks())
    assert shown.tolist() == [True, False]
    assert losses[1] == 0, "an image without a lesion may lack its mask"
    shares, log_probs = compute_class_shares(make_masks(), (4, 4)).double()[0], places[0].log_softmax(0)
    means = [0.0, 0.0]  # of background and lesions
    for label, row, column in np.ndindex(3, 4, 4):
        kind = shares[:1] if label == 0 else shares[1:]
        means[label > 0] -= (shares * log_probs)[label, row, column].item() / kind.sum().item()
    assert losses[0].item() == pytest.approx(sum(means) / 2)


def test_loss_of_equal_logits_is_that_of_a_guess():
    losses, _ = compute_mask_losses(torch.zeros(2, 3, 4, 4), make_masks())
    assert losses.tolist() == pytest.approx([math.log(3), 0])


def draw(masks, side=16, seed=7, names=("first", "second")):
    return draw_places(compute_class_shares(masks, (side, side)).numpy(), names, seed)


def test_drawn_places_show_what_their_class_says():
    shares = compute_class_shares(make_masks(), (16, 16)).numpy()[0].reshape(3, -1)
    positions, classes = (part[0] for part in draw(make_masks()))
    assert (classes == 1).sum() == LESION_PLACES
    assert (classes == 0).sum() == BACKGROUND_PLACES
    assert len(set(positions.tolist())) == len(positions)
    assert (shares[classes, positions] == 1).all()


def test_smallest_lesion_has_a_place():
    masks = torch.zeros(1, 1, 64, 64, dtype=torch.uint8)
    masks[0, 0, 20, 40] = MALIGNANT
    positions, classes = draw(masks, side=4, names=["tiny"])
    assert positions[classes == 2].tolist() == [4 + 2]


def test_image_without_a_lesion_gives_no_places():
    assert (draw(make_masks())[1][1] == UNUSED).all()


def test_drawn_places_depend_on_seed_and_image_alone():
    positions, _ = draw(make_masks())
    assert np.array_equal(draw(make_masks()[:1], names=["first"])[0][0], positions[0])
    assert not np.array_equal(draw(make_masks(), seed=8)[0][0], positions[0])
    assert not np.array_equal(draw(make_masks(), names=("other", "second"))[0][0], positions[0])
