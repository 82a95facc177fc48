"""The caption of a protocol."""

import dataclasses

from tests.analysis.models import PATIENTS, PROTOCOL


def test_caption_states_the_protocol_and_warns_of_phantoms():
    facts = ("cbis", "official, mass", "bbbbbbbb", f"{2 * PATIENTS} images", f"{PATIENTS} patients", "per image")
    for fact in (*facts, "95 %", "Clopper-Pearson"):
        assert fact in PROTOCOL.caption
    assert "phantoms" not in PROTOCOL.caption
    synthetic = dataclasses.replace(PROTOCOL, synthetic=True).caption
    assert "phantoms" in synthetic
    assert "say nothing about performance on real mammograms" in synthetic


def test_caption_names_the_threshold_rule():
    assert "Youden" in PROTOCOL.caption
    assert "sensitivity of at least 0.9" in dataclasses.replace(PROTOCOL, threshold_rule="sensitivity:0.9").caption
