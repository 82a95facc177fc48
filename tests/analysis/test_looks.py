"""Figures of looks that stand beside each other, from scores that are known."""

import math

import pandas as pd

from tfm.analysis.explanation.scores import ENERGY, OUTSIDE, POINTS, format_rows, pair_with_baselines, summarize_scores

NAN = math.nan


def scored(look, outside, energy, points):
    images = [f"I_{number}" for number in range(len(outside))]
    own = {"image_id": images, "patient_id": images, "look": look}
    return pd.DataFrame(own | {OUTSIDE: outside, ENERGY: energy, POINTS: points})


EVEN = scored("everywhere alike", [0.4, 0.9, 0.6], [0.1, 0.3, NAN], [NAN, NAN, NAN])  # the third has no lesion
BESIDE = "everywhere alike, beside Grad-CAM"


def test_a_look_that_is_nothing_in_an_image_stands_beside_others_without_that_image():
    attention = scored("attention", [0.2, 0.6, 0.4], [0.5, 0.5, NAN], [1, 0, NAN])
    cam = scored("Grad-CAM", [0.2, NAN, 0.4], [0.5, NAN, NAN], [1, NAN, NAN])
    table = pair_with_baselines(pd.concat([attention, cam, EVEN]), ["attention", "Grad-CAM"])
    figures = summarize_scores(table)
    assert {look: round(figures[look][OUTSIDE].value, 6) for look in figures} == {
        "attention": 0.4,
        "everywhere alike": 0.633333,
        "Grad-CAM": 0.3,
        BESIDE: 0.5,
    }
    assert [figures[look][ENERGY].value for look in ("Grad-CAM", BESIDE)] == [0.5, 0.1]
    assert {row[0]: row[-2:] for row in format_rows(table, figures)} == {
        "attention": ["3", "2"],
        "everywhere alike": ["3", "2"],
        "Grad-CAM": ["2", "1"],
        BESIDE: ["2", "1"],
    }


def test_looks_that_are_something_in_every_image_share_those_that_know_nothing():
    looks = [scored(look, [0.2, 0.6, 0.4], [0.5, 0.5, NAN], [1, 0, NAN]) for look in ("attention", "Grad-CAM")]
    table = pair_with_baselines(pd.concat([*looks, EVEN]), ["attention", "Grad-CAM"])
    assert list(summarize_scores(table)) == ["attention", "Grad-CAM", "everywhere alike"]
