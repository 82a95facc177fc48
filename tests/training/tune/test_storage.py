"""Errors of a study's database, reported with what to do."""

import sys

import pytest

from tfm.core.errors import TrainingError
from tfm.training.tune.storage import open_storage


def test_missing_password_is_reported_with_where_to_set_it(postgres, monkeypatch):
    monkeypatch.delenv("PGPASSWORD")
    with pytest.raises(TrainingError, match="cannot be reached") as error:
        open_storage(postgres)
    assert "PGPASSWORD" in error.value.hint


def test_unreachable_storage_is_reported_with_its_address(tmp_path):
    with pytest.raises(TrainingError, match=r"sqlite:.*nowhere.*unable to open"):
        open_storage(f"sqlite:///{tmp_path / 'nowhere' / 'study.db'}")


def test_missing_driver_is_reported_with_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(TrainingError, match="needs a driver") as error:
        open_storage("postgresql://tfm@host/studies")
    assert 'pip install "psycopg[binary]"' in error.value.hint
