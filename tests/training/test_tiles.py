"""Squares cut out of large images: where lesions are, the same for an image in any batch; and whole images put together
from squares again."""

import itertools

import numpy as np
import pytest
import torch

from tfm.core.errors import SettingsError
from tfm.training.batches import draw_numbers
from tfm.training.tiles import DRAWS, cut_tiles, get_input_size, get_tile_starts, predict_probabilities

HEIGHT, WIDTH, TILE = 96, 80, 32


@pytest.fixture(scope="module")
def films():
    """Each pixel has a value of its own: a square tells where it was cut. All but the first show two lesions."""
    images = torch.arange(6 * HEIGHT * WIDTH, dtype=torch.float32).view(6, 1, HEIGHT, WIDTH)
    lesions = torch.zeros(6, 1, HEIGHT, WIDTH, dtype=torch.uint8)
    lesions[1:, :, 3:5, 70:76], lesions[1:, :, 60:64, 20:22] = 3, 5
    return images, lesions


def drawn(epoch=0):
    return draw_numbers(6, DRAWS, 7, "task", epoch)


def test_a_square_is_its_images_own_alone_or_in_any_batch_and_another_in_each_epoch(films):
    images, lesions = films
    together, _ = cut_tiles(images, lesions, drawn(), TILE, 0.5)
    alone = [cut_tiles(images[[n]], lesions[[n]], drawn()[[n]], TILE, 0.5)[0] for n in (4, 1, 5)]
    assert torch.equal(torch.cat(alone), together[[4, 1, 5]])
    assert not torch.equal(cut_tiles(images, lesions, drawn(1), TILE, 0.5)[0], together)


def test_image_and_lesions_are_cut_at_the_same_place(films):
    images, lesions = films
    squares, masks = cut_tiles(images, lesions, drawn(), TILE, 1.0)
    assert squares.shape == masks.shape == (6, 1, TILE, TILE)
    assert torch.equal(masks.flatten(), lesions.flatten()[squares.flatten().long()])


def test_squares_for_lesions_show_one_and_show_every_one_in_time(films):
    images, lesions = films
    held = torch.stack([cut_tiles(images, lesions, drawn(epoch), TILE, 1.0)[1] for epoch in range(30)])
    assert (held[:, 1:].amax((2, 3, 4)) > 0).all()
    assert {int(value) for value in held.unique()} == {0, 3, 5}
    anywhere = torch.stack([cut_tiles(images, lesions, drawn(epoch), TILE, 0.0)[1] for epoch in range(30)])
    assert (anywhere.amax((2, 3, 4)) == 0).any()


def test_squares_reach_every_pixel_of_an_image_without_lesions(films):
    images, lesions = films
    seen = [cut_tiles(images[:1], lesions[:1], drawn(epoch)[:1], TILE, 0.75)[0].unique() for epoch in range(300)]
    assert len(torch.cat(seen).unique()) > 0.97 * HEIGHT * WIDTH


@pytest.mark.parametrize(("side", "overlap"), [(96, 0.0), (100, 0.5), (32, 0.5), (1152, 0.25), (33, 0.9)])
def test_windows_cover_a_side_and_overlap_as_wanted(side, overlap):
    rows = get_tile_starts(side, TILE, overlap)
    assert (rows[0], rows[-1]) == (0, side - TILE)
    assert all(after - before <= TILE * (1 - overlap) + 1 for before, after in itertools.pairwise(rows))


class ByPixel(torch.nn.Module):
    """What it says of a pixel hangs on nothing else."""

    def forward(self, images):
        return torch.cat([images.sin(), images.cos()], dim=1)


def test_whole_images_looked_at_square_by_square_are_as_if_looked_at_at_once(films):
    images = films[0] / 1000
    whole = predict_probabilities(ByPixel(), images, None, 0.5)
    np.testing.assert_allclose(predict_probabilities(ByPixel(), images, TILE, 0.5), whole, rtol=1e-5)
    assert torch.allclose(whole.sum(1), torch.ones(1))


def test_where_squares_overlap_the_middle_of_one_counts_for_more_than_the_rim_of_another():
    class Darker(torch.nn.Module):
        said = 0.0

        def forward(self, images):
            self.said += 1
            return torch.cat([torch.full_like(images, self.said), torch.zeros_like(images)], dim=1)

    row = predict_probabilities(Darker(), torch.zeros(1, 1, TILE, TILE + TILE // 2), TILE, 0.5)[0, 0, 0]
    both = row[TILE // 2 : TILE]
    assert (both.diff() > 0).all()
    assert row[0] < both[0] < both[-1] < row[-1]


def test_squares_larger_than_the_images_are_refused(films):
    class Cache:
        images = np.zeros((1, 64, 96))

    assert get_input_size(64, Cache()) == (64, 64)
    assert get_input_size(None, Cache()) == (64, 96)
    with pytest.raises(SettingsError, match="80 pixels cannot be cut out of images of 64 × 96") as refusal:
        get_input_size(80, Cache())
    assert refusal.value.fields == ("tile",)
