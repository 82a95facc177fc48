"""The models in the order of a person who chooses."""

from tfm.core.settings.preset_groups import CLASSIC, OWN, group_models
from tfm.core.settings.presets import list_presets


def test_the_classic_ten_come_first_and_segmentation_apart():
    groups = group_models(list_presets("models"))
    assert next(iter(groups)) == CLASSIC
    assert len(groups[CLASSIC]) == 10
    assert groups["Segmentation"] == ["DeepLabV3Plus"]


def test_every_model_is_in_one_group_and_the_users_own_are_apart():
    names = [*list_presets("models"), "mine"]
    groups = group_models(names)
    assert sorted(name for group in groups.values() for name in group) == sorted(names)
    assert groups[OWN] == ["mine"], "each model that ships has a place in configs/menu.yaml"
