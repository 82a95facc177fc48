"""What a run is made of is remembered, whichever stage learns from it, and only those count as seen whom it read."""

from dataclasses import replace

import pytest

from tests.train.bench_top import first
from tests.train.pocket import WOMEN, make_products, train_run
from tfm.core.errors import DataError
from tfm.train.material import Material, remember


@pytest.fixture
def run(workspace):
    make_products(workspace)
    return train_run(workspace)


def test_a_stage_that_learns_from_some_of_the_training_women_has_seen_no_other(run):
    whole = Material.open(run.workspace, "pocket", "pocket")
    women = {name: set(getattr(whole, name).patients) for name in WOMEN}
    assert {name: len(seen) for name, seen in women.items()} == WOMEN
    material = replace(whole, train=first(whole.train, 6), val=first(whole.train, 2), test=first(whole.test, 0))
    remember(run, material, None, [])
    assert set(run.environment["patients_seen"]) == set(first(whole.train, 6).patients)
    assert run.environment["dataset"] == "pocket"
    assert run.environment["weights_sha256"] is None


def test_other_rows_are_other_images(run):
    whole = Material.open(run.workspace, "pocket", "pocket")
    remember(run, whole, None, [])
    remember(run, Material.open(run.workspace, "pocket", "pocket"), None, [])
    with pytest.raises(DataError, match="have changed since this run began"):
        remember(run, replace(whole, test=first(whole.test, 0)), None, [])
