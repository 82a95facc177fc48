"""Tiles of large images: where they are cut in training, and how they are blended in predictions."""

import itertools

import numpy as np
import pytest
import torch

from tfm.core.errors import SettingsError
from tfm.models.tile_starts import get_tile_starts
from tfm.training.batches import draw_numbers
from tfm.training.tiles import DRAWS, cut_tiles, get_input_size, predict_probabilities

HEIGHT, WIDTH, TILE = 96, 80, 32


@pytest.fixture(scope="module")
def images_and_lesions():
    """Each pixel has another value, which shows where a tile was cut. All images but the first have two lesions."""
    images = torch.arange(6 * HEIGHT * WIDTH, dtype=torch.float32).view(6, 1, HEIGHT, WIDTH)
    lesions = torch.zeros(6, 1, HEIGHT, WIDTH, dtype=torch.uint8)
    lesions[1:, :, 3:5, 70:76], lesions[1:, :, 60:64, 20:22] = 3, 5
    return images, lesions


def draw(epoch=0):
    return draw_numbers(6, DRAWS, 7, "task", epoch)


def test_tile_is_the_same_in_any_batch_and_differs_between_epochs(images_and_lesions):
    images, lesions = images_and_lesions
    together, _ = cut_tiles(images, lesions, draw(), TILE, 0.5)
    alone = [cut_tiles(images[[n]], lesions[[n]], draw()[[n]], TILE, 0.5)[0] for n in (4, 1, 5)]
    assert torch.equal(torch.cat(alone), together[[4, 1, 5]])
    assert not torch.equal(cut_tiles(images, lesions, draw(1), TILE, 0.5)[0], together)


def test_image_and_lesions_are_cut_at_the_same_place(images_and_lesions):
    images, lesions = images_and_lesions
    image_tiles, lesion_tiles = cut_tiles(images, lesions, draw(), TILE, 1.0)
    assert image_tiles.shape == lesion_tiles.shape == (6, 1, TILE, TILE)
    assert torch.equal(lesion_tiles.flatten(), lesions.flatten()[image_tiles.flatten().long()])


def test_lesion_tiles_show_a_lesion_and_over_time_every_one(images_and_lesions):
    images, lesions = images_and_lesions
    tiles = torch.stack([cut_tiles(images, lesions, draw(epoch), TILE, 1.0)[1] for epoch in range(30)])
    assert (tiles[:, 1:].amax((2, 3, 4)) > 0).all()
    assert {int(value) for value in tiles.unique()} == {0, 3, 5}
    anywhere = torch.stack([cut_tiles(images, lesions, draw(epoch), TILE, 0.0)[1] for epoch in range(30)])
    assert (anywhere.amax((2, 3, 4)) == 0).any()


def test_tiles_reach_every_pixel_of_an_image_without_lesions(images_and_lesions):
    images, lesions = images_and_lesions
    seen = [cut_tiles(images[:1], lesions[:1], draw(epoch)[:1], TILE, 0.75)[0].unique() for epoch in range(300)]
    assert len(torch.cat(seen).unique()) > 0.97 * HEIGHT * WIDTH


@pytest.mark.parametrize(("side", "overlap"), [(96, 0.0), (100, 0.5), (32, 0.5), (1152, 0.25), (33, 0.9)])
def test_tiles_cover_a_side_with_the_requested_overlap(side, overlap):
    starts = get_tile_starts(side, TILE, overlap)
    assert (starts[0], starts[-1]) == (0, side - TILE)
    assert all(after - before <= TILE * (1 - overlap) + 1 for before, after in itertools.pairwise(starts))


class ByPixel(torch.nn.Module):
    """Its output for a pixel depends on that pixel only."""

    def forward(self, images):
        return torch.cat([images.sin(), images.cos()], dim=1)


def test_prediction_tile_by_tile_equals_prediction_of_the_whole_image(images_and_lesions):
    images = images_and_lesions[0] / 1000
    whole = predict_probabilities(ByPixel(), images, None, 0.5)
    np.testing.assert_allclose(predict_probabilities(ByPixel(), images, TILE, 0.5), whole, rtol=1e-5)
    assert torch.allclose(whole.sum(1), torch.ones(1))


def test_middle_of_a_tile_weighs_more_than_the_edge_of_another():
    class Counting(torch.nn.Module):
        calls = 0.0

        def forward(self, images):
            self.calls += 1
            return torch.cat([torch.full_like(images, self.calls), torch.zeros_like(images)], dim=1)

    row = predict_probabilities(Counting(), torch.zeros(1, 1, TILE, TILE + TILE // 2), TILE, 0.5)[0, 0, 0]
    both = row[TILE // 2 : TILE]
    assert (both.diff() > 0).all()
    assert row[0] < both[0] < both[-1] < row[-1]


def test_tile_larger_than_the_images_is_refused(images_and_lesions):
    class Cache:
        images = np.zeros((1, 64, 96))

    assert get_input_size(64, Cache()) == (64, 64)
    assert get_input_size(None, Cache()) == (64, 96)
    with pytest.raises(SettingsError, match="80 pixels cannot be cut out of images of 64 × 96") as refusal:
        get_input_size(80, Cache())
    assert refusal.value.fields == ("tile",)
