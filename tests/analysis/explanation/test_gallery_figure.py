"""Figures of galleries: as wide as two columns, and no longer than a page."""

import dataclasses

import numpy as np
import pytest

from tfm.analysis.explanation.gallery import CONFIDENT, ExplainedImage
from tfm.analysis.figures.gallery import draw_gallery, split_into_pages
from tfm.analysis.figures.style import WIDE


def make_examples(count, shares):
    image, mask = np.zeros((48, 32), np.uint8), np.zeros((48, 32), bool)
    maps = {name: np.ones((48, 32)) for name in shares}
    evidence = {name: np.ones((48, 32)) for name in ("Grad-CAM", "occlusion")}
    return [
        ExplainedImage(f"P_{n}", f"P_{n}", CONFIDENT, 1, 1, 0.9, image, mask, mask, maps, evidence)
        for n in range(count)
    ]


@pytest.mark.parametrize("shares", [[], ["attention"]], ids=["two images in a row", "one image in a row"])
def test_each_page_of_a_gallery_is_two_columns_wide_and_shows_other_images(shares):
    examples = make_examples(9, shares)
    pages = split_into_pages(examples)
    assert [one.name for page in pages for one in page] == [one.name for one in examples]
    for page in (pages[0], pages[-1]):
        width, height = draw_gallery(page, "true positives").get_size_inches()
        assert width == pytest.approx(WIDE[0])
        assert height < 14


def test_an_image_that_was_not_occluded_leaves_its_last_panel_blank():
    covered, other = make_examples(2, [])
    other = dataclasses.replace(other, evidence={"Grad-CAM": other.evidence["Grad-CAM"]})
    for order in ([covered, other], [other, covered]):
        panels = draw_gallery(order, "true positives").axes
        titles = [axes.get_title() for axes in panels if axes.images]
        assert sorted(titles) == ["Grad-CAM", "Grad-CAM", "image", "image", "occlusion"]
