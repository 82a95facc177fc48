"""What a run is made of is remembered, whichever stage learns from it, and only those count as seen whom it read."""

from dataclasses import replace

import numpy as np
import pytest

from tests.returned import returned
from tests.training.bench_top import first
from tests.training.pocket import WOMEN, make_products, train_run
from tfm.core.errors import DataError
from tfm.models.settings import ModelSettings
from tfm.training.inputs.lineage import Origin, check_same
from tfm.training.inputs.training_data import Material, measured, remember, start


@pytest.fixture
def run(workspace):
    make_products(workspace)
    return train_run(workspace)


def begin(run, material, weights=None):
    remember(run, material, returned(material.facts()), weights, [])


def test_a_stage_that_learns_from_some_of_the_training_women_has_seen_no_other(run):
    whole = Material.open(run.workspace, "pocket", "pocket")
    women = {name: set(getattr(whole, name).patients) for name in WOMEN}
    assert {name: len(seen) for name, seen in women.items()} == WOMEN
    material = replace(whole, train=first(whole.train, 6), val=first(whole.train, 2), test=first(whole.test, 0))
    begin(run, material)
    assert set(run.read_environment()["patients_seen"]) == set(first(whole.train, 6).patients)
    assert run.read_environment()["dataset"] == "pocket"
    assert run.read_environment()["weights_sha256"] is None


def test_other_first_weights_are_noticed_when_a_run_goes_on(run, tmp_path):
    """Those of a hub have a name in the run's settings, and no content."""
    material, weights = Material.open(run.workspace, "pocket", "pocket"), tmp_path / "model.safetensors"
    weights.write_bytes(b"as they were")
    begin(run, material, weights)
    begin(run, material, weights)
    weights.write_bytes(b"as they were made anew")
    with pytest.raises(DataError, match=r"the weights in .*model.safetensors have changed since this run began"):
        begin(run, material, weights)


def test_other_rows_are_other_images(run):
    whole = Material.open(run.workspace, "pocket", "pocket")
    begin(run, whole)
    begin(run, Material.open(run.workspace, "pocket", "pocket"))
    with pytest.raises(DataError, match="have changed since this run began"):
        begin(run, replace(whole, test=first(whole.test, 0)))


@pytest.mark.parametrize(
    ("array", "words"), [("images", "images"), ("breast", "breast masks"), ("lesions", "lesion masks")]
)
def test_other_pixels_are_noticed_when_a_run_goes_on_and_when_it_is_looked_at(run, array, words):
    before = Material.open(run.workspace, "pocket", "pocket")
    begin(run, before)
    path = run.workspace.cache_folder("pocket") / f"{array}.npy"
    changed = np.load(path)
    changed[before.test.positions[-1], 5, 5] ^= 1
    np.save(path, changed)
    after = Material.open(run.workspace, "pocket", "pocket")
    with pytest.raises(DataError, match=f"^the {words} of the cache pocket have changed"):
        begin(run, after)
    with pytest.raises(DataError, match=f"^the {words} of {run.id} have changed"):
        check_same(Origin(run), returned(after.facts()))


def test_to_read_all_images_before_the_first_step_is_told_bit_by_bit(run):
    material = Material.open(run.workspace, "pocket", "pocket")
    told = [*start(run, material, ModelSettings()), *measured(run, material.cache, material.train)]
    read = {name: [(one.done, one.total) for one in told if one.name == name] for name in {one.name for one in told}}
    assert read == {"fingerprint of the images": [(64, 72), (72, 72)], "greys of the training images": [(36, 36)]}
    assert run.read_environment()["normalisation"].keys() == {"mean", "deviation"}
