"""Errors of a study's database, reported with what to do."""

import sys

import pytest
from optuna.study import StudyDirection
from sqlalchemy import event

from tfm.core.errors import DiskError, TrainingError
from tfm.training.tune.storage import hold_storage, open_storage, report_database_errors


def test_missing_password_is_reported_with_where_to_set_it(postgres, monkeypatch):
    monkeypatch.delenv("PGPASSWORD")
    with pytest.raises(TrainingError, match="cannot be reached") as error:
        open_storage(postgres)
    assert "PGPASSWORD" in error.value.hint


def test_unreachable_storage_is_an_error_of_the_disk_with_its_address(tmp_path):
    with pytest.raises(DiskError, match=r"sqlite:.*nowhere.*unable to open"):
        open_storage(f"sqlite:///{tmp_path / 'nowhere' / 'study.db'}")


def test_a_database_that_cannot_grow_is_an_error_of_the_disk(tmp_path):
    """As on a full disk: the study halts, and is resumed from there."""
    address = f"sqlite:///{tmp_path / 'study.db'}"
    with hold_storage(address) as storage:
        study = storage.create_new_study([StudyDirection.MAXIMIZE], "study")

        @event.listens_for(storage.engine, "begin")
        def keep_size(connection):
            connection.exec_driver_sql("PRAGMA max_page_count = 1")

        with pytest.raises(DiskError, match="disk is full"), report_database_errors(address):
            storage.set_study_user_attr(study, "space", "x" * 100_000)


def test_missing_driver_is_reported_with_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(TrainingError, match="needs a driver") as error:
        open_storage("postgresql://tfm@host/studies")
    assert 'pip install "psycopg[binary]"' in error.value.hint
