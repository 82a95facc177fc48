"""A recipe is plain values, and equal recipes build equal trainings."""

import json

import pytest
import torch

from tests.training.small_training import SmallTrainings
from tfm.commands.pretrain import Pretrain
from tfm.commands.segment import Segment
from tfm.core.errors import SettingsError
from tfm.core.settings.presets import load_preset
from tfm.core.settings.resolve import resolve
from tfm.models.settings import ModelSettings
from tfm.models.specs import MaskedImageModelSpec
from tfm.pipelines import segment
from tfm.training.batches import Normalisation
from tfm.training.inputs.samples import UNKNOWN
from tfm.training.recipe import DataSpec, TrainingRecipe
from tfm.training.tasks.breast_aware import BreastAwareClassification
from tfm.training.tasks.specs import ReconstructionSpec

NAMES = {"dataset": "pocket", "cache": "pocket"}
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return SmallTrainings(tmp_path_factory.mktemp("trainings"))


def classify(small, given=None):
    return small.make(given).recipe


def segment_lesions(small):
    settings = resolve(Segment, load_preset("models", "DeepLabV3Plus").settings, NAMES)
    pixels = torch.arange(7, 0, -1).numpy()
    return segment.make_recipe(settings, small.cache, small.train, small.val, Normalisation(0.4, 0.2), pixels)


def reconstruct(small):
    settings = resolve(Pretrain, {}, NAMES)
    return TrainingRecipe(
        model=MaskedImageModelSpec(
            settings=ModelSettings(architecture="swin_pico"), in_size=(64, 64), block=16, fill="token"
        ),
        task=ReconstructionSpec(masks=settings.masks, loss_on="breast", beta=1e-3),
        batches=settings.batches,
        optimizer=settings.optim,
        machine=settings.machine,
        seed=3,
        data=DataSpec.of(small.cache, small.train, small.val, Normalisation(0.4, 0.2)),
    )


@pytest.mark.parametrize("make", [classify, segment_lesions, reconstruct])
def test_a_recipe_is_read_back_from_json_as_it_was(small, make):
    recipe = make(small)
    assert TrainingRecipe.from_json(recipe.to_json()) == recipe
    assert json.loads(recipe.to_json())["data"]["train"][0][0] == small.train.table["image_id"][0]


@pytest.mark.parametrize("make", [classify, segment_lesions, reconstruct])
def test_equal_recipes_build_equal_trainings(small, make):
    recipe = make(small)
    one, other = recipe.build(CPU), TrainingRecipe.from_json(recipe.to_json()).build(CPU)
    expected = other.network.state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in one.network.state_dict().items())
    assert one.train.samples.table.equals(other.train.samples.table)
    assert one.task.columns == other.task.columns


def test_another_seed_draws_other_first_weights(small):
    first, second = (
        torch.cat([tensor.flatten() for tensor in classify(small, {"seed": seed}).build(CPU).network.parameters()])
        for seed in (1, 2)
    )
    assert not torch.equal(first, second)


def test_a_recipe_cannot_be_changed(small):
    with pytest.raises(ValueError, match="frozen"):
        classify(small).seed = 8


def test_what_a_command_adds_to_batches_and_optimizer_goes_to_data_and_task(small):
    recipe = classify(small, {"balance": "sampling", "label_smoothing": 0.2})
    assert recipe.data.balanced
    assert not recipe.task.weigh_classes
    assert recipe.task.label_smoothing == 0.2
    assert "balance" not in recipe.batches.model_dump()


def test_a_check_raises_what_building_would_raise(small):
    wrong = classify(small).model_copy(
        update={
            "task": classify(small, {"pooling": "breast"}).task,
            "machine": classify(small, {"compile": True}).machine,
        }
    )
    for act in (wrong.check, lambda: wrong.build(CPU)):
        with pytest.raises(SettingsError) as refusal:
            act()
        assert refusal.value.fields == ("compile",)


def test_a_replica_has_neither_first_weights_nor_an_average_and_a_known_batch_size(small):
    replica = classify(small, {"ema": 0.9, "batch_size": "auto"}).as_replica(batch_size=4).build(CPU)
    assert replica.ema is None
    assert replica.batch_size == 4


def test_for_evaluation_predictions_stay_and_training_terms_go(small):
    given = {"architecture": "swin_pico", "pooling": "breast", "beta": 1e-3, "trained": "last_stage", "ema": 0.9}
    full = classify(small, given)
    training = full.for_evaluation().build(CPU)
    assert isinstance(training.task, BreastAwareClassification)
    assert training.task.terms.pooling == "breast"
    assert training.task.norms is None
    assert training.ema is None
    assert all(tensor.requires_grad for tensor in training.network.parameters())


def test_samples_without_a_label_stay_unknown(small):
    recipe = classify(small, {"label_percent": 50, "unlabelled": "pseudo"})
    assert UNKNOWN in {sample.label for sample in recipe.data.train}
    assert UNKNOWN in recipe.build(CPU).train.samples.labels
