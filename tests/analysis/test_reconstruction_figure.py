"""The figure of reconstructions."""

import pytest
import timm

from tests.training.small_training import SmallTrainings
from tfm.analysis.reconstruction_figure import draw_reconstructions
from tfm.models.masked_image_model import MaskedImageModel
from tfm.training.settings import MaskSettings
from tfm.training.tasks.reconstruction import Reconstruction


@pytest.fixture(scope="module")
def training(tmp_path_factory):
    return SmallTrainings(tmp_path_factory.mktemp("rebuilt")).make()


def draw(folder, training, token):
    """Draw with a network whose output is constant, so that only its input can differ."""
    masks = MaskSettings(block=16)
    network = MaskedImageModel(timm.create_model("test_resnet", in_chans=1), masks.block, "token")
    for tensor in (*network.decoder.parameters(), network.token):
        tensor.data.zero_()
    network.token.data += token
    training.network = network
    task = Reconstruction(masks, "breast", 0.0, None, training.val.cache.images.shape[1:])
    return draw_reconstructions(folder / "rebuilt.png", training, task)


def test_masked_blocks_show_the_mask_token(training, tmp_path):
    grey, white = (draw(tmp_path, training, token) for token in (0, 5))
    assert grey != white
