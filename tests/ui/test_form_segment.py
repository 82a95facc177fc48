"""The form of segment: of the model presets it offers those that start it, and no others."""

from tests.ui.test_form import form, with_products
from tfm.core.settings import presets as offers


def test_segment_asks_for_classes_and_lists_only_its_own_presets(workspace):
    with_products(workspace)
    asked, asker = form("segment", workspace, classes="lesion")
    assert asked.fill().given == {"classes": "lesion"}
    assert "preset" not in asker.names
    (workspace.root / "models").mkdir(parents=True)
    (workspace.root / "models" / "Mine.yaml").write_text("title: x\nabout: y\nstage: segment\n")
    (workspace.root / "models" / "Other.yaml").write_text("title: x\nabout: y\nstage: train\n")
    assert workspace.list_presets("models", like="DeepLabV3Plus") == ["DeepLabV3Plus", "Mine"]
    asked, asker = form("segment", workspace, preset="Mine")
    assert asked.fill().presets == ("Mine",)


def test_all_presets_of_a_folder_with_one_command_are_listed():
    assert offers.list_presets("preprocess", like="fast") == offers.list_presets("preprocess")
