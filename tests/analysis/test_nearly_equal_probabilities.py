"""A model that tells no images apart is named; one that tells them apart, however little it is right, is not."""

import dataclasses

import numpy as np
import pytest

from tests.analysis.models import make_model
from tfm.analysis.nearly_equal_probabilities import warn_of_nearly_equal_probabilities


@pytest.mark.parametrize(("spread", "is_named"), [(0.00001, True), (0.01, False)])
def test_a_model_is_named_if_its_probabilities_are_nearly_equal(spread, is_named):
    model = make_model(1.0)
    tables = {
        name: table.assign(prob=np.linspace(0.5, 0.5 + spread, len(table)))
        for name, table in (("validation", model.validation), ("predictions", model.predictions))
    }
    notes = list(warn_of_nearly_equal_probabilities([make_model(0.0), dataclasses.replace(model, **tables)]))
    assert [note.level for note in notes] == ["warning"] * is_named
