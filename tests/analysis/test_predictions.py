"""Prediction files."""

import numpy as np
import pandas as pd

from tfm.analysis.predictions import COLUMNS, read_predictions, write_predictions


def test_probabilities_are_read_back_to_the_last_bit(tmp_path):
    probs = np.random.default_rng(1).random(500)
    names = [f"P_00001_LEFT_CC_{number}" for number in range(500)]
    facts = {"image_id": names, "patient_id": "P_00001", "side": "LEFT", "view": "CC", "label": 1}
    write_predictions(tmp_path / "val.csv", pd.DataFrame(facts | {"prob": probs}))
    read = read_predictions(tmp_path / "val.csv")
    assert list(read.columns) == COLUMNS
    assert (read["prob"].to_numpy() == probs).all()
