"""Occlusion: covering what the network responds to lowers its logit, and the map says where that is."""

import numpy as np
import pytest
import torch

from tfm.analysis.explanation.agreement import measure_agreement
from tfm.analysis.explanation.occlusion import compute_occlusion_map, count_passes

SHAPE = (48, 32)


def make_image(row, column):
    image = torch.zeros(1, 1, *SHAPE)
    image[..., row : row + 4, column : column + 4] = 1
    return image


def sum_greys(images):
    return images.sum((1, 2, 3))[:, None]


@pytest.mark.parametrize("sign", [1, -1], ids=["evidence for malignant", "evidence for benign"])
@pytest.mark.parametrize("corner", [(0, 0), (20, 10), (44, 28)])
def test_the_map_is_strongest_where_the_evidence_is(corner, sign):
    image = make_image(*corner)
    heat = compute_occlusion_map(lambda images: sign * sum_greys(images), image, torch.ones(SHAPE, dtype=torch.bool))
    row, column = np.unravel_index(np.abs(heat).argmax(), SHAPE)
    assert abs(row - corner[0] - 2) <= 5
    assert abs(column - corner[1] - 2) <= 5
    assert np.sign(heat[row, column]) == sign


def test_nothing_outside_the_breast_is_covered():
    breast = torch.zeros(SHAPE, dtype=torch.bool)
    breast[:, :16] = True
    heat = compute_occlusion_map(sum_greys, make_image(20, 24), breast)
    assert not heat.any()


def test_an_image_without_a_breast_mask_is_covered_everywhere():
    heat = compute_occlusion_map(sum_greys, make_image(20, 24), torch.zeros(SHAPE, dtype=torch.bool))
    assert heat.max() > 0


def test_agreement_is_a_rank_correlation_within_the_breast():
    first = np.arange(12.0).reshape(3, 4)
    second, breast = first**3, np.ones((3, 4), bool)
    second[0, 0], breast[0, 0] = 1e6, False
    assert measure_agreement(first, second, breast) == pytest.approx(1)
    assert measure_agreement(first, -second, breast) == pytest.approx(-1)
    assert np.isnan(measure_agreement(first, np.zeros((3, 4)), breast))


@pytest.mark.parametrize("width", [0, 16], ids=["no breast", "half the image"])
def test_the_passes_that_are_announced_are_those_that_are_made(width):
    breast = torch.zeros(SHAPE, dtype=torch.bool)
    breast[:, :width] = True
    made = []

    def count_images(images):
        made.append(len(images))
        return sum_greys(images)

    compute_occlusion_map(count_images, make_image(20, 10), breast)
    assert count_passes(breast) == sum(made)
