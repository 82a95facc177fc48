"""Names of LaTeX macros: letters only, and one for each model."""

import re

from tfm.analysis.thesis.number_macros import name_macros


def test_digits_are_dropped_where_the_name_stays_unique():
    assert name_macros(["ResNet18_CFT", "MammoCNN"]) == {"ResNet18_CFT": "ResNetCFT", "MammoCNN": "MammoCNN"}


def test_digits_are_spelled_where_two_names_differ_only_in_them():
    named = name_macros(["DenseNet121_CFT", "DenseNet169_CFT"])
    assert named == {"DenseNet121_CFT": "DenseNetOneTwoOneCFT", "DenseNet169_CFT": "DenseNetOneSixNineCFT"}


def test_all_names_become_letters_and_stay_unique():
    names = ["a_b", "a-b", "a b", "12", "", "ñ", "Net [a1b2]", "Net [a1b3]", "Net (fold 1, seed 7)"]
    named = name_macros(names)
    assert set(named) == set(names)
    assert len(set(named.values())) == len(names)
    assert all(re.fullmatch("[A-Za-z]+", letters) for letters in named.values())
