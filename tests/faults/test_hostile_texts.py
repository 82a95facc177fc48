"""Whatever a preset, a job or a table contains, it is read or refused with a reason: soon, and in little memory."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from tests.faults.hostile_texts import READERS, judge, judge_many

CORPUS = sorted(
    (Path(__file__).parent / "corpus" / "texts").iterdir()
)  # each did harm once; its name ends with its kind
MOST_MEMORY = 1024  # MiB
COUNTS = {"preset.yaml": 400, "job.json": 300, "table.csv": 600}


@pytest.mark.parametrize("file", CORPUS, ids=lambda file: file.name)
def test_a_text_that_did_harm_does_none(file, tmp_path):
    (kind,) = [kind for kind in READERS if file.name.endswith(kind)]
    for seed in range(3):  # in place of several files
        assert judge(kind, seed, tmp_path / str(seed), file.read_bytes()) == ""


@pytest.mark.parametrize("kind", READERS)
def test_a_dozen_spoilt_texts_are_read_or_refused_with_a_reason(kind, tmp_path):
    assert judge_many(kind, range(12), str(tmp_path))[0] == {}


@pytest.mark.long
@pytest.mark.parametrize("kind", READERS)
def test_hundreds_of_spoilt_texts_are_read_or_refused_with_a_reason(kind, tmp_path):
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as alone:
        found, memory = alone.submit(judge_many, kind, range(COUNTS[kind]), str(tmp_path)).result()
    assert found == {}
    assert memory < MOST_MEMORY


def test_a_reader_that_fails_is_noticed(tmp_path, monkeypatch):
    monkeypatch.setitem(READERS, "table.csv", lambda *_: 1 / 0)
    assert "ZeroDivisionError" in judge("table.csv", 0, tmp_path)
