"""What a run is made of is remembered, whichever stage learns from it, and only those count as seen whom it read."""

from dataclasses import replace

import numpy as np
import pytest

from tests.returned import returned
from tests.training.small_dataset import PATIENTS, make_small_dataset, make_train_run
from tfm.core.errors import DataError
from tfm.models.settings import ModelSettings
from tfm.training.inputs.lineage import SourceRun, check_unchanged
from tfm.training.inputs.training_data import TrainingData, measure_normalisation, open_sources, remember_inputs


@pytest.fixture
def run(workspace):
    make_small_dataset(workspace)
    return make_train_run(workspace)


def begin(run, material, weights=None):
    remember_inputs(run, material, returned(material.collect_facts()), weights, [])


def test_a_stage_that_learns_from_some_of_the_training_women_has_seen_no_other(run):
    whole = TrainingData.open(run.workspace, "pocket", "pocket")
    women = {name: set(getattr(whole, name).patients) for name in PATIENTS}
    assert {name: len(seen) for name, seen in women.items()} == PATIENTS
    material = replace(
        whole,
        train=whole.train.select(list(range(6))),
        val=whole.train.select(list(range(2))),
        test=whole.test.select(list(range(0))),
    )
    begin(run, material)
    assert set(run.read_environment()["patients_seen"]) == set(whole.train.select(list(range(6))).patients)
    assert run.read_environment()["dataset"] == "pocket"
    assert run.read_environment()["weights_sha256"] is None


def test_other_first_weights_are_noticed_when_a_run_goes_on(run, tmp_path):
    """Those of a hub have a name in the run's settings, and no content."""
    material, weights = TrainingData.open(run.workspace, "pocket", "pocket"), tmp_path / "model.safetensors"
    weights.write_bytes(b"as they were")
    begin(run, material, weights)
    begin(run, material, weights)
    weights.write_bytes(b"as they were made anew")
    with pytest.raises(DataError, match=r"the weights in .*model.safetensors have changed since this run started"):
        begin(run, material, weights)


def test_other_rows_are_other_images(run):
    whole = TrainingData.open(run.workspace, "pocket", "pocket")
    begin(run, whole)
    begin(run, TrainingData.open(run.workspace, "pocket", "pocket"))
    with pytest.raises(DataError, match="have changed since this run started"):
        begin(run, replace(whole, test=whole.test.select(list(range(0)))))


@pytest.mark.parametrize(
    ("array", "words"), [("images", "images"), ("breast", "breast masks"), ("lesions", "lesion masks")]
)
def test_other_pixels_are_noticed_when_a_run_goes_on_and_when_it_is_looked_at(run, array, words):
    before = TrainingData.open(run.workspace, "pocket", "pocket")
    begin(run, before)
    path = run.workspace.cache_folder("pocket") / f"{array}.npy"
    changed = np.load(path)
    changed[before.test.positions[-1], 5, 5] ^= 1
    np.save(path, changed)
    after = TrainingData.open(run.workspace, "pocket", "pocket")
    with pytest.raises(DataError, match=f"^the {words} of the cache pocket have changed"):
        begin(run, after)
    with pytest.raises(DataError, match=f"^the {words} of {run.id} have changed"):
        check_unchanged(SourceRun(run), returned(after.collect_facts()))


def test_to_read_all_images_before_the_first_step_is_told_bit_by_bit(run):
    material = TrainingData.open(run.workspace, "pocket", "pocket")
    told = [*open_sources(run, material, ModelSettings()), *measure_normalisation(run, material.cache, material.train)]
    read = {name: [(one.done, one.total) for one in told if one.name == name] for name in {one.name for one in told}}
    assert read == {"fingerprint of the images": [(64, 72), (72, 72)], "grey values of the training images": [(36, 36)]}
    assert run.read_environment()["normalisation"].keys() == {"mean", "deviation"}
