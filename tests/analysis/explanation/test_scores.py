"""Scores of maps and baselines, compared on the same images."""

import math

import pandas as pd

from tfm.analysis.explanation.scores import (
    ENERGY,
    OUTSIDE,
    POINTS,
    UNIFORM,
    make_score_table,
    pair_with_baselines,
    summarize_scores,
)

NAN = math.nan


def make_scores(name, outside, energy, points):
    images = [f"I_{number}" for number in range(len(outside))]
    facts = {"image_id": images, "patient_id": images, "look": name}
    return pd.DataFrame(facts | {OUTSIDE: outside, ENERGY: energy, POINTS: points})


BASELINE = make_scores(UNIFORM, [0.4, 0.9, 0.6], [0.1, 0.3, NAN], [NAN, NAN, NAN])  # the third image has no lesion


def test_map_that_is_empty_in_an_image_is_compared_without_that_image():
    attention = make_scores("attention", [0.2, 0.6, 0.4], [0.5, 0.5, NAN], [1, 0, NAN])
    cam = make_scores("Grad-CAM", [0.2, NAN, 0.4], [0.5, NAN, NAN], [1, NAN, NAN])
    table = pair_with_baselines(pd.concat([attention, cam, BASELINE]), ["attention", "Grad-CAM"])
    summary = summarize_scores(table)
    own_baseline = f"{UNIFORM}, beside Grad-CAM"
    assert {name: round(summary[name][OUTSIDE].value, 6) for name in summary} == {
        "attention": 0.4,
        UNIFORM: 0.633333,
        "Grad-CAM": 0.3,
        own_baseline: 0.5,
    }
    assert [summary[name][ENERGY].value for name in ("Grad-CAM", own_baseline)] == [0.5, 0.1]
    shown = make_score_table("Where it looks", table, summary, "protocol")
    assert shown is not None
    rows = shown.rows
    assert [row[-2:] for row in rows] == [["3", "2"], ["3", "2"], ["2", "1"], ["2", "1"]]
    assert "Grad-CAM" in rows[-1][0], "the label says whose images the baseline was scored on"
    assert len({row[0] for row in rows}) == 4


def test_maps_without_empty_images_share_the_baselines():
    maps = [make_scores(name, [0.2, 0.6, 0.4], [0.5, 0.5, NAN], [1, 0, NAN]) for name in ("attention", "Grad-CAM")]
    table = pair_with_baselines(pd.concat([*maps, BASELINE]), ["attention", "Grad-CAM"])
    assert list(summarize_scores(table)) == ["attention", "Grad-CAM", UNIFORM]


def test_without_lesion_masks_only_the_share_outside_the_breast_is_scored():
    attention = make_scores("attention", [0.2, 0.6], [NAN, NAN], [NAN, NAN])
    shown = make_score_table("Where it looks", attention, summarize_scores(attention), "protocol")
    assert shown is not None
    assert shown.columns == ["map", "outside the breast", "images"]
    assert "lesion" not in shown.caption


def test_without_any_mask_nothing_is_scored():
    attention = make_scores("attention", [NAN, NAN], [NAN, NAN], [NAN, NAN])
    assert make_score_table("Where it looks", attention, summarize_scores(attention), "protocol") is None
