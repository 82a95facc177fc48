"""Events survive their record, and records of older versions are read."""

import json

import pytest

from tfm.core.events import (
    CurrentValues,
    IntervalChart,
    Metrics,
    Note,
    Picture,
    Progress,
    Result,
    StateChange,
    Table,
    TableRow,
    parse_record,
    to_record,
)

KINDS = {  # as in events.jsonl of every version
    "progress": Progress("step", 1, 2, "images", within="epoch"),
    "metrics": Metrics({"epoch": 1, "loss": 0.5}),
    "gauges": CurrentValues({"images/s": "40"}),
    "note": Note("x", "warning"),
    "table": Table("t", ["a"], [["1"]], "caption"),
    "line": TableRow("t", ["a"], ["1"]),
    "intervals": IntervalChart("AUC", [("a", 0.8, 0.7, 0.9)], 0.5, 1.0, 0.5),
    "picture": Picture("/sheet.png", "Sheet", ["00ff", "ff00"]),
    "result": Result({"a": 1}, ["p"]),
    "statechange": StateChange("failed", "message", "hint"),
}


@pytest.mark.parametrize(("kind", "event"), KINDS.items(), ids=KINDS)
def test_an_event_survives_its_record(kind, event):
    record = json.loads(json.dumps(to_record(event, 1.0)))
    assert (record["kind"], record["time"]) == (kind, 1.0)
    assert parse_record(record) == event


def test_a_picture_from_before_thumbnails_is_read():
    record = {"time": 1.0, "kind": "picture", "path": "/roc.png", "title": "ROC"}
    assert parse_record(record) == Picture("/roc.png", "ROC")


def test_an_unknown_kind_is_refused():
    with pytest.raises(KeyError):
        parse_record({"time": 1.0, "kind": "hologram"})
