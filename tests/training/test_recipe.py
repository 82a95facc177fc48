"""A recipe is plain data, and equal recipes build equal trainings."""

import json

import pytest
import torch

from tests.training.small_training import SmallTrainings
from tfm.commands.pretrain import Pretrain
from tfm.commands.segment import Segment
from tfm.core.errors import SettingsError
from tfm.core.settings.presets import load_preset
from tfm.core.settings.resolve import resolve
from tfm.models.model_spec import MaskedImageModelSpec
from tfm.models.normalisation import Normalisation
from tfm.models.settings import ModelSettings
from tfm.pipelines import segment
from tfm.training.inputs.samples import UNKNOWN
from tfm.training.recipe import DataSpec, TrainingRecipe
from tfm.training.tasks.breast_aware_classification import BreastAwareClassification
from tfm.training.tasks.task_spec import ReconstructionSpec

NAMES = {"dataset": "pocket", "cache": "pocket"}
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def trainings(tmp_path_factory):
    return SmallTrainings(tmp_path_factory.mktemp("trainings"))


def make_classification(trainings, given=None):
    return trainings.make(given).recipe


def make_segmentation(trainings):
    settings = resolve(Segment, load_preset("models", "DeepLabV3Plus").settings, NAMES)
    pixels = torch.arange(7, 0, -1).numpy()
    return segment.make_recipe(
        settings, trainings.cache, trainings.train, trainings.val, Normalisation(0.4, 0.2), pixels
    )


def make_reconstruction(trainings):
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
        data=DataSpec.of(trainings.cache, trainings.train, trainings.val, Normalisation(0.4, 0.2)),
    )


@pytest.mark.parametrize("make", [make_classification, make_segmentation, make_reconstruction])
def test_recipe_survives_json(trainings, make):
    recipe = make(trainings)
    assert TrainingRecipe.from_json(recipe.to_json()) == recipe
    assert json.loads(recipe.to_json())["data"]["train"][0][0] == trainings.train.table["image_id"][0]


@pytest.mark.parametrize("make", [make_classification, make_segmentation, make_reconstruction])
def test_equal_recipes_build_equal_trainings(trainings, make):
    recipe = make(trainings)
    one, other = recipe.build(CPU), TrainingRecipe.from_json(recipe.to_json()).build(CPU)
    expected = other.network.state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in one.network.state_dict().items())
    assert one.train.samples.table.equals(other.train.samples.table)
    assert one.task.columns == other.task.columns


def test_another_seed_gives_other_first_weights(trainings):
    first, second = (
        torch.cat(
            [
                tensor.flatten()
                for tensor in make_classification(trainings, {"seed": seed}).build(CPU).network.parameters()
            ]
        )
        for seed in (1, 2)
    )
    assert not torch.equal(first, second)


def test_recipe_is_frozen(trainings):
    with pytest.raises(ValueError, match="frozen"):
        make_classification(trainings).seed = 8


def test_balance_goes_to_the_data_and_label_smoothing_to_the_task(trainings):
    recipe = make_classification(trainings, {"balance": "sampling", "label_smoothing": 0.2})
    assert recipe.data.balanced
    assert not recipe.task.weigh_classes
    assert recipe.task.label_smoothing == 0.2
    assert "balance" not in recipe.batches.model_dump()


def test_check_raises_the_errors_of_build(trainings):
    wrong = make_classification(trainings).model_copy(
        update={
            "task": make_classification(trainings, {"pooling": "breast"}).task,
            "machine": make_classification(trainings, {"compile": True}).machine,
        }
    )
    for act in (wrong.check, lambda: wrong.build(CPU)):
        with pytest.raises(SettingsError) as refusal:
            act()
        assert refusal.value.fields == ("compile",)


def test_replica_has_no_moving_average_and_a_fixed_batch_size(trainings):
    replica = make_classification(trainings, {"ema": 0.9, "batch_size": "auto"}).as_replica(batch_size=4).build(CPU)
    assert replica.ema is None
    assert replica.batch_size == 4


def test_recipe_for_evaluation_keeps_pooling_and_drops_training_terms(trainings):
    given = {"architecture": "swin_pico", "pooling": "breast", "beta": 1e-3, "trained": "last_stage", "ema": 0.9}
    full = make_classification(trainings, given)
    training = full.for_evaluation().build(CPU)
    assert isinstance(training.task, BreastAwareClassification)
    assert training.task.terms.pooling == "breast"
    assert training.task.norms is None
    assert training.ema is None
    assert all(tensor.requires_grad for tensor in training.network.parameters())


def test_samples_without_a_label_stay_unknown(trainings):
    recipe = make_classification(trainings, {"label_percent": 50, "unlabelled": "pseudo"})
    assert UNKNOWN in {sample.label for sample in recipe.data.train}
    assert UNKNOWN in recipe.build(CPU).train.samples.labels
